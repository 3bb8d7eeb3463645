//! C8.1–3: which servers are judged, and the result.

use crate::support::{TestWatchdog, at, lines, pending, state, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use heartbeat::deadline::time_budget;
use heartbeat::watchdog::{DEFAULT_TIME, as_of};
use serde_json::json;
use std::time::{Duration, SystemTime};

// C8.1
#[test]
fn a_sweep_uses_the_time_of_its_event() {
    let now = at(0);
    for (event, time) in [
        (json!({ "time": "2026-01-18T10:31:00Z" }), at(60)),
        (json!({ "time": "2026-01-18T11:31:00.000+01:00" }), at(60)),
        (json!({ "time": "soon" }), now),
        (json!({ "time": 1 }), now),
        (json!({}), now),
        (json!(null), now),
        (json!([]), now),
    ] {
        assert_eq!(as_of(&event, now), time, "{event}");
    }
}

// C8.8: a sweep ends before Lambda's deadline. A deadline in the past, as `cargo lambda watch` sends it, is ignored.
#[test]
fn a_sweep_has_a_little_less_time_than_lambda_gives_it() {
    let now = SystemTime::now();
    let milliseconds = Duration::from_millis;
    for (left, time) in [(50_000, 49_000), (10_000, 9_000), (2_000, 1_800)] {
        let deadline = now + milliseconds(left);
        assert_eq!(time_budget(deadline, now, DEFAULT_TIME), milliseconds(time), "{left}");
    }
    let past = SystemTime::UNIX_EPOCH + milliseconds(600_000);
    assert_eq!(time_budget(past, now, DEFAULT_TIME), milliseconds(45_000));
}

// C8.1 C8.2: a server is late after the threshold, not at it.
#[tokio::test]
async fn a_late_server_becomes_offline() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(180).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    assert_eq!(watchdog.topic.take(), []);

    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), Some(0)));
    let item = watchdog.item("web-1").await.unwrap();
    assert_eq!(item["last_seen"], text(&stored(0)));
    assert_eq!(item["hostname"], text("web-1.lan"));
    assert_eq!(watchdog.topic.take().len(), 1);

    watchdog.sweep(241).await.unwrap();
    assert_eq!(watchdog.topic.take(), [], "announced once");
}

// C8.1: only servers that are online and have a readable time are judged. All other items stay as they are.
#[tokio::test]
async fn all_other_items_stay_unchanged() {
    let watchdog = TestWatchdog::start().await;
    let online = ("status", text("online"));
    let items: [(&str, Vec<(&str, AttributeValue)>); 9] = [
        ("key-only", vec![]),
        ("retired", vec![("status", text("retired")), ("last_seen", text(&stored(0)))]),
        (
            "number",
            vec![("status", AttributeValue::N("1".into())), ("last_seen", text(&stored(0)))],
        ),
        ("no-status", vec![("last_seen", text(&stored(0)))]),
        ("no-time", vec![online.clone()]),
        ("odd-time", vec![online.clone(), ("last_seen", text("yesterday"))]),
        ("odd-type", vec![online.clone(), ("last_seen", AttributeValue::N("0".into()))]),
        ("offline", vec![("status", text("offline")), ("last_seen", text(&stored(0)))]),
        ("silenced", vec![("silenced_until", text(&stored(9)))]),
    ];
    for (server_id, attributes) in &items {
        watchdog.put(server_id, attributes).await;
    }
    let mut before = Vec::new();
    for (server_id, _) in &items {
        before.push(watchdog.item(server_id).await);
    }
    watchdog.heartbeat("late", 0).await;
    watchdog.sweep(1000).await.unwrap();
    for ((server_id, _), before) in items.iter().zip(before) {
        assert_eq!(watchdog.item(server_id).await, before, "{server_id}");
    }
    assert_eq!(watchdog.state("late").await, state("offline", Some(0), Some(0)));
    let log = watchdog.log();
    let malformed = lines(&log, "items hold a value that cannot be read");
    let [line] = malformed.as_slice() else { panic!("{log:?}") };
    assert_eq!((&line["level"], &line["items"]), (&json!("WARN"), &json!(2)));
}

// C8.2: a heartbeat that arrives between the scan and the verdict wins.
#[tokio::test]
async fn a_heartbeat_after_the_scan_wins() {
    let proxy = Proxy::start(&URL);
    let watchdog = TestWatchdog::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    watchdog.heartbeat("web-1", 0).await;
    let (dynamodb, table) = (watchdog.tables.client.clone(), watchdog.tables.servers.clone());
    before_update(FIRST, &proxy, move || {
        let update = dynamodb.update_item().table_name(&table);
        let update = update.key("server_id", text("web-1"));
        update
            .update_expression("SET last_seen = :now")
            .expression_attribute_values(":now", text(&stored(190)))
            .send()
    });
    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    assert_eq!(watchdog.topic.take(), []);
}

// C8.2 C8.5: a server that is deleted after the scan is not created again: not by the verdict, and not by recording its
// announcement or its return.
#[tokio::test]
async fn a_deleted_server_is_not_created_again() {
    for (number, is_away) in [(FIRST, false), (FIRST + 1, false), (FIRST, true)] {
        let proxy = Proxy::start(&URL);
        let watchdog = TestWatchdog::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
        watchdog.heartbeat("web-1", 0).await;
        if is_away {
            watchdog.set("web-1", "offline_since", Some(&stored(-500))).await;
        }
        let (dynamodb, table) = (watchdog.tables.client.clone(), watchdog.tables.servers.clone());
        before_update(number, &proxy, move || {
            let delete = dynamodb.delete_item().table_name(&table);
            delete.key("server_id", text("web-1")).send()
        });
        watchdog.sweep(if is_away { 10 } else { 181 }).await.unwrap();
        assert_eq!(watchdog.item("web-1").await, None);
    }
}

// C8.2 C8.5: no update of a sweep overwrites what has changed since the scan.
#[tokio::test]
async fn changes_since_the_scan_are_kept() {
    let [retired, offline] = ["retired", "offline"].map(text);
    let other_absence = text(&stored(-900));
    for (number, is_back, attribute, value, after) in [
        // The updates of the verdict, of the announcement, and (twice) of the return.
        (FIRST, false, "status", &retired, state("retired", None, None)),
        (FIRST + 1, false, "offline_since", &other_absence, pending("offline", -900)),
        (FIRST, true, "offline_since", &other_absence, state("online", Some(-900), None)),
        (FIRST, true, "status", &offline, state("offline", Some(-500), None)),
    ] {
        let proxy = Proxy::start(&URL);
        let watchdog = TestWatchdog::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
        watchdog.heartbeat("web-1", 0).await;
        if is_back {
            let since = stored(-500);
            watchdog.set("web-1", "offline_since", Some(&since)).await;
        }
        let (dynamodb, table) = (watchdog.tables.client.clone(), watchdog.tables.servers.clone());
        let value = value.clone();
        before_update(number, &proxy, move || {
            let update = dynamodb.update_item().table_name(&table);
            update
                .key("server_id", text("web-1"))
                .update_expression("SET #attribute = :value")
                .expression_attribute_names("#attribute", attribute)
                .expression_attribute_values(":value", value.clone())
                .send()
        });
        watchdog.sweep(if is_back { 10 } else { 181 }).await.unwrap();
        assert_eq!(watchdog.state("web-1").await, after, "update {number}: {attribute}");
    }
}

/// The first update after that of the watchdog's own item.
const FIRST: usize = 2;

/// Runs an action before the update with this number reaches DynamoDB.
fn before_update<F: Future>(
    number: usize,
    proxy: &Proxy,
    action: impl Fn() -> F + Send + Clone + 'static,
) {
    let mut updates = 0;
    proxy.rule(move |call| {
        updates += usize::from(call == Call::Server);
        if call == Call::Server && updates == number {
            let action = action.clone();
            let thread = std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(action());
            });
            thread.join().unwrap();
        }
        None::<Fault>
    });
}

// C8.3: a heartbeat sets the server online and does not touch the watchdog's attributes.
#[tokio::test]
async fn a_heartbeat_brings_a_server_back() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(181).await.unwrap();
    watchdog.heartbeat("web-1", 200).await;
    assert_eq!(watchdog.state("web-1").await, state("online", Some(0), Some(0)));
    watchdog.topic.take();
    watchdog.sweep(241).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["back"][0]["server_id"], "web-1");
    watchdog.sweep(301).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
}

// C8.10
#[tokio::test]
async fn a_sweep_and_each_change_are_logged() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("away", 0).await;
    watchdog.heartbeat("healthy", 170).await;
    watchdog.sweep(181).await.unwrap();
    let log = watchdog.log();
    let [offline] = lines(&log, "server offline")[..] else { panic!("{log:?}") };
    assert_eq!((&offline["level"], &offline["server_id"]), (&json!("WARN"), &json!("away")));
    let [sweep] = lines(&log, "sweep")[..] else { panic!("{log:?}") };
    assert_eq!(sweep["level"], "INFO");
    for (field, value) in
        [("servers", 2), ("late", 1), ("offline", 1), ("back", 0), ("held", 0), ("away", 1)]
    {
        assert_eq!(sweep[field], value, "{field}");
    }
    assert!(sweep["milliseconds"].is_u64(), "{sweep}");

    watchdog.sweep(190).await.unwrap();
    let log = watchdog.log();
    let sweep = lines(&log, "sweep")[0];
    assert_eq!((&sweep["offline"], &sweep["away"]), (&json!(0), &json!(1)));

    watchdog.heartbeat("away", 200).await;
    watchdog.sweep(241).await.unwrap();
    let log = watchdog.log();
    let [back] = lines(&log, "server back")[..] else { panic!("{log:?}") };
    assert_eq!((&back["level"], &back["server_id"]), (&json!("INFO"), &json!("away")));
    assert_eq!(lines(&log, "sweep")[0]["back"], 1);
}

// C8.1: more servers than one page of a scan holds.
#[tokio::test]
async fn a_table_of_several_pages_is_read_to_the_end() {
    let watchdog = TestWatchdog::start_with(&[("HOLD_SECONDS", "0")]).await;
    let padding = ("padding", text(&"x".repeat(100_000)));
    for number in 0..30 {
        let seen = ("last_seen", text(&stored(if number % 2 == 0 { 0 } else { 150 })));
        let attributes = [("status", text("online")), seen, padding.clone()];
        watchdog.put(&format!("web-{number}"), &attributes).await;
    }
    watchdog.sweep(181).await.unwrap();
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["offline"].as_array().unwrap().len(), 15);
    assert_eq!(lines(&watchdog.log(), "sweep")[0]["servers"], 30);
}
