use crate::support::app::{
    Item, SERVER, TestApp, event, minimal, posting, text, with, with_header,
};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// A minimal heartbeat with this `Idempotency-Key`.
fn with_idempotency_key(key: &str) -> Value {
    with_header(posting(minimal().to_string()), "idempotency-key", key)
}

async fn put(app: &TestApp, attributes: &[(&str, &str)]) {
    let item = attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), AttributeValue::S((*value).into())));
    let item: Item = item.chain([("server_id".into(), AttributeValue::S(SERVER.into()))]).collect();
    put_item(app, item).await;
}

async fn put_item(app: &TestApp, item: Item) {
    let put = app.tables.client.put_item().table_name(&app.tables.servers);
    put.set_item(Some(item)).send().await.unwrap();
}

// C5.1 C6.1
#[tokio::test]
async fn the_first_heartbeat_registers_the_server() {
    let app = TestApp::start().await;
    let answer = app.send(&event("every-field")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({ "status": "ok", "server_registered": true, "pending_commands": [] })
    );
    let server = app.server().await.unwrap();
    let mut names: Vec<_> = server.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "agent_version",
            "architecture",
            "hostname",
            "kernel_version",
            "last_seen",
            "m1",
            "m2",
            "m3",
            "os_distribution",
            "os_version",
            "reading",
            "registered_at",
            "registration_id",
            "server_id",
            "status"
        ]
    );
    assert_eq!(text(&server["status"]), "online");
    assert_eq!(text(&server["hostname"]), "omv-mediaserver.home.lan");
    assert_eq!(text(&server["registration_id"]), "omv-mediaserver-1768732200");
    assert_eq!(server["registered_at"], server["last_seen"]);
}

// C5.1 C5.4
#[tokio::test]
async fn the_next_heartbeat_updates_the_server() {
    let app = TestApp::start().await;
    app.post(&minimal()).await;
    let first = app.server().await.unwrap();
    let answer = app.post(&with("hostname", json!("renamed"))).await;
    assert_eq!((answer.status, &answer.body["server_registered"]), (200, &json!(false)));
    let server = app.server().await.unwrap();
    assert_eq!(text(&server["hostname"]), "renamed");
    assert_eq!(
        (&server["registered_at"], &server["registration_id"]),
        (&first["registered_at"], &first["registration_id"])
    );
    assert!(text(&server["last_seen"]) > text(&first["last_seen"]));
}

// C5.1: a newer heartbeat has been recorded already, which is not an error.
#[tokio::test]
async fn a_stale_heartbeat_leaves_the_server_unchanged() {
    let app = TestApp::start().await;
    put(&app, &[("last_seen", "9000-01-01T00:00:00.000000Z"), ("hostname", "newer")]).await;
    let before = app.server().await;
    let answer = app.send(&event("heartbeat")).await;
    assert_eq!((answer.status, &answer.body["server_registered"]), (200, &json!(false)));
    assert_eq!(app.server().await, before);
    assert_eq!(app.rows().await.len(), 1);
}

// C5.2
#[tokio::test]
async fn one_of_a_hundred_concurrent_first_heartbeats_registers_the_server() {
    let app = TestApp::start().await;
    for _ in 0..5 {
        app.tables.clear().await;
        let body = with("metrics", json!({ "cpu_percent": 1 }));
        let answers = join_all((0..100).map(|_| app.post(&body))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        let registered =
            answers.iter().filter(|answer| answer.body["server_registered"] == json!(true));
        assert_eq!(registered.count(), 1);
        assert_eq!((app.servers().await.len(), app.rows().await.len()), (1, 100));
    }
}

// C5.2: a retry of the heartbeat that registered the server reports the registration again. No other heartbeat does.
#[tokio::test]
async fn a_retried_registration_is_reported_again() {
    let app = TestApp::start().await;
    for (name, registered) in
        [("one", true), ("one", true), ("two", false), ("one", true), ("two", false)]
    {
        let answer = app.send(&with_idempotency_key(name)).await;
        assert_eq!(
            (answer.status, &answer.body["server_registered"]),
            (200, &json!(registered)),
            "{name}"
        );
    }
}

// C5.2: even if a newer heartbeat arrived in between.
#[tokio::test]
async fn a_retried_registration_is_reported_after_a_newer_heartbeat() {
    let app = TestApp::start().await;
    app.send(&with_idempotency_key("one")).await;
    let mut server = app.server().await.unwrap();
    server.insert("last_seen".into(), AttributeValue::S("9000-01-01T00:00:00.000000Z".into()));
    put_item(&app, server).await;
    let answer = app.send(&with_idempotency_key("one")).await;
    assert_eq!((answer.status, &answer.body["server_registered"]), (200, &json!(true)));
}

// C5.2: DynamoDB reports a failed condition and does not return the item.
#[tokio::test]
async fn a_failed_condition_without_an_item_means_a_known_server() {
    let proxy = Proxy::start(&URL);
    let app = TestApp::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    proxy.rule(|call| {
        let fault = Fault::Reject(400, "ConditionalCheckFailedException");
        (call == Call::Server).then_some(fault)
    });
    let answer = app.post(&minimal()).await;
    let registered = &answer.body["server_registered"];
    assert_eq!((answer.status, registered), (200, &json!(false)));
}

// C5.2: what the watchdog and `heartbeatctl silence` add does not change the answer to a retry.
#[tokio::test]
async fn a_retried_registration_is_reported_whatever_the_watchdog_has_written() {
    let app = TestApp::start().await;
    for attribute in ["offline_since", "announced", "silenced_until"] {
        app.tables.clear().await;
        app.send(&with_idempotency_key("one")).await;
        let mut server = app.server().await.unwrap();
        let time = AttributeValue::S("2026-01-18T10:30:00.000000Z".into());
        server.insert(attribute.into(), time);
        put_item(&app, server).await;
        for (name, registered) in [("one", true), ("two", false), ("one", true)] {
            let answer = app.send(&with_idempotency_key(name)).await;
            let registered = json!(registered);
            assert_eq!(answer.body["server_registered"], registered, "{attribute}");
        }
    }
}

// C5.1: a `last_seen` that no heartbeat can have written does not block the server.
#[tokio::test]
async fn an_invalid_last_seen_is_overwritten() {
    let app = TestApp::start().await;
    for last_seen in [
        AttributeValue::N("99999999999".into()),
        AttributeValue::Bool(true),
        AttributeValue::Null(true),
        AttributeValue::M(Item::new()),
        AttributeValue::S("9999-12-31T23:59:60Z".into()),
        AttributeValue::S("yesterday".into()),
        AttributeValue::S("~".into()),
    ] {
        app.tables.clear().await;
        let key = ("server_id".into(), AttributeValue::S(SERVER.into()));
        let last_seen = ("last_seen".into(), last_seen);
        put_item(&app, Item::from([key, last_seen.clone()])).await;
        let answer = app.post(&minimal()).await;
        assert_eq!(answer.status, 200, "{last_seen:?}");
        let server = app.server().await.unwrap();
        let is_time = server["last_seen"].as_s().is_ok_and(|time| time.starts_with("20"));
        assert!(is_time, "{last_seen:?} became {:?}", server["last_seen"]);
    }
    let app = TestApp::start().await;
    put(&app, &[("last_seen", "9999-12-31T23:59:59.999999Z")]).await;
    let before = app.server().await;
    assert_eq!(app.post(&minimal()).await.status, 200);
    assert_eq!(app.server().await, before, "the latest possible time is kept");
}

// C5.2
#[tokio::test]
async fn an_item_that_holds_only_its_key_counts_as_new() {
    let app = TestApp::start().await;
    put(&app, &[]).await;
    assert_eq!(app.post(&minimal()).await.body["server_registered"], json!(true));
}

// C5.3
#[tokio::test]
async fn an_item_made_by_hand_counts_as_existing() {
    let app = TestApp::start().await;
    for by_hand in [
        ("owner", "alice"),
        ("hostname", "by-hand"),
        ("status", "retired"),
        ("registered_at", "2020-01-01"),
        ("last_seen", "2020-01-01T00:00:00Z"),
        ("os_version", "11"),
        ("architecture", "arm64"),
        ("registration_id", "by hand"),
        ("silenced_until", "2030-01-01T00:00:00.000000Z"),
        ("offline_since", "2020-01-01T00:00:00.000000Z"),
        ("announced", "2020-01-01T00:00:00.000000Z"),
    ] {
        app.tables.clear().await;
        put(&app, &[by_hand]).await;
        let answer = app.send(&with_idempotency_key("one")).await;
        assert_eq!(
            (answer.status, &answer.body["server_registered"]),
            (200, &json!(false)),
            "{by_hand:?}"
        );
        let server = app.server().await.unwrap();
        assert_eq!(text(&server["status"]), "online");
        if !["hostname", "status", "last_seen"].contains(&by_hand.0) {
            assert_eq!(text(&server[by_hand.0]), by_hand.1);
        }
    }
}

// C5.5
#[tokio::test]
async fn os_info_replaces_its_four_attributes_as_a_block() {
    const NAMES: [&str; 4] = ["os_distribution", "os_version", "kernel_version", "architecture"];
    let app = TestApp::start().await;
    let stored = async || {
        let server = app.server().await.unwrap();
        NAMES.map(|name| server.get(name).map(text))
    };
    let full = json!({ "distribution": "Debian", "version": "12", "kernel": "6.1", "architecture": "x86_64" });
    let all = ["Debian", "12", "6.1", "x86_64"].map(|value| Some(value.to_owned()));
    for (os_info, expected) in [
        (Some(full), all.clone()),
        (None, all.clone()),
        (Some(Value::Null), all),
        (Some(json!({ "version": "13", "kernel": null })), [None, Some("13".into()), None, None]),
        (Some(json!({})), [None, None, None, None]),
    ] {
        let body = os_info.clone().map_or_else(minimal, |os_info| with("os_info", os_info));
        assert_eq!(app.post(&body).await.status, 200);
        assert_eq!(stored().await, expected, "{os_info:?}");
    }
}
