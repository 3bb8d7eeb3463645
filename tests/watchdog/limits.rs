//! C9: metrics that reach their limit, and C10: the digest.

use crate::support::topic::Behavior;
use crate::support::{Item, TestWatchdog, lines, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use serde_json::{Value, json};

/// Writes a heartbeat that is received at this second, with this reading of the disk and of the load.
async fn heartbeat(watchdog: &TestWatchdog, server_id: &str, seconds: i64, disk: &str, load: &str) {
    watchdog.heartbeat(server_id, seconds).await;
    let number = |value: &str| AttributeValue::N(value.to_owned());
    let metrics = [("disk_percent", disk), ("load_5m", load)];
    let mut reading: Item = metrics
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), number(value)))
        .collect();
    reading.insert("received_at".into(), text(&stored(seconds)));
    put(watchdog, server_id, "reading", AttributeValue::M(reading)).await;
}

async fn put(watchdog: &TestWatchdog, server_id: &str, name: &str, value: AttributeValue) {
    let update = watchdog.tables.client.update_item();
    update
        .table_name(&watchdog.tables.servers)
        .key("server_id", text(server_id))
        .update_expression("SET #name = :value")
        .expression_attribute_names("#name", name)
        .expression_attribute_values(":value", value)
        .send()
        .await
        .unwrap();
}

/// Metric, limit and whether it is pending, of each entry of `high`.
async fn high(watchdog: &TestWatchdog, server_id: &str) -> Vec<(String, String, bool)> {
    let item = watchdog.item(server_id).await.unwrap();
    let Some(high) = item.get("high") else {
        return Vec::new();
    };
    let mut entries: Vec<_> = high
        .as_m()
        .unwrap()
        .iter()
        .map(|(metric, entry)| {
            let entry = entry.as_m().unwrap();
            let limit = entry["limit"].as_n().unwrap().clone();
            (metric.clone(), limit, entry.contains_key("pending"))
        })
        .collect();
    entries.sort();
    entries
}

/// What was said since the last call: the list, server, metric, value and limit of each entry.
fn said(watchdog: &TestWatchdog) -> Vec<(&'static str, String, String, Value, Value)> {
    let published = watchdog.topic.take();
    let entries = published.iter().flat_map(|message| {
        ["high", "normal"].into_iter().flat_map(|list| {
            let entries = message.default[list].as_array().unwrap().iter();
            entries.map(move |entry| {
                let text = |name: &str| entry[name].as_str().unwrap().to_owned();
                let value = entry["value"].clone();
                (
                    list,
                    text("server_id"),
                    text("metric"),
                    value,
                    entry["limit"].clone(),
                )
            })
        })
    });
    entries.collect()
}

fn entry(
    list: &'static str,
    metric: &str,
    value: Value,
    limit: f64,
) -> (&'static str, String, String, Value, Value) {
    (
        list,
        "web-1".to_owned(),
        metric.to_owned(),
        value,
        json!(limit),
    )
}

// C9.3 C9.5 C9.6
#[tokio::test]
async fn a_full_disk_is_announced_once_and_so_is_its_end() {
    let watchdog = TestWatchdog::start().await;
    heartbeat(&watchdog, "web-1", 0, "89.9", "").await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);

    heartbeat(&watchdog, "web-1", 60, "93.1", "").await;
    watchdog.sweep(70).await.unwrap();
    let [message] = &watchdog.topic.take()[..] else {
        panic!("expected one message")
    };
    assert_eq!(message.parameters["Subject"], "web-1: disk_percent is high");
    assert_eq!(message.kinds, ["high"]);
    let expected = json!({
        "server_id": "web-1", "hostname": "web-1.lan", "metric": "disk_percent", "value": 93.1, "limit": 90.0,
        "since": stored(60),
    });
    assert_eq!(message.default["high"], json!([expected]));
    assert_eq!(
        message.email,
        "1 metric high:\n\nweb-1 (web-1.lan)\n  disk 93.1 %, limit 90 %, since 2026-01-18 10:31:00 UTC\n\n"
    );
    let is_high = [("disk_percent".to_owned(), "90".to_owned(), false)];
    assert_eq!(high(&watchdog, "web-1").await, is_high);
    let log = watchdog.log();
    let [line] = lines(&log, "metric high")[..] else {
        panic!("{log:?}")
    };
    assert_eq!(
        (&line["level"], &line["metric"]),
        (&json!("WARN"), &json!("disk_percent"))
    );
    let sweep = lines(&log, "sweep").pop().unwrap();
    assert_eq!((&sweep["high"], &sweep["normal"]), (&json!(1), &json!(0)));

    // It wavers.
    for (seconds, disk) in [(120, "99"), (180, "85.5"), (240, "90"), (300, "")] {
        heartbeat(&watchdog, "web-1", seconds, disk, "").await;
        watchdog.sweep(seconds + 10).await.unwrap();
        assert_eq!(watchdog.topic.take(), [], "{disk}");
        assert_eq!(high(&watchdog, "web-1").await, is_high, "{disk}");
    }
    watchdog.log();
    heartbeat(&watchdog, "web-1", 360, "85.4", "").await;
    watchdog.sweep(370).await.unwrap();
    assert_eq!(
        said(&watchdog),
        [entry("normal", "disk_percent", json!(85.4), 90.0)]
    );
    let item = watchdog.item("web-1").await.unwrap();
    assert!(!item.contains_key("high"), "an empty map is removed");
    let log = watchdog.log();
    assert_eq!(lines(&log, "metric normal")[0]["level"], "INFO");
    let sweep = lines(&log, "sweep").pop().unwrap();
    assert_eq!((&sweep["high"], &sweep["normal"]), (&json!(0), &json!(1)));
}

// C9.1
#[tokio::test]
async fn limits_may_be_for_any_metric_and_a_server_may_have_its_own() {
    let watchdog = TestWatchdog::start_with(&[("LIMITS", "disk_percent=90,load_5m=8")]).await;
    heartbeat(&watchdog, "web-1", 0, "91", "8").await;
    watchdog
        .set(
            "web-1",
            "limits",
            Some("disk_percent=97,load_5m=off,cpu_percent=1"),
        )
        .await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!(said(&watchdog), []);
    watchdog.set("web-1", "limits", None).await;
    watchdog.sweep(70).await.unwrap();
    let both = [
        entry("high", "disk_percent", json!(91), 90.0),
        entry("high", "load_5m", json!(8), 8.0),
    ];
    assert_eq!(said(&watchdog), both);
    watchdog
        .set("web-1", "limits", Some("disk_percent=off,load_5m=9"))
        .await;
    watchdog.sweep(130).await.unwrap();
    let both = [
        entry("normal", "disk_percent", json!(91), 90.0),
        entry("normal", "load_5m", json!(8), 8.0),
    ];
    assert_eq!(said(&watchdog), both);
}

// C9.3
#[tokio::test]
async fn a_limit_that_is_still_exceeded_changes_without_a_word() {
    let watchdog = TestWatchdog::start().await;
    heartbeat(&watchdog, "web-1", 0, "95", "").await;
    watchdog.sweep(10).await.unwrap();
    watchdog.topic.take();
    watchdog
        .set("web-1", "limits", Some("disk_percent=80"))
        .await;
    watchdog.sweep(70).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
    let is_high = [("disk_percent".to_owned(), "80".to_owned(), false)];
    assert_eq!(high(&watchdog, "web-1").await, is_high);
    watchdog
        .set("web-1", "limits", Some("disk_percent=95.1"))
        .await;
    watchdog.sweep(130).await.unwrap();
    assert_eq!(
        said(&watchdog),
        [entry("normal", "disk_percent", json!(95), 80.0)]
    );
}

// C9.2: nothing is said about a server that is not there, or whose reading is old.
#[tokio::test]
async fn only_fresh_readings_of_servers_that_are_there_are_judged() {
    let watchdog = TestWatchdog::start_with(&[("BACK_AFTER_SECONDS", "300")]).await;
    for (name, reading, seen) in [
        ("late", 0, 0),
        ("returned", 990, 990),
        ("old-reading", 389, 990),
        ("fresh-enough", 390, 990),
    ] {
        heartbeat(&watchdog, name, reading, "99", "").await;
        watchdog.heartbeat(name, seen).await;
    }
    watchdog
        .set("returned", "offline_since", Some(&stored(100)))
        .await;
    watchdog
        .set("returned", "announced", Some(&stored(100)))
        .await;
    watchdog.sweep(1000).await.unwrap();
    let said = said(&watchdog);
    let servers: Vec<_> = said.iter().map(|(_, server, ..)| server.as_str()).collect();
    assert_eq!(servers, ["fresh-enough"]);
}

// C9.3: silence is not recovery.
#[tokio::test]
async fn what_was_high_stays_high_while_the_server_is_away() {
    let watchdog = TestWatchdog::start().await;
    heartbeat(&watchdog, "web-1", 0, "95", "").await;
    watchdog.sweep(10).await.unwrap();
    watchdog.sweep(190).await.unwrap();
    watchdog.topic.take();
    let is_high = [("disk_percent".to_owned(), "90".to_owned(), false)];
    assert_eq!(high(&watchdog, "web-1").await, is_high);
    heartbeat(&watchdog, "web-1", 300, "20", "").await;
    watchdog.sweep(310).await.unwrap();
    assert_eq!(said(&watchdog), [], "its return comes first");
    watchdog.sweep(370).await.unwrap();
    assert_eq!(
        said(&watchdog),
        [entry("normal", "disk_percent", json!(20), 90.0)]
    );
}

// C9.3
#[tokio::test]
async fn nothing_becomes_high_or_ends_while_a_server_is_silenced() {
    let watchdog = TestWatchdog::start().await;
    heartbeat(&watchdog, "web-1", 0, "95", "").await;
    watchdog
        .set("web-1", "silenced_until", Some(&stored(100)))
        .await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!(
        (said(&watchdog), high(&watchdog, "web-1").await),
        (vec![], vec![])
    );
    watchdog.sweep(100).await.unwrap();
    assert_eq!(said(&watchdog).len(), 1);
    watchdog
        .set("web-1", "silenced_until", Some(&stored(200)))
        .await;
    heartbeat(&watchdog, "web-1", 150, "20", "").await;
    watchdog.sweep(160).await.unwrap();
    assert_eq!(
        (said(&watchdog), high(&watchdog, "web-1").await.len()),
        (vec![], 1)
    );
    watchdog.sweep(220).await.unwrap();
    assert_eq!(
        said(&watchdog),
        [entry("normal", "disk_percent", json!(20), 90.0)]
    );
}

// C9.3: what is pending is published again as what it is by then.
#[tokio::test]
async fn a_pending_entry_is_published_as_what_it_is_by_then() {
    for (disk, list) in [("95", "high"), ("86", "high"), ("20", "normal")] {
        let watchdog = TestWatchdog::start().await;
        heartbeat(&watchdog, "web-1", 0, "95", "").await;
        watchdog.topic.set_behavior(Behavior::LosesAnswers);
        watchdog.sweep(10).await.unwrap_err();
        assert_eq!(said(&watchdog).len(), 1);
        let is_pending = [("disk_percent".to_owned(), "90".to_owned(), true)];
        assert_eq!(high(&watchdog, "web-1").await, is_pending);
        watchdog.topic.set_behavior(Behavior::Accepts);
        heartbeat(&watchdog, "web-1", 60, disk, "").await;
        watchdog.sweep(70).await.unwrap();
        let value = json!(disk.parse::<u64>().unwrap());
        assert_eq!(said(&watchdog), [entry(list, "disk_percent", value, 90.0)]);
        let entries = high(&watchdog, "web-1").await;
        let expected: &[bool] = if list == "high" { &[false] } else { &[] };
        assert_eq!(
            entries.iter().map(|entry| entry.2).collect::<Vec<_>>(),
            expected
        );
    }
}

// C9.3 C9.4: what could not be written ahead is not published.
#[tokio::test]
async fn what_could_not_be_written_ahead_is_not_published() {
    let proxy = Proxy::start(&URL);
    let watchdog = TestWatchdog::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    heartbeat(&watchdog, "web-1", 0, "95", "").await;
    let mut updates = 0;
    proxy.rule(move |call| {
        updates += usize::from(call == Call::Server);
        (call == Call::Server && updates == 2)
            .then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(10).await.unwrap_err();
    assert_eq!(watchdog.topic.take(), []);
    proxy.heal();
    watchdog.sweep(70).await.unwrap();
    assert_eq!(said(&watchdog).len(), 1);
}

// C9.4: a server that was forgotten and came back starts anew.
#[tokio::test]
async fn a_server_that_registered_again_is_not_written_to() {
    for (name, value) in [
        ("registered_at", text(&stored(5))),
        ("high", AttributeValue::M(Item::new())),
    ] {
        let proxy = Proxy::start(&URL);
        let watchdog = TestWatchdog::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
        heartbeat(&watchdog, "web-1", 0, "95", "").await;
        watchdog
            .set("web-1", "registered_at", Some(&stored(0)))
            .await;
        let (client, table) = (
            watchdog.tables.client.clone(),
            watchdog.tables.servers.clone(),
        );
        let mut updates = 0;
        let changed = value.clone();
        proxy.rule(move |call| {
            updates += usize::from(call == Call::Server);
            if call == Call::Server && updates == 2 {
                let update = client.update_item().table_name(&table);
                let update = update
                    .key("server_id", text("web-1"))
                    .update_expression("SET #name = :value")
                    .expression_attribute_names("#name", name)
                    .expression_attribute_values(":value", changed.clone());
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()
                            .unwrap();
                        runtime.block_on(update.send()).unwrap();
                    });
                });
            }
            None
        });
        watchdog.sweep(10).await.unwrap();
        assert_eq!(watchdog.topic.take(), [], "{name}");
        assert_eq!(watchdog.item("web-1").await.unwrap()[name], value);
    }
}

// C9.1 C9.3: what cannot be read is ignored, and counted.
#[tokio::test]
async fn unreadable_limits_and_thresholds_are_ignored() {
    let watchdog = TestWatchdog::start().await;
    for (number, (name, value)) in [
        ("limits", text("disk=99")),
        ("limits", AttributeValue::N("99".into())),
        ("offline_after", text("900")),
        ("offline_after", AttributeValue::N("1.5".into())),
        ("offline_after", AttributeValue::N("-1".into())),
        ("offline_after", AttributeValue::N("31536001".into())),
        ("high", text("disk_percent")),
        (
            "high",
            AttributeValue::M([("disk_percent".to_owned(), text("high"))].into()),
        ),
        ("returned_at", text("then")),
    ]
    .into_iter()
    .enumerate()
    {
        let server_id = format!("web-{number}");
        heartbeat(&watchdog, &server_id, 0, "95", "").await;
        put(&watchdog, &server_id, name, value).await;
    }
    watchdog.sweep(10).await.unwrap();
    assert_eq!(said(&watchdog).len(), 9);
    let log = watchdog.log();
    let [line] = lines(&log, "items hold a value that cannot be read")[..] else {
        panic!("{log:?}")
    };
    assert_eq!(line["items"], 9);
}

// C10
#[tokio::test]
async fn a_digest_says_once_a_day_what_is_still_wrong() {
    let watchdog = TestWatchdog::start_with(&[("DIGEST_AT", "10:45"), ("HOLD_SECONDS", "0")]).await;
    for name in ["away", "silenced"] {
        heartbeat(&watchdog, name, 0, "20", "").await;
    }
    watchdog.sweep(190).await.unwrap();
    heartbeat(&watchdog, "full", 800, "95", "").await;
    watchdog.sweep(810).await.unwrap();
    watchdog.topic.take();
    watchdog
        .set("silenced", "silenced_until", Some(&stored(9000)))
        .await;

    watchdog.sweep(899).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
    watchdog.sweep(900).await.unwrap();
    let [message] = &watchdog.topic.take()[..] else {
        panic!("expected one message")
    };
    let offline = json!([{ "server_id": "away", "hostname": "away.lan", "last_seen": stored(0) }]);
    assert_eq!(message.default["digest"], true);
    assert_eq!(message.default["offline"], offline);
    assert_eq!(message.default["high"][0]["server_id"], "full");
    assert_eq!(message.default["omitted"], 0);
    assert_eq!(message.kinds, ["digest"]);
    assert_eq!(
        message.parameters["Subject"],
        "Still wrong: 1 server offline, 1 metric high"
    );
    assert!(
        message
            .email
            .starts_with("Still wrong:\n\n1 server offline:\n\naway (away.lan)\n")
    );
    watchdog.sweep(960).await.unwrap();
    assert_eq!(watchdog.topic.take(), [], "once");

    // The next day, after a gap.
    watchdog.set_own("swept_at", 86_000).await;
    watchdog.sweep_as_it_is(86_400 + 1_000).await.unwrap();
    let message = watchdog.topic.take().pop().unwrap();
    assert_eq!(message.kinds, ["digest"]);
}

// C10
#[tokio::test]
async fn there_is_no_digest_when_all_is_well_or_after_the_first_sweep() {
    let watchdog = TestWatchdog::start_with(&[("DIGEST_AT", "10:45")]).await;
    heartbeat(&watchdog, "web-1", 890, "20", "").await;
    watchdog.sweep(900).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
    watchdog.set("web-1", "status", Some("offline")).await;
    watchdog
        .set("web-1", "offline_since", Some(&stored(890)))
        .await;
    watchdog.set("web-1", "announced", Some(&stored(890))).await;
    watchdog.set("#watchdog", "swept_at", None).await;
    watchdog.sweep_as_it_is(900).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
}
