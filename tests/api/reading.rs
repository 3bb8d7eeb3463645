use crate::support::app::{
    Item, SERVER, TestApp, event, minimal, posting, size, text, with, with_header,
};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::dynamodb::URL;
use dev::proxy::Proxy;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tables::server::ATTRIBUTES;

/// The server's reading, if it has one, with every value as text.
async fn reading(app: &TestApp) -> Option<BTreeMap<String, String>> {
    let server = app.server().await?;
    let reading = server.get("reading")?.as_m().unwrap();
    Some(reading.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

/// A heartbeat with this metric, and an `Idempotency-Key`.
fn with_load(load: u32, key: &str) -> Value {
    let body = with("metrics", json!({ "load_1m": load }));
    with_header(posting(body.to_string()), "idempotency-key", key)
}

fn as_backlog(mut event: Value) -> Value {
    let mut body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    body["backlog"] = true.into();
    event["body"] = body.to_string().into();
    event
}

// C5.10
#[tokio::test]
async fn a_reading_holds_what_was_measured_and_when() {
    let app = TestApp::start().await;
    assert_eq!(app.send(&event("every-field")).await.status, 200);
    let mut row = app.rows().await.remove(0);
    for name in ["server_id", "recorded_at", "expires_at"] {
        row.remove(name);
    }
    // C5.12: the event has a list of each, with nothing to say. That of the services is no part of the row.
    row.insert("services".to_owned(), AttributeValue::M(Item::new()));
    let server = app.server().await.unwrap();
    assert_eq!(server["reading"], AttributeValue::M(row));
    let reading = server["reading"].as_m().unwrap();
    assert_eq!(server["last_seen"], reading["received_at"]);
}

// C5.10
#[tokio::test]
async fn a_reading_is_replaced_as_a_block_and_only_by_metrics() {
    let app = TestApp::start().await;
    let names = async || {
        let reading = reading(&app).await?;
        Some(reading.keys().map(String::as_str).collect::<Vec<_>>().join(" "))
    };
    for (metrics, expected) in [
        (None, None),
        (Some(json!({ "load_1m": 1, "load_5m": null })), Some("load_1m received_at timestamp")),
        (None, Some("load_1m received_at timestamp")),
        (Some(Value::Null), Some("load_1m received_at timestamp")),
        (Some(json!({ "cpu_percent": 2 })), Some("cpu_percent received_at timestamp")),
        (Some(json!({})), Some("received_at timestamp")),
    ] {
        let body = metrics.clone().map_or_else(minimal, |metrics| with("metrics", metrics));
        assert_eq!(app.post(&body).await.status, 200);
        assert_eq!(names().await.as_deref(), expected, "{metrics:?}");
    }
}

// C5.1 C5.10
#[tokio::test]
async fn a_stale_heartbeat_leaves_the_reading_unchanged() {
    let app = TestApp::start().await;
    let newer = ("last_seen", AttributeValue::S("9000-01-01T00:00:00.000000Z".into()));
    let by_hand = (
        "reading",
        AttributeValue::M([("load_1m".to_owned(), AttributeValue::N("7".into()))].into()),
    );
    app.tables.put_server(SERVER, [newer, by_hand]).await;
    let before = app.server().await;
    assert_eq!(app.send(&event("every-field")).await.status, 200);
    assert_eq!(app.server().await, before);
}

// C5.1 C5.10
#[tokio::test]
async fn concurrent_heartbeats_leave_the_reading_of_the_latest() {
    let app = TestApp::start().await;
    for round in 0..5 {
        let events: Vec<_> =
            (0..20).map(|load| with_load(load, &format!("{round}-{load}"))).collect();
        let answers = join_all(events.iter().map(|event| app.send(event))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        let rows = app.rows().await;
        let latest = rows.iter().max_by_key(|row| text(&row["received_at"])).unwrap();
        let reading = reading(&app).await.unwrap();
        assert_eq!(reading["received_at"], text(&latest["received_at"]));
        assert_eq!(reading["load_1m"], text(&latest["load_1m"]));
    }
}

// C3.9 C5.11
#[tokio::test]
async fn a_backlog_is_appended_and_touches_no_server() {
    let app = TestApp::start().await;
    let answer = app.send(&as_backlog(with_load(1, "one"))).await;
    assert_eq!(
        (answer.status, answer.body),
        (200, json!({ "status": "ok", "server_registered": false, "pending_commands": [] }))
    );
    assert_eq!((app.servers().await.len(), app.rows().await.len()), (0, 1));
    app.send(&with_load(2, "two")).await;
    let server = app.server().await;
    app.send(&as_backlog(with_load(3, "three"))).await;
    assert_eq!(app.server().await, server);
    assert_eq!(app.rows().await.len(), 3);

    let mut without_metrics = minimal();
    without_metrics["backlog"] = true.into();
    assert_eq!(app.post(&without_metrics).await.status, 200);
    assert_eq!((app.server().await, app.rows().await.len()), (server, 3));
}

// C5.11: a live heartbeat and its own backlog are one row, and the first one stays.
#[tokio::test]
async fn a_heartbeat_and_its_backlog_are_one_row() {
    let app = TestApp::start().await;
    for round in 0..10 {
        app.tables.clear().await;
        let live = with_load(1, &format!("key-{round}"));
        let late = as_backlog(with_load(2, &format!("key-{round}")));
        let (live, late) = tokio::join!(app.send(&live), app.send(&late));
        assert_eq!((live.status, late.status), (200, 200));
        assert_eq!((app.servers().await.len(), app.rows().await.len()), (1, 1));
    }
    app.tables.clear().await;
    app.send(&as_backlog(with_load(1, "first"))).await;
    app.send(&with_load(2, "first")).await;
    assert_eq!(text(&app.rows().await[0]["load_1m"]), "1");
    assert_eq!(reading(&app).await.unwrap()["load_1m"], "2");
}

// C2.5: a key that is bound to another server cannot append a backlog either.
#[tokio::test]
async fn a_backlog_needs_a_key_for_its_server() {
    let bound = format!("{}:another", crate::support::app::DIGEST);
    let app = TestApp::start_with(&[("API_KEY_SHA256", &bound)]).await;
    assert_eq!(app.send(&as_backlog(with_load(1, "one"))).await.status, 403);
    assert_eq!(app.rows().await, []);
}

/// What operators add to an item.
pub fn by_operators() -> [(&'static str, AttributeValue); 5] {
    let until = "2026-01-18T10:30:00.000000Z";
    let limits = "disk_percent=97,memory_percent=95,load_15m=12";
    [
        ("silenced_until", AttributeValue::S(until.into())),
        ("quiet", AttributeValue::S("Sun 02:00-04:00".into())),
        ("offline_after", AttributeValue::N("86400".into())),
        ("limits", AttributeValue::S(limits.into())),
        ("group", AttributeValue::S("g".repeat(16))),
    ]
}

/// What the watchdog leaves on the item of a server of which it has spoken: the last three times.
fn said_at() -> (&'static str, AttributeValue) {
    let times = ["1768732200", "1768732260", "1768732320"];
    let times = times.map(|time| AttributeValue::N(time.into()));
    ("said_at", AttributeValue::L(times.into()))
}

/// What is on the item of a server only while something is wrong, or has been.
const WRONG: [&str; 7] =
    ["offline_since", "announced", "returned_at", "problems", "duplicate_at", "left_at", "full_on"];

/// A heartbeat of a server with nothing wrong: a host name of 30 characters, every metric, three mount points of 20, and
/// services that all run.
pub fn healthy() -> Value {
    let mut body: Value =
        serde_json::from_str(event("every-field")["body"].as_str().unwrap()).unwrap();
    body["hostname"] = "h".repeat(30).into();
    body["agent_version"] = "2.0.0-rc.1+5f2b9a01".into();
    body["filesystems"] = ["a", "b", "c"]
        .map(|letter| {
            json!({
                "mount_point": format!("/{}", letter.repeat(19)),
                "used_bytes": 947,
                "available_bytes": 53,
            })
        })
        .into();
    body["services"] = (0..9)
        .map(|number| json!({ "name": format!("service-{number}"), "status": "running" }))
        .collect();
    body
}

// C5.9: both writes cost one unit, whatever operators have added. A backlog is one write.
#[tokio::test]
async fn a_heartbeat_of_a_server_with_nothing_wrong_costs_one_unit_per_write() {
    let proxy = Proxy::start(&URL);
    let app = TestApp::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    app.tables.put_server(SERVER, by_operators().into_iter().chain([said_at()])).await;
    let body = healthy().to_string();
    for key in ["1f0c9a52-9f6e-4b8c-8d53-6a3f7f0e2d11", "8d53-6a3f7f0e2d11"] {
        let event = with_header(posting(body.clone()), "idempotency-key", key);
        assert_eq!(app.send(&event).await.status, 200);
    }
    app.send(&event("backlog")).await;
    let expected = [
        ("PutItem", 1.0),
        ("PutItem", 1.0),
        ("PutItem", 1.0),
        ("UpdateItem", 1.0),
        ("UpdateItem", 1.0),
    ];
    assert_eq!(proxy.bill(), expected.map(|(name, units)| (name.to_owned(), units)));
    let item = app.server().await.unwrap();
    for attribute in ATTRIBUTES.iter().filter(|known| known.is_of_a_server()) {
        let name = attribute.name();
        let is_left_out = !item.contains_key(name);
        assert_eq!(is_left_out, WRONG.contains(&name), "{name}");
    }
    assert!(size(&item) <= 1_024, "{} bytes", size(&item));
}

// C5.9
#[tokio::test]
async fn a_server_with_everything_wrong_costs_two_units() {
    let proxy = Proxy::start(&URL);
    let app = TestApp::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    let time = || AttributeValue::S("2026-01-18T10:30:00.000000Z".into());
    let problem = |limit: &str| {
        let entry = [
            ("since".to_owned(), time()),
            ("limit".to_owned(), AttributeValue::N(limit.into())),
            ("pending".to_owned(), AttributeValue::Bool(true)),
        ];
        AttributeValue::M(entry.into())
    };
    let entries =
        [("disk_percent".to_owned(), problem("90")), ("memory_percent".to_owned(), problem("95"))];
    let times = ["offline_since", "announced", "returned_at", "duplicate_at"];
    let wrong = times.map(|name| (name, time()));
    let full_on = ["a", "b", "c"]
        .map(|name| (format!("/{}", name.repeat(19)), AttributeValue::S("2026-02-01".into())));
    let problems = [
        ("problems", AttributeValue::M(entries.into())),
        ("full_on", AttributeValue::M(full_on.into())),
    ];
    let attributes = by_operators().into_iter().chain(wrong).chain(problems).chain([said_at()]);
    app.tables.put_server(SERVER, attributes).await;
    let mut body = healthy();
    body["services"] = (0..9)
        .map(|number| {
            let reason = "r".repeat(90);
            json!({ "name": format!("{number:036}"), "status": "stopped", "status_reason": reason })
        })
        .collect();
    body["leaving"] = true.into();
    for _ in 0..2 {
        assert_eq!(app.post(&body).await.status, 200);
    }
    let expected = [("PutItem", 1.0), ("PutItem", 1.0), ("UpdateItem", 2.0), ("UpdateItem", 2.0)];
    assert_eq!(proxy.bill(), expected.map(|(name, units)| (name.to_owned(), units)));
    let item = app.server().await.unwrap();
    for attribute in ATTRIBUTES.iter().filter(|known| known.is_of_a_server()) {
        let name = attribute.name();
        assert!(item.contains_key(name), "this test leaves {name} out");
    }
}
