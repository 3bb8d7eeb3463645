//! C11.5: whether messages arrive, in an item of the servers table.

use crate::service::{Fault, SECRET, Service};
use crate::support::{Notify, entries, event, message, offline};
use chrono::{DateTime, Utc};
use dev::log::Lines;
use dev::process;
use dev::runtime_api::RuntimeApi;
use dev::tables::{Item, Tables};
use heartbeat::aws::AwsConfig;
use heartbeat::log;
use heartbeat::notify::{Ledger, LedgerConfig};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tables::Group;
use tables::server::{Delivery, Outcome, Report, Reported};
use tokio::time::Instant;
use tracing::instrument::WithSubscriber;

fn announcement() -> Value {
    message(&json!({ "offline": [offline("web-1", "web-1.example.com")] }))
}

/// What the item of `notify` holds, without its key.
async fn noted(tables: &Tables) -> BTreeMap<String, String> {
    let item = tables.server("#notify").await.unwrap_or_default().into_iter();
    let item = item.map(|(name, value)| (name, value.as_s().unwrap().clone()));
    item.filter(|(name, _)| name != "server_id").collect()
}

fn names(noted: &BTreeMap<String, String>) -> Vec<&str> {
    noted.keys().map(String::as_str).collect()
}

fn time(stored: &str) -> DateTime<Utc> {
    assert_eq!(stored.len(), "2026-01-18T10:30:00.000000Z".len(), "{stored}");
    stored.parse().unwrap()
}

// C11.5
#[tokio::test]
async fn what_arrives_and_what_does_not_is_known() {
    let tables = Tables::create().await;
    let [ntfy, slack] = [Service::start("ntfy").await, Service::start("slack").await];
    let notify = Notify::start_with(&entries(&[&ntfy, &slack]), &tables.settings());
    let before = Utc::now();
    assert!(notify.send(&announcement()).await);
    let all = noted(&tables).await;
    assert_eq!(names(&all), ["delivered_1", "delivered_2", "format_1", "format_2"]);
    assert_eq!((&*all["format_1"], &*all["format_2"]), ("ntfy", "slack"));
    let delivered = time(&all["delivered_1"]);
    assert!((before..=Utc::now()).contains(&delivered), "{all:?}");

    slack.fail([Fault::Answer(404, "no_service".to_owned())]);
    let (before, after) = (Utc::now(), || Utc::now());
    assert!(!notify.send(&announcement()).await);
    let first = noted(&tables).await;
    let failed = ["delivered_1", "delivered_2", "failed_2", "format_1", "format_2", "reason_2"];
    assert_eq!(names(&first), failed);
    assert!((before..=after()).contains(&time(&first["failed_2"])), "{first:?}");
    assert_eq!(first["reason_2"], "404, no_service");
    assert_eq!(first["delivered_2"], all["delivered_2"]);
    assert!(first["delivered_1"] > all["delivered_1"]);

    // The first failure stays, with the last reason.
    slack.fail([Fault::Status(410)]);
    assert!(!notify.send(&announcement()).await);
    let second = noted(&tables).await;
    assert_eq!((&second["failed_2"], &*second["reason_2"]), (&first["failed_2"], "410"));

    assert!(notify.send(&announcement()).await);
    let well = noted(&tables).await;
    assert_eq!(names(&well), names(&all));
    assert!(well["delivered_2"] > all["delivered_2"]);

    // What is left of positions that exist no more goes, and the format of those that stay is right.
    slack.fail([Fault::Status(404)]);
    assert!(!notify.send(&announcement()).await);
    let notify = Notify::start_with(&slack.entry(), &tables.settings());
    assert!(notify.send(&announcement()).await);
    let less = noted(&tables).await;
    assert_eq!(names(&less), ["delivered_1", "format_1"]);
    assert_eq!(less["format_1"], "slack");
    assert!(notify.log().iter().all(|line| line["level"] == "INFO"));
}

// C11.5: without a table, as before there was one; with one that is not there, delivery goes on.
#[tokio::test]
async fn delivery_does_not_depend_on_the_table() {
    let tables = Tables::create().await;
    let service = Service::start("ntfy").await;
    let mut settings = tables.settings();
    settings.insert("SERVERS_TABLE", "no-such-table".to_owned());
    let notify = Notify::start_with(&service.entry(), &settings);
    assert!(notify.send(&announcement()).await);
    let log = notify.log();
    let [line] = &log.iter().filter(|line| line["level"] == "WARN").collect::<Vec<_>>()[..] else {
        panic!("{log:?}")
    };
    assert_eq!(line["message"], "delivery is not recorded");
    assert_eq!(line["request_id"], "request-1");
    assert!(line["reason"].as_str().unwrap().contains("ResourceNotFound"), "{line}");
    assert_eq!(service.take().len(), 1);
    service.fail([Fault::Status(404)]);
    assert!(!notify.send(&announcement()).await);

    settings.remove("SERVERS_TABLE");
    let notify = Notify::start_with(&service.entry(), &settings);
    assert!(notify.send(&announcement()).await);
    assert!(notify.log().iter().all(|line| line["level"] == "INFO"));
    assert_eq!(noted(&tables).await, BTreeMap::new());
}

// C11.5
#[tokio::test]
async fn a_service_that_echoes_everything_reveals_nothing() {
    let tables = Tables::create().await;
    let long = "x".repeat(190);
    for (format, more) in [("ntfy", ""), ("json", &*long), ("telegram", "")] {
        let service = Service::start(format).await;
        let more: &'static str = more.to_owned().leak();
        service.fail([Fault::Echo(400, more)]);
        // Its name and its password are secrets, as they are sent and as they are meant.
        let credentials = "somebody1:p%40ssw0rd-1";
        let entry = service.entry().replacen("http://", &format!("http://{credentials}@"), 1);
        let entry = entry.replace(SECRET, &format!("{SECRET}-{SECRET}"));
        let notify = Notify::start_with(
            &format!("{entry}?auth={SECRET}&tk=a%2Bb%2Bc+{SECRET}"),
            &tables.settings(),
        );
        let error =
            notify.try_send_within(60, None, &announcement().to_string()).await.unwrap_err();
        let noted = noted(&tables).await;
        let reason = &noted["reason_1"];
        assert!(reason.starts_with(&format!("400, {more}")) && reason.contains('…'), "{reason}");
        assert!(reason.chars().count() <= "400, ".len() + 200, "{reason}");
        let everything = format!("{error} {noted:?} {:?}", notify.log());
        let basic = "c29tZWJvZHkxOnBAc3N3MHJkLTE=";
        for secret in
            [&SECRET[..6], "somebody1", "p%40ss", "p@ss", basic, "a%2Bb", "a+b+c", "127.0.0.1"]
        {
            assert!(!everything.contains(secret), "{secret}: {everything}");
        }
    }
}

/// A moment of a minute.
fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_768_732_200 + second, 0).unwrap()
}

fn reported(format: &'static str, outcome: Outcome) -> Reported {
    Reported { format, group: None, outcome }
}

fn of_group(outcome: Outcome) -> Reported {
    Reported { group: Group::new("a-16-letter-name"), ..reported("telegram", outcome) }
}

/// One message: when it came, and when it was delivered, if it was.
type Sent = (i64, Option<i64>);

/// Writes what became of messages to a webhook, in this order; returns when one arrived last, and since when none has.
async fn written(tables: &Tables, messages: &[Sent]) -> (Option<i64>, Option<i64>) {
    let clear = tables.client.delete_item().table_name(&tables.servers);
    clear.key("server_id", dev::tables::text("#notify")).send().await.unwrap();
    for (came, delivered) in messages {
        let outcome = match delivered {
            Some(second) => Outcome::Delivered(at(*second)),
            None => Outcome::Failed(format!("since {came}")),
        };
        // The other webhook gets every message at once.
        let webhooks =
            vec![reported("ntfy", Outcome::Delivered(at(*came))), reported("slack", outcome)];
        write(tables, &Report { came_at: at(*came), webhooks }).await;
    }
    let item = tables.server("#notify").await.unwrap();
    let webhook = Delivery::all(&item).unwrap().remove(1);
    let second = |time: DateTime<Utc>| (time - at(0)).num_seconds();
    (webhook.delivered_at.map(second), webhook.undelivered.map(|it| second(it.since)))
}

/// As `notify` does.
async fn write(tables: &Tables, report: &Report) {
    let ledger = Ledger::new(LedgerConfig {
        servers_table: tables.servers.clone(),
        aws: AwsConfig::from_variables(|name| tables.settings().get(name).cloned()).unwrap(),
    });
    let log = Lines::default();
    let writer = log.clone();
    let subscriber = log::subscriber(tracing::Level::INFO, move || writer.clone());
    let deadline = Instant::now() + Duration::from_secs(60);
    let ledger = ledger.unwrap();
    ledger.write(report, deadline, "request-1").with_subscriber(subscriber).await;
    assert_eq!(log.take(), Vec::<Value>::new());
}

// C11.5: what is known does not depend on which of two messages is written first.
#[tokio::test]
async fn two_messages_at_the_same_time_are_right_in_any_order() {
    let tables = Tables::create().await;
    for (one, other, delivered, failed) in [
        // Both arrived.
        ((0, Some(1)), (5, Some(6)), Some(6), None),
        ((0, Some(9)), (5, Some(6)), Some(9), None),
        // The earlier one failed, and the later one has arrived since.
        ((0, None), (5, Some(6)), Some(6), None),
        // The later one failed, and the earlier one arrived after it came, or before.
        ((0, Some(30)), (5, None), Some(30), None),
        ((0, Some(1)), (5, None), Some(1), Some(5)),
    ] {
        for messages in [[one, other], [other, one]] {
            let written = written(&tables, &messages).await;
            assert_eq!(written, (delivered, failed), "{messages:?}");
        }
    }
    let three = [(0, Some(1)), (5, None), (7, None)];
    assert_eq!(written(&tables, &three).await, (Some(1), Some(5)));
}

// C11.5: an expression of DynamoDB has at most 4 KB.
#[tokio::test]
async fn any_number_of_webhooks_is_written() {
    let tables = Tables::create().await;
    for (webhooks, known) in [(16, 16), (200, 16), (1, 1)] {
        let outcome = |number: i64| match number % 2 {
            0 => Outcome::Delivered(at(number)),
            _ => Outcome::Failed("404".to_owned()),
        };
        for webhooks in [
            (0..webhooks).map(|number| reported("json", outcome(number))).collect(),
            (0..webhooks).map(|number| of_group(Outcome::Delivered(at(900 + number)))).collect(),
        ] {
            write(&tables, &Report { came_at: at(0), webhooks }).await;
            let item: Item = tables.server("#notify").await.unwrap();
            assert_eq!(Delivery::all(&item).unwrap().len(), known);
        }
        let item = tables.server("#notify").await.unwrap();
        assert_eq!(item.len(), 1 + 3 * known, "{item:?}");
        for (name, value) in [("update", 0), ("condition", 1)] {
            let webhooks = (0..webhooks).map(|number| of_group(Outcome::Delivered(at(number))));
            let report = Report { came_at: at(0), webhooks: webhooks.collect() };
            let update = report.together().apply(tables.client.update_item());
            let expressions = [update.get_update_expression(), update.get_condition_expression()];
            let length = expressions[value].as_ref().unwrap().len();
            assert!(length < 4096, "{name}: {length}");
        }
    }
}

// C11.5
#[tokio::test]
async fn the_binary_records_and_its_error_says_why() {
    let tables = Tables::create().await;
    let service = Service::start("json").await;
    service.fail([Fault::Answer(404, "gone".to_owned())]);
    let api = RuntimeApi::start().await.unwrap();
    let mut settings: HashMap<_, _> = tables.settings();
    settings.insert("WEBHOOK_URLS", service.entry());
    let process = process::start(env!("CARGO_BIN_EXE_notify"), &api, settings);
    let answer = api.invoke(event(None, "Disk swap planned.")).await.unwrap();
    let error: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(error["errorMessage"], "1 of 1 webhooks failed: 1 json: 404, gone");
    assert_eq!(noted(&tables).await["reason_1"], "404, gone");
    let answer = api.invoke(event(None, "Disk swap planned.")).await.unwrap();
    assert!(answer.path.ends_with("/response"), "{}", answer.path);
    assert_eq!(names(&noted(&tables).await), ["delivered_1", "format_1"]);
    process::kill(process).await;
}
