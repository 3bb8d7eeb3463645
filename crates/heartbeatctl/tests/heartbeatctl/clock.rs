//! Commands on a machine whose clock is three hours wrong: what they write and compare is by DynamoDB's (C13.9).

use crate::machines::Machines;
use crate::support::{Place, text};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use dev::command::{Run, run, run_with_input};
use dev::dynamodb;
use dev::proxy::{Call, Fault, Proxy};
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use tables::time::parse;

/// Tables behind a DynamoDB whose clock is right, as seen by a machine whose clock is wrong.
struct Wrong {
    place: Place,
    proxy: Proxy,
    ahead: i64,
}

impl Wrong {
    /// Three hours behind, and three hours ahead.
    async fn both() -> [Self; 2] {
        let new = async |ahead| {
            let (place, proxy) = (Place::new().await, Proxy::start(&dynamodb::URL));
            proxy.set_clock(ahead);
            Self { place, proxy, ahead }
        };
        [new(3 * 3600).await, new(-3 * 3600).await]
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::seconds(self.ahead)
    }

    /// A time so many seconds ago, as it is stored.
    fn stored(&self, ago: i64) -> String {
        dev::tables::stored(self.now() - TimeDelta::seconds(ago))
    }

    async fn put_server(&self, server: &str, ago: i64) {
        let attributes = [("status", text("online")), ("last_seen", text(&self.stored(ago)))];
        self.place.put_server(server, attributes).await;
    }

    fn through(&self, mut tool: Command) -> Command {
        tool.env("AWS_ENDPOINT_URL_DYNAMODB", &self.proxy.url);
        tool
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run(self.through(self.place.tool()).args(arguments))
    }

    /// Asserts that this is so many seconds from now, but for the time that a command takes.
    fn assert_in(&self, at: DateTime<Utc>, seconds: i64) {
        let left = (at - self.now()).num_seconds();
        assert!((seconds - 30..=seconds).contains(&left), "{left} s with {} s", self.ahead);
    }
}

fn seconds(value: &AttributeValue) -> DateTime<Utc> {
    DateTime::from_timestamp(value.as_n().unwrap().parse().unwrap(), 0).unwrap()
}

fn time(value: &AttributeValue) -> DateTime<Utc> {
    parse(value.as_s().unwrap()).unwrap()
}

// C8.7 C13.9: also for an operator who may do nothing else.
#[tokio::test]
async fn a_silence_ends_when_it_is_asked_to() {
    for wrong in Wrong::both().await {
        for may_read in [true, false] {
            wrong.put_server("web-1", 5).await;
            let denied = Fault::Reject(400, "AccessDeniedException");
            wrong.proxy.rule(move |call| (!may_read && call != Call::Server).then_some(denied));
            let silenced = wrong.run(&["silence", "web-1", "2h"]);
            assert_eq!(silenced.code, 0, "{silenced:?}");
            let item = wrong.place.server("web-1").await.unwrap();
            wrong.assert_in(time(&item["silenced_until"]), 7200);
        }
    }
}

// C13.9
#[tokio::test]
async fn a_command_that_needs_the_time_and_gets_no_response_writes_nothing() {
    let [wrong, _] = Wrong::both().await;
    wrong.put_server("web-1", 5).await;
    wrong.proxy.rule(|call| (call == Call::Scan).then_some(Fault::ResetBeforeRequest));
    let silenced = wrong.run(&["silence", "web-1", "2h"]);
    assert_eq!(silenced.code, 1, "{silenced:?}");
    assert!(silenced.stderr.contains("AWS cannot be reached"), "{silenced:?}");
    assert!(!wrong.place.server("web-1").await.unwrap().contains_key("silenced_until"));
}

// C13.9
#[tokio::test]
async fn a_key_is_made_and_expires_by_dynamodbs_clock() {
    for wrong in Wrong::both().await {
        assert_eq!(wrong.run(&["keys", "add", "web-1", "--expires", "1h"]).code, 0);
        let added = wrong.place.items(&wrong.place.keys).await.remove(0);
        wrong.assert_in(time(&added["created_at"]), 0);
        wrong.assert_in(seconds(&added["expires_at"]), 3600);

        let listed = wrong.run(&["keys", "list"]).stdout;
        let row: Vec<_> = listed.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!((row[3], row[4], row[6]), ("s", "in", "min"), "its age and expiry: {listed}");

        let rotated = wrong.run(&["keys", "rotate", "web-1", "--grace", "30m", "--expires", "2h"]);
        assert_eq!(rotated.code, 0, "{rotated:?}");
        for key in wrong.place.items(&wrong.place.keys).await {
            wrong.assert_in(time(&key["created_at"]), 0);
            let is_old = key["key_sha256"] == added["key_sha256"];
            wrong.assert_in(seconds(&key["expires_at"]), if is_old { 1800 } else { 7200 });
        }

        let digest = format!("{:0<64}", "ab");
        let mut tool = wrong.through(wrong.place.tool());
        let imported = run_with_input(tool.args(["keys", "import"]), &digest);
        assert_eq!(imported.code, 0, "{imported:?}");
        let keys = wrong.place.items(&wrong.place.keys).await;
        let key = keys.iter().find(|key| key["key_sha256"] == text(&digest)).unwrap();
        wrong.assert_in(time(&key["created_at"]), 0);
    }
}

// C13.9
#[tokio::test]
async fn only_servers_that_have_been_silent_are_retired() {
    for wrong in Wrong::both().await {
        wrong.put_server("live", 5).await;
        wrong.put_server("rare", 7200 - 60).await;
        wrong.put_server("dead", 7200 + 60).await;
        let retired = wrong.run(&["retire", "--silent-for", "2h", "--yes", "--json"]);
        assert_eq!(retired.json(), json!(["dead"]), "{} s: {retired:?}", wrong.ahead);
        assert_eq!(wrong.place.items(&wrong.place.servers).await.len(), 2);
    }
}

// C13.9
#[tokio::test]
async fn the_last_hour_of_history_and_events_is_the_last_hour() {
    for wrong in Wrong::both().await {
        let expires = AttributeValue::N((wrong.now().timestamp() + 3600).to_string());
        for ago in [5, 2 * 3600] {
            let at = text(&wrong.stored(ago));
            let back = json!({ "back": [{ "server_id": format!("heard-{ago}") }] });
            let event = [
                ("server_id", text("#events")),
                ("recorded_at", at.clone()),
                ("said", text(&back.to_string())),
                ("expires_at", expires.clone()),
            ];
            wrong.place.put(&wrong.place.metrics, event).await;
            let row = [
                ("server_id", text("web-1")),
                ("recorded_at", text(&format!("{}#1", at.as_s().unwrap()))),
                ("timestamp", at),
                ("expires_at", expires.clone()),
                ("cpu_percent", AttributeValue::N(ago.to_string())),
            ];
            wrong.place.put(&wrong.place.metrics, row).await;
        }
        let history = wrong.run(&["history", "web-1", "--since", "1h", "--json"]);
        let values = history.json().as_array().unwrap().clone();
        let values: Vec<_> = values.iter().map(|row| row["cpu_percent"].clone()).collect();
        assert_eq!((values, &*history.stderr), (vec![json!(5)], ""), "{} s", wrong.ahead);

        let events = wrong.run(&["events", "--since", "1h"]).stdout;
        assert_eq!(events.lines().count(), 1, "{events}");
        assert!(events.contains("heard-5 "), "{events}");
    }
}

// C13.9
#[tokio::test]
async fn an_enrolment_knows_who_was_heard_just_now() {
    for wrong in Wrong::both().await {
        let Some(machines) = Machines::new(&["new"]) else {
            return;
        };
        let release = machines.release();
        let url = "https://api.example.com/api/v1/agents/heartbeat";
        let common = ["enroll", "--url", url, "--agent", &release, "--ssh", "new"];
        let enroll = async |server: &str| {
            let tool = machines.tool(&wrong.place, &[&common, &[server][..]].concat());
            machines.heard(&wrong.place, wrong.through(tool)).await
        };
        wrong.put_server("in-use", 120).await;
        let rejected = enroll("in-use").await;
        assert_eq!(rejected.code, 1, "{rejected:?}");
        assert!(rejected.stderr.contains("in-use was heard 2 min ago"), "{rejected:?}");

        wrong.put_server("unused", 86_400).await;
        // Heartbeats are received by the right clock, once there is a key for them.
        let heartbeats = async {
            while wrong.place.items(&wrong.place.keys).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            loop {
                wrong.put_server("unused", 0).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let enrolled = tokio::select! {
            enrolled = enroll("unused") => enrolled,
            () = heartbeats => unreachable!("they do not end"),
        };
        assert_eq!(enrolled.code, 0, "{enrolled:?}");
        let key = wrong.place.items(&wrong.place.keys).await.remove(0);
        wrong.assert_in(time(&key["created_at"]), 0);
    }
}
