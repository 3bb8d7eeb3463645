//! C10: the digest, and the ping.

use crate::support::topic::Published;
use crate::support::{Item, TestWatchdog, lines, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// Writes a heartbeat that is received at this second, with these members of the reading.
async fn heartbeat(
    watchdog: &TestWatchdog,
    server_id: &str,
    seconds: i64,
    reading: &[(&str, AttributeValue)],
) {
    let reading = reading.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let reading: Item =
        reading.chain([("received_at".to_owned(), text(&stored(seconds)))]).collect();
    let seen = [
        ("status", text("online")),
        ("last_seen", text(&stored(seconds))),
        ("hostname", text(&format!("{server_id}.lan"))),
        ("reading", AttributeValue::M(reading)),
    ];
    watchdog.put(server_id, &seen).await;
}

fn number(value: &str) -> AttributeValue {
    AttributeValue::N(value.to_owned())
}

fn full() -> Vec<(&'static str, AttributeValue)> {
    vec![("disk_percent", number("95"))]
}

/// The digest that was sent since the last call, if one was.
fn digest(watchdog: &TestWatchdog) -> Option<Published> {
    let mut published = watchdog.topic.take();
    assert!(published.len() <= 1, "{published:?}");
    published.pop().inspect(|message| assert_eq!(message.kinds, ["digest"]))
}

// C10.1
#[tokio::test]
async fn a_digest_says_once_a_day_what_is_still_wrong() {
    let watchdog = TestWatchdog::scheduled(&[("DIGEST_AT", "10:45"), ("HOLD_SECONDS", "0")]).await;
    for name in ["away", "silenced"] {
        heartbeat(&watchdog, name, 0, &full()).await;
    }
    watchdog.sweep(10).await.unwrap();
    watchdog.sweep(190).await.unwrap();
    heartbeat(&watchdog, "full", 800, &full()).await;
    watchdog.sweep(810).await.unwrap();
    watchdog.topic.take();
    watchdog.set("silenced", "silenced_until", Some(&stored(9000))).await;

    watchdog.sweep(899).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
    watchdog.sweep(900).await.unwrap();
    let message = digest(&watchdog).unwrap();
    // An absent server is listed once.
    let offline = json!([{ "server_id": "away", "hostname": "away.lan", "last_seen": stored(0) }]);
    let problem = json!({
        "server_id": "full", "hostname": "full.lan", "kind": "limit", "name": "disk_percent", "value": 95,
        "limit": 90.0, "since": stored(800), "reason": null,
    });
    let fleet = json!({
        "servers": 3, "well": 0, "summary": "0 of 3 are well: 1 offline, 1 with a problem, 1 silenced", "remarks": [],
    });
    let expected = json!({
        "digest": true, "time": stored(900), "fleet": fleet, "offline": offline, "problems": [problem], "omitted": 0,
    });
    assert_eq!(message.default, expected);
    assert_eq!(message.parameters["Subject"], "Still wrong: 1 server offline, 1 problem");
    let begins = "Still wrong:\n\n0 of 3 are well: 1 offline, 1 with a problem, 1 silenced\n\n1 server offline:\n\naway (away.lan)\n";
    assert!(message.email.starts_with(begins), "{}", message.email);
    assert_eq!(watchdog.own("digest_at").await, Some(stored(900)));
    watchdog.sweep(960).await.unwrap();
    assert_eq!(digest(&watchdog), None, "once");

    // The next day, after a gap, with a server that is found to be late.
    watchdog.set_own("swept_at", 86_000).await;
    watchdog.sweep_as_it_is(86_400 + 1_000).await.unwrap();
    let messages = watchdog.topic.take();
    assert_eq!(messages[1].parameters["Subject"], "Still wrong: 3 servers offline");
}

// C8.14 C10.1 C11.5
#[tokio::test]
async fn a_digest_says_where_nothing_arrives() {
    let watchdog = TestWatchdog::scheduled(&[("DIGEST_AT", "10:45/always")]).await;
    heartbeat(&watchdog, "web-1", 890, &[]).await;
    let webhook = [
        ("format_16", text("ntfy")),
        ("failed_16", text(&stored(600))),
        ("reason_16", text("429, daily quota reached")),
    ];
    watchdog.put("#notify", &webhook).await;
    watchdog.sweep(900).await.unwrap();
    let message = digest(&watchdog).unwrap();
    let summary =
        "Nothing has reached ntfy since 10:40 UTC: 429, daily quota reached. 1 of 1 are well";
    assert_eq!(message.default["fleet"]["summary"], summary);
    assert_eq!(message.parameters["Subject"], summary);
    assert_eq!(watchdog.item("#notify").await.unwrap().len(), 1 + webhook.len());
}

// C10.1 C10.2
#[tokio::test]
async fn nothing_is_sent_when_all_is_well_and_that_is_noted() {
    let watchdog = TestWatchdog::scheduled(&[("DIGEST_AT", "10:45")]).await;
    heartbeat(&watchdog, "web-1", 890, &[]).await;
    watchdog.sweep(900).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
    assert_eq!(watchdog.own("digest_at").await, Some(stored(900)));
}

// C10.2: its one publication may fail.
#[tokio::test]
async fn a_digest_is_due_for_six_hours() {
    use crate::support::topic::Behavior;
    let six_hours = 6 * 3600;
    for (seconds, noted, is_sent) in [
        (899, None, false),
        (900, None, true),
        (900 + six_hours - 60, None, true),
        (900 + six_hours + 60, None, false),
        (1000, Some(899), true),
        (1000, Some(900), false),
        // A time from a wrong clock is none.
        (1000, Some(9000), true),
    ] {
        let settings = [("DIGEST_AT", "10:45/always"), ("OFFLINE_AFTER_SECONDS", "90000")];
        let watchdog = TestWatchdog::scheduled(&settings).await;
        heartbeat(&watchdog, "web-1", seconds, &[]).await;
        if let Some(noted) = noted {
            watchdog.set_own("digest_at", noted).await;
        }
        watchdog.topic.set_behavior(Behavior::Rejects);
        assert_eq!(watchdog.sweep(seconds).await.is_err(), is_sent, "{seconds}");
        watchdog.topic.set_behavior(Behavior::Accepts);
        watchdog.sweep(seconds).await.unwrap();
        assert_eq!(digest(&watchdog).is_some(), is_sent, "{seconds} {noted:?}");
    }
}

// C10.2: a digest that is set at noon for 08:00 comes tomorrow.
#[tokio::test]
async fn what_is_set_anew_is_not_made_up_for() {
    const DAY: i64 = 86_400;
    let noon = 5_400;
    let eight = DAY - 9_000;
    for (name, known, expected) in [
        ("a new stack", vec![], [false, true]),
        ("an older stack, which had it", vec![("digest_at", stored(-9_000))], [false, true]),
        ("an older stack, in which it is due", vec![("digest_at", stored(-90_000))], [true, true]),
        (
            "the same times",
            vec![("digest_times", "08:00/always".to_owned()), ("digest_at", stored(-90_000))],
            [true, true],
        ),
        (
            "other times",
            vec![("digest_times", "09:00/always".to_owned()), ("digest_at", stored(-90_000))],
            [false, true],
        ),
        ("none before", vec![("digest_times", "none".to_owned())], [false, true]),
        (
            "another zone",
            vec![
                ("digest_times", "08:00/always".to_owned()),
                ("digest_at", stored(-90_000)),
                ("limits", "none".to_owned()),
                ("time_zone", "Europe/Berlin".to_owned()),
            ],
            [false, true],
        ),
    ] {
        let watchdog = TestWatchdog::start_with(&[("DIGEST_AT", "08:00/always")]).await;
        for (attribute, value) in known {
            watchdog.set("#watchdog", attribute, Some(&value)).await;
        }
        let mut sent = Vec::new();
        for seconds in [noon, noon + 60, eight - 60, eight, eight + 60] {
            watchdog.sweep(seconds).await.unwrap();
            sent.extend(digest(&watchdog).map(|_| seconds));
        }
        let times = [noon, eight].into_iter().zip(expected);
        let times: Vec<_> = times.filter(|(_, is_sent)| *is_sent).map(|(at, _)| at).collect();
        assert_eq!(sent, times, "{name}");
        assert_eq!(watchdog.own("digest_times").await.as_deref(), Some("08:00/always"), "{name}");
        assert_eq!(watchdog.own("time_zone").await.as_deref(), Some("UTC"), "{name}");
    }
    let off = TestWatchdog::start().await;
    off.sweep(0).await.unwrap();
    assert_eq!(off.own("digest_times").await.as_deref(), Some("none"));
}

// C10.1: proof that all is well.
#[tokio::test]
async fn with_always_it_says_that_all_are_well_only_if_they_are() {
    let settings = [("DIGEST_AT", "10:45/always"), ("HOLD_SECONDS", "0")];
    let watchdog = TestWatchdog::scheduled(&settings).await;
    watchdog.sweep(900).await.unwrap();
    let message = digest(&watchdog).unwrap();
    assert_eq!(message.parameters["Subject"], "No server has sent a heartbeat yet");

    let again = async || {
        watchdog.set("#watchdog", "digest_at", None).await;
        watchdog.sweep(900).await.unwrap();
        digest(&watchdog).unwrap()
    };
    for server in 1..=11 {
        heartbeat(&watchdog, &format!("web-{server}"), 890, &[]).await;
    }
    let message = again().await;
    assert_eq!(message.parameters["Subject"], "All 11 servers are well");
    assert_eq!(message.email, "All 11 servers are well\n\n");
    let fleet =
        json!({ "servers": 11, "well": 11, "summary": "All 11 servers are well", "remarks": [] });
    assert_eq!(message.default["fleet"], fleet);

    for server in ["web-1", "web-2"] {
        watchdog.set(server, "silenced_until", Some(&stored(9000))).await;
    }
    let message = again().await;
    assert_eq!(message.parameters["Subject"], "9 of 11 are well: 2 silenced");
    for server in ["web-1", "web-2"] {
        watchdog.set(server, "silenced_until", None).await;
    }

    let unknown = AttributeValue::M(Item::from([("cron".to_owned(), text("unknown"))]));
    for (reading, reason, remark) in [
        (vec![("services", unknown)], "1 unknown", Some("a service in an unknown state: web-3")),
        (vec![("reboot_required", number("1"))], "", Some("reboot required: web-3")),
        (vec![("security_updates", number("12"))], "", Some("security updates: web-3 (12)")),
    ] {
        heartbeat(&watchdog, "web-3", 890, &reading).await;
        let message = again().await;
        let subject = match reason {
            "" => "All 11 servers are well".to_owned(),
            reason => format!("10 of 11 are well: {reason}"),
        };
        assert_eq!(message.parameters["Subject"], subject);
        let remarks: Vec<_> = remark.into_iter().collect();
        assert_eq!(message.default["fleet"]["remarks"], json!(remarks));
        assert!(remark.is_none_or(|remark| message.email.contains(remark)));
    }
    // An old reading, and one that was never sent.
    heartbeat(&watchdog, "web-3", 100, &[]).await;
    watchdog.set("web-3", "last_seen", Some(&stored(890))).await;
    let message = again().await;
    assert_eq!(message.parameters["Subject"], "10 of 11 are well: 1 unknown");
    // What is listed is not said twice.
    heartbeat(&watchdog, "web-3", 890, &full()).await;
    watchdog.sweep(895).await.unwrap();
    watchdog.topic.take();
    let message = again().await;
    assert_eq!(message.parameters["Subject"], "Still wrong: 1 problem");
    assert!(
        message
            .email
            .starts_with("Still wrong:\n\n10 of 11 are well: 1 with a problem\n\n1 problem:\n")
    );
}

// C10.1
#[tokio::test]
async fn servers_are_new_that_were_registered_since_the_last_digest() {
    let day = 86_400;
    for (last, registered, always, new) in [
        (
            Some(900 - day),
            vec![900 - 2 * day, 900 - day, 901 - day, 800],
            true,
            Some("2 new servers"),
        ),
        (Some(900 - day), vec![800], true, Some("1 new server")),
        (Some(900 - day), vec![900 - day], true, None),
        (Some(900 - 3 * day), vec![900 - 2 * day], true, Some("1 new server")),
        // There was none.
        (None, vec![900 - day, 800], true, Some("1 new server")),
        // For many, one is sent that would not be.
        (Some(900 - day), vec![800; 99], false, None),
        (Some(900 - day), vec![800; 100], false, Some("100 new servers")),
    ] {
        let at = if always { "10:45/always" } else { "10:45" };
        let watchdog = TestWatchdog::scheduled(&[("DIGEST_AT", at)]).await;
        if let Some(last) = last {
            watchdog.set_own("digest_at", last).await;
        }
        for (number, registered) in registered.iter().enumerate() {
            let id = format!("web-{number}");
            heartbeat(&watchdog, &id, 890, &[]).await;
            watchdog.set(&id, "registered_at", Some(&stored(*registered))).await;
        }
        // Silenced servers are new, too.
        watchdog.set("web-0", "silenced_until", Some(&stored(9000))).await;
        watchdog.sweep(900).await.unwrap();
        let message = digest(&watchdog);
        assert_eq!(message.is_some(), always || new.is_some(), "{new:?}");
        let Some(message) = message else { continue };
        let remarks: Vec<_> = new.into_iter().collect();
        assert_eq!(message.default["fleet"]["remarks"], json!(remarks), "{registered:?}");
        let summary = message.default["fleet"]["summary"].as_str().unwrap();
        assert_eq!(message.parameters["Subject"], summary);
        assert!(remarks.iter().all(|line| message.email.contains(&format!("\n{line}\n"))));
    }
}

// C10.1: at most five names in a line.
#[tokio::test]
async fn remarks_count_beyond_five() {
    let watchdog = TestWatchdog::scheduled(&[("DIGEST_AT", "10:45/always")]).await;
    for server in 1..=7 {
        let reading = [("reboot_required", number("1"))];
        heartbeat(&watchdog, &format!("web-{server}"), 890, &reading).await;
    }
    watchdog.sweep(900).await.unwrap();
    let message = digest(&watchdog).unwrap();
    let remarks = ["reboot required: web-1, web-2, web-3, web-4, web-5 and 2 more"];
    assert_eq!(message.default["fleet"]["remarks"], json!(remarks));
}

// C10.1 C15.4: what is full soon is a reason to send it, though nothing is wrong.
#[tokio::test]
async fn disks_that_are_full_within_30_days_are_named() {
    let watchdog = TestWatchdog::start_with(&[("DIGEST_AT", "10:45")]).await;
    heartbeat(&watchdog, "web-1", 890, &[]).await;
    let full_on = |disks: &[(&str, &str)]| {
        let disks = disks.iter().map(|(mount, day)| ((*mount).to_owned(), text(day)));
        AttributeValue::M(disks.collect())
    };
    let remarks = async |server: &str, disks: &[(&str, &str)]| {
        heartbeat(&watchdog, server, 890, &[]).await;
        watchdog.set_value(server, "full_on", full_on(disks)).await;
        watchdog.set("#watchdog", "digest_at", None).await;
        watchdog.sweep(900).await.unwrap();
        digest(&watchdog).map(|message| message.default["fleet"]["remarks"].clone())
    };
    // Today is 2026-01-18.
    assert_eq!(remarks("web-1", &[("/", "2026-02-18"), ("/gone", "2026-01-17")]).await, None);
    let line = "disk /data of web-2 is full in about 30 days at this pace";
    assert_eq!(remarks("web-2", &[("/data", "2026-02-17")]).await, Some(json!([line])));
    let days = ["/1", "/2", "/3"].map(|mount| (mount, "2026-01-30"));
    remarks("web-3", &days).await;
    let lines = [
        "disk /1 of web-3 is full in about 12 days at this pace",
        "disk /2 of web-3 is full in about 12 days at this pace",
        "disk /3 of web-3 is full in about 12 days at this pace",
        "disk /1 of web-4 is full in about 12 days at this pace",
        "disk /2 of web-4 is full in about 12 days at this pace",
        "2 more disks full within 30 days",
    ];
    assert_eq!(remarks("web-4", &days).await, Some(json!(lines)));
    // Never a problem of its own.
    assert_eq!(watchdog.topic.take(), []);
    let fleet = watchdog.item("web-2").await.unwrap();
    assert!(!fleet.contains_key("problems"));
}

// C10.1: what some agents do not say, if others do; and those that are older than this program.
#[tokio::test]
async fn updates_that_are_unknown_and_old_agents_are_counted() {
    let watchdog = TestWatchdog::scheduled(&[("DIGEST_AT", "10:45/always")]).await;
    let stack: Vec<u32> =
        env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse().unwrap()).collect();
    let newer = format!("{}.{}.{}", stack[0], stack[1], stack[2] + 1);
    let candidate = format!("{}-rc.1", env!("CARGO_PKG_VERSION"));
    let built = format!("{}+5f2b9a01", env!("CARGO_PKG_VERSION"));
    for (server, version) in [
        ("a", Some("0.0.9")),
        ("b", Some(&*candidate)),
        ("c", Some(&*built)),
        ("d", Some(&*newer)),
        ("e", Some("soon")),
        ("f", None),
        ("old-reading", Some("0.0.1-alpha")),
        ("silenced", Some("0.0.1")),
    ] {
        heartbeat(&watchdog, server, 890, &[]).await;
        watchdog.set(server, "agent_version", version).await;
    }
    heartbeat(&watchdog, "old-reading", 100, &[]).await;
    watchdog.set("old-reading", "last_seen", Some(&stored(890))).await;
    watchdog.set("old-reading", "agent_version", Some("0.0.1-alpha")).await;
    watchdog.set("silenced", "silenced_until", Some(&stored(9000))).await;
    let remarks = async || {
        watchdog.set("#watchdog", "digest_at", None).await;
        watchdog.sweep(900).await.unwrap();
        digest(&watchdog).unwrap().default["fleet"]["remarks"].clone()
    };
    let others = ["no fresh reading: old-reading", "agent older than the stack: 3"];
    assert_eq!(remarks().await, json!(others));
    heartbeat(&watchdog, "d", 890, &[("updates_available", number("0"))]).await;
    let all = ["updates unknown on 5", others[0], others[1]];
    assert_eq!(remarks().await, json!(all));
}

/// A server that answers every request with this status, and notes the path, the query and the authorization.
async fn listener(status: StatusCode) -> (String, Arc<Mutex<Vec<String>>>) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let noted = requests.clone();
    let route = move |method: axum::http::Method, uri: axum::http::Uri, headers: HeaderMap| {
        let user = headers.get("authorization").map(|user| user.to_str().unwrap().to_owned());
        let request = format!("{method} {uri} {}", user.unwrap_or_default());
        noted.lock().unwrap().push(request);
        async move { status }
    };
    let routes = Router::new().fallback(route);
    tokio::spawn(async { axum::serve(socket, routes).await.unwrap() });
    (address, requests)
}

// C10.3
#[tokio::test]
async fn a_ping_follows_each_sweep_that_did_all_of_its_work() {
    use crate::support::topic::Behavior;
    let (address, requests) = listener(StatusCode::OK).await;
    let url = format!("http://user:word@{address}/ping/secret?msg=up");
    let watchdog = TestWatchdog::start_with(&[("PING_URL", &url)]).await;
    watchdog.sweep(10).await.unwrap();
    let expected = "GET /ping/secret?msg=up Basic dXNlcjp3b3Jk";
    assert_eq!(*requests.lock().unwrap(), [expected]);
    watchdog.topic.set_behavior(Behavior::Rejects);
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(190).await.unwrap_err();
    assert_eq!(requests.lock().unwrap().len(), 1, "the topic failed");
    assert_eq!(lines(&watchdog.log(), "ping failed"), [] as [&serde_json::Value; 0]);
}

// C10.3: its failure is one warning, without the URL, and nothing else.
#[tokio::test]
async fn a_ping_that_fails_is_a_warning() {
    let (failing, requests) = listener(StatusCode::INTERNAL_SERVER_ERROR).await;
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let gone = closed.local_addr().unwrap().to_string();
    drop(closed);
    for (address, status, reason) in
        [(failing, json!(500), "it is rejected"), (gone, json!(null), "the connection is refused")]
    {
        let url = format!("http://{address}/secret");
        let watchdog = TestWatchdog::start_with(&[("PING_URL", &url)]).await;
        watchdog.sweep(10).await.unwrap();
        let log = watchdog.log();
        let [line] = lines(&log, "ping failed")[..] else { panic!("{log:?}") };
        assert_eq!(line["level"], "WARN");
        assert_eq!((&line["status"], &line["reason"]), (&status, &json!(reason)));
        assert!(!format!("{log:?}").contains("secret"));
    }
    assert_eq!(requests.lock().unwrap().len(), 1, "it is not retried");
}
