//! C15: a row for each server and day.

use crate::support::{Item, OWN_METRICS, TestWatchdog, lines, stored, text};
use aws_sdk_dynamodb::types::AttributeValue::{self, M, N};
use chrono::{NaiveDate, TimeDelta};
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// When it is the turn of `web-1`, on the tests' own clock: 21:19.
const SLOT: i64 = 649 * MINUTE;

/// 2026-01-16, which is due then: seconds after its midnight.
const fn on_the_16th(seconds: i64) -> i64 {
    seconds - 2 * DAY - (10 * 60 + 30) * MINUTE
}

const SETTINGS: [(&str, &str); 2] = [("METRICS_TABLE", OWN_METRICS), ("HISTORY_DAYS", "400")];

async fn start_with(settings: &[(&str, &str)]) -> TestWatchdog {
    TestWatchdog::start_with(&[&SETTINGS, settings].concat()).await
}

/// Stores a row of a server.
async fn append(watchdog: &TestWatchdog, server: &str, row: &Value) {
    let number = |value: &Value| N(value.to_string());
    let disks = row["disks"].as_object().into_iter().flatten();
    let disks = disks.map(|(mount, percent)| (mount.clone(), number(percent)));
    let metrics = row["metrics"].as_object().into_iter().flatten();
    let own = [
        ("server_id", text(server)),
        ("recorded_at", text(&format!("{}#1", row["timestamp"].as_str().unwrap()))),
        ("received_at", text(row["received_at"].as_str().unwrap())),
        ("disks", M(disks.collect())),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value)).into_iter();
    let metrics = metrics.map(|(name, value)| (name.clone(), number(value)));
    watchdog.tables.put(&watchdog.tables.metrics, own.chain(metrics)).await;
}

/// Stores a row with one value.
async fn measure(watchdog: &TestWatchdog, server: &str, seconds: i64, cpu: f64) {
    let time = stored(seconds);
    let row = json!({ "timestamp": time, "received_at": time, "metrics": { "cpu_percent": cpu } });
    append(watchdog, server, &row).await;
}

/// The days of a server, by their date.
async fn days(watchdog: &TestWatchdog, server: &str) -> BTreeMap<String, Item> {
    let query = watchdog.tables.client.query();
    let found = query
        .table_name(&watchdog.tables.metrics)
        .key_condition_expression("server_id = :days")
        .expression_attribute_values(":days", text(&format!("#day:{server}")))
        .send();
    let items = found.await.unwrap().items.unwrap().into_iter();
    items.map(|item| (item["recorded_at"].as_s().unwrap().clone(), item)).collect()
}

async fn dates(watchdog: &TestWatchdog, server: &str) -> Vec<String> {
    days(watchdog, server).await.into_keys().collect()
}

/// As JSON.
fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => text.as_str().into(),
        AttributeValue::N(number) => number.parse::<f64>().unwrap().into(),
        AttributeValue::L(list) => list.iter().map(plain).collect(),
        AttributeValue::M(map) => {
            map.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Rows at random: values that are absent, resets, gaps, file systems that come and go, and what was sent later.
fn rows(random: &mut fastrand::Rng) -> Vec<Value> {
    let (mut rows, mut counter, mut time) = (Vec::new(), 1_000_u64, on_the_16th(-DAY));
    while time < on_the_16th(2 * DAY) {
        time += random.i64(1..60) * MINUTE;
        counter =
            if random.u8(..40) == 0 { random.u64(..50) } else { counter + random.u64(..9_999) };
        let late = if random.u8(..10) == 0 { random.i64(0..7_200) } else { 0 };
        let mut metrics = json!({ "network_rx_bytes": counter, "reboot_required": random.u8(..2) });
        for name in ["cpu_percent", "temperature_celsius", "load_1m"] {
            if random.u8(..4) > 0 {
                metrics[name] = (random.f64() * 90.0 - 1.0).abs().into();
            }
        }
        let mounts = ["/", "/data", "/Ä b"].into_iter().filter_map(|mount| {
            let percent = f64::from(random.u16(..1_000)) / 10.0;
            (random.u8(..3) > 0).then_some((mount, percent))
        });
        let disks: BTreeMap<_, _> = mounts.collect();
        let (timestamp, received_at) = (stored(time), stored(time + late));
        rows.push(json!({
            "timestamp": timestamp, "received_at": received_at, "metrics": metrics, "disks": disks,
        }));
    }
    rows
}

/// What another program makes of these rows.
fn reckon(rows: &[Value]) -> Value {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/watchdog/days/reckoning.py");
    let mut python = Command::new("python3");
    let python = python.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = python.spawn().unwrap();
    running.stdin.take().unwrap().write_all(&serde_json::to_vec(rows).unwrap()).unwrap();
    serde_json::from_slice(&running.wait_with_output().unwrap().stdout).unwrap()
}

/// Whether two numbers, or two lists of them, are the same, but for what is rounded.
fn is_close(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_close(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_in_both =
                |(name, value)| other.get(name).is_some_and(|other| is_close(value, other));
            one.len() == other.len() && one.iter().all(is_in_both)
        }
        _ => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap());
            (one - other).abs() <= 1e-5 * other.abs()
        }
    }
}

// C15.1 C15.2
#[tokio::test]
async fn a_day_is_what_another_program_makes_of_its_rows() {
    let seed =
        std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let rows = rows(&mut fastrand::Rng::with_seed(seed));
    let watchdog = start_with(&[]).await;
    watchdog.heartbeat("web-1", SLOT).await;
    for row in &rows {
        append(&watchdog, "web-1", row).await;
    }
    watchdog.sweep(SLOT).await.unwrap();
    let mut expected = reckon(&rows);
    // That of the 17th is not due.
    assert!(expected.as_object_mut().unwrap().remove("2026-01-17").is_some());
    let days = days(&watchdog, "web-1").await;
    assert_eq!(days.keys().collect::<Vec<_>>(), ["2026-01-15", "2026-01-16"]);
    for (date, mut item) in days {
        let end = date.parse::<NaiveDate>().unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc();
        let expires_at = (end + TimeDelta::days(401)).timestamp().to_string();
        assert_eq!(item.remove("expires_at"), Some(N(expires_at)));
        item.retain(|name, _| !["server_id", "recorded_at"].contains(&name.as_str()));
        let day = plain(&M(item));
        assert!(is_close(&day, &expected[&date]), "{date}: {day} is not {}", expected[&date]);
    }
    let log = watchdog.log();
    let line = lines(&log, "days")[0];
    assert_eq!(
        [&line["servers"], &line["written"], &line["cut"]],
        [&json!(1), &json!(2), &json!(0)]
    );
}

// C15.2: a day is never written twice, nor for a server in another slot; one without a row is not written.
#[tokio::test]
async fn a_day_is_written_once_in_its_slot() {
    let watchdog = start_with(&[]).await;
    for server in ["web-1", "web-2"] {
        watchdog.heartbeat(server, SLOT).await;
        measure(&watchdog, server, on_the_16th(0), 1.0).await;
    }
    for minutes in [-1, 1] {
        watchdog.set_own("rolled_until", SLOT + (minutes - 1) * MINUTE).await;
        watchdog.sweep(SLOT + minutes * MINUTE).await.unwrap();
        assert!(dates(&watchdog, "web-1").await.is_empty(), "{minutes}");
    }
    watchdog.set_own("rolled_until", SLOT - MINUTE).await;
    watchdog.sweep(SLOT + 5).await.unwrap();
    assert_eq!(watchdog.own("rolled_until").await, Some(stored(SLOT)));
    let before = days(&watchdog, "web-1").await;
    assert_eq!(before.keys().collect::<Vec<_>>(), ["2026-01-16"]);
    // Its last row is too late.
    measure(&watchdog, "web-1", on_the_16th(60), 99.0).await;
    watchdog.set_own("rolled_until", SLOT - MINUTE).await;
    watchdog.sweep(SLOT).await.unwrap();
    assert_eq!(days(&watchdog, "web-1").await, before);
    assert!(dates(&watchdog, "web-2").await.is_empty());
}

// C15.2: a backlog may be a day late.
#[tokio::test]
async fn a_backlog_that_comes_a_day_late_is_in_its_day() {
    let watchdog = start_with(&[]).await;
    watchdog.heartbeat("web-1", SLOT).await;
    measure(&watchdog, "web-1", on_the_16th(0), 1.0).await;
    // A day before, in the same slot, and once more at the end of that day.
    for seconds in [SLOT - DAY, SLOT - DAY + 160 * MINUTE] {
        watchdog.set_own("rolled_until", seconds - MINUTE).await;
        watchdog.sweep(seconds).await.unwrap();
        assert!(dates(&watchdog, "web-1").await.is_empty());
    }
    let late = json!({
        "timestamp": stored(on_the_16th(DAY - 1)),
        "received_at": stored(on_the_16th(2 * DAY - 1)),
        "metrics": { "cpu_percent": 5 },
    });
    append(&watchdog, "web-1", &late).await;
    watchdog.set_own("rolled_until", SLOT - MINUTE).await;
    watchdog.sweep(SLOT).await.unwrap();
    let day = &days(&watchdog, "web-1").await["2026-01-16"];
    assert_eq!(
        (plain(&day["rows"]), plain(&day["cpu_percent"])),
        (json!(2.0), json!([1.0, 3.0, 5.0]))
    );
}

// C15.2 C15.3: what was missed is made up for when the slot comes again, up to 7 days before the latest.
#[tokio::test]
async fn a_crash_between_query_and_put_is_made_up_for_the_next_day() {
    let proxy = Proxy::start(&URL);
    let watchdog = start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    watchdog.heartbeat("web-1", SLOT).await;
    for age in 0..12 {
        measure(&watchdog, "web-1", on_the_16th(-age * DAY), 1.0).await;
    }
    proxy.rule(|call| {
        (call == Call::Metrics).then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    let error = watchdog.sweep(SLOT).await.unwrap_err().to_string();
    assert!(error.contains("AccessDeniedException"), "{error}");
    let log = watchdog.log();
    let line = lines(&log, "days not written")[0];
    assert_eq!((&line["level"], &line["servers"]), (&json!("WARN"), &json!(1)));
    assert!(dates(&watchdog, "web-1").await.is_empty());
    proxy.heal();
    watchdog.sweep(SLOT + MINUTE).await.unwrap();
    assert!(dates(&watchdog, "web-1").await.is_empty(), "another slot");
    watchdog.set_own("rolled_until", SLOT + DAY - MINUTE).await;
    watchdog.sweep(SLOT + DAY).await.unwrap();
    let dates = dates(&watchdog, "web-1").await;
    // The 17th has no row.
    assert_eq!((dates.len(), &*dates[0], &*dates[6]), (7, "2026-01-10", "2026-01-16"));
}

// C15.2
#[tokio::test]
async fn after_an_outage_two_slots_are_taken_by_each_sweep() {
    let watchdog = start_with(&[]).await;
    watchdog.heartbeat("web-1", SLOT).await;
    measure(&watchdog, "web-1", on_the_16th(0), 1.0).await;
    let minutes = |count: i64| count * MINUTE;
    // An outage of an hour, which began before the slot: it is the 30th of those that were missed.
    watchdog.set_own("rolled_until", SLOT - minutes(30)).await;
    for sweep in 0..15 {
        assert!(dates(&watchdog, "web-1").await.is_empty(), "{sweep}");
        watchdog.sweep(SLOT + minutes(30 + sweep)).await.unwrap();
        let taken = SLOT + minutes(2 * (sweep + 1) - 30);
        assert_eq!(watchdog.own("rolled_until").await, Some(stored(taken)));
    }
    assert_eq!(dates(&watchdog, "web-1").await, ["2026-01-16"]);
    // One of two days: it goes on a day before.
    let back = SLOT + 2 * DAY;
    watchdog.sweep(back).await.unwrap();
    assert_eq!(watchdog.own("rolled_until").await, Some(stored(back - DAY + minutes(2))));
}

/// Stores a day of `web-1` on which its file system was so full.
async fn put_day(watchdog: &TestWatchdog, date: NaiveDate, percent: f64) {
    let extent = AttributeValue::L(vec![N(percent.to_string()); 3]);
    let day = [
        ("server_id", text("#day:web-1")),
        ("recorded_at", text(&date.to_string())),
        ("rows", N("1".to_owned())),
        ("disks", M([("/data".to_owned(), extent)].into())),
    ];
    watchdog.tables.put(&watchdog.tables.metrics, day).await;
}

// C15.4
#[tokio::test]
async fn when_a_disk_is_full_is_noted_as_long_as_it_fills() {
    let watchdog = start_with(&[]).await;
    watchdog.heartbeat("web-1", SLOT).await;
    let full_on = async || watchdog.item("web-1").await.unwrap().get("full_on").map(plain);
    let latest: NaiveDate = "2026-01-16".parse().unwrap();
    // One point a day; 87 % on the day that is still to be written.
    for age in 1..=6 {
        put_day(&watchdog, latest - TimeDelta::days(age), 87.0 - age as f64).await;
    }
    watchdog.sweep(SLOT).await.unwrap();
    assert_eq!(full_on().await, None, "six days");
    let time = stored(on_the_16th(0));
    let row = json!({ "timestamp": time, "received_at": time, "disks": { "/data": 87 } });
    append(&watchdog, "web-1", &row).await;
    watchdog.set_own("rolled_until", SLOT - MINUTE).await;
    watchdog.sweep(SLOT).await.unwrap();
    assert_eq!(full_on().await, Some(json!({ "/data": "2026-01-29" })));
    // Somebody has made room.
    put_day(&watchdog, latest + TimeDelta::days(1), 40.0).await;
    watchdog.set_own("rolled_until", SLOT + DAY - MINUTE).await;
    watchdog.heartbeat("web-1", SLOT + DAY).await;
    watchdog.sweep(SLOT + DAY).await.unwrap();
    assert_eq!(full_on().await, None);
    assert_eq!(watchdog.topic.take(), [], "it is no announcement");
}

// C15.3: never at the cost of judging.
#[tokio::test]
async fn with_less_than_half_of_its_time_left_a_sweep_writes_no_day() {
    let proxy = Proxy::start_here(&URL);
    let watchdog = start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    watchdog.heartbeat("web-1", SLOT).await;
    measure(&watchdog, "web-1", on_the_16th(0), 1.0).await;
    watchdog.set_own("swept_at", SLOT - MINUTE).await;
    watchdog.set_own("rolled_until", SLOT - MINUTE).await;
    proxy.delay(Call::Scan, Duration::from_secs(12));
    tokio::time::pause();
    watchdog.sweep_within(SLOT, Duration::from_secs(20)).await.unwrap();
    tokio::time::resume();
    assert_eq!(watchdog.own("swept_at").await, Some(stored(SLOT)), "it was complete");
    assert_eq!(watchdog.own("rolled_until").await, Some(stored(SLOT - MINUTE)));
    assert!(dates(&watchdog, "web-1").await.is_empty());
    // The next one takes both.
    proxy.delay(Call::Scan, Duration::ZERO);
    watchdog.sweep(SLOT + MINUTE).await.unwrap();
    assert_eq!(watchdog.own("rolled_until").await, Some(stored(SLOT + MINUTE)));
    assert_eq!(dates(&watchdog, "web-1").await, ["2026-01-16"]);
}

// C15.2: rows that may have begun to expire make no day.
#[tokio::test]
async fn days_are_off_without_days_to_keep_and_with_rows_that_expire_too_soon() {
    for settings in [
        [("HISTORY_DAYS", "0"), ("METRICS_TABLE", OWN_METRICS)],
        [("METRICS_TABLE", ""), ("HISTORY_DAYS", "400")],
        [("METRICS_RETENTION_DAYS", "2"), ("METRICS_TABLE", OWN_METRICS)],
    ] {
        let watchdog = start_with(&settings).await;
        watchdog.heartbeat("web-1", SLOT).await;
        measure(&watchdog, "web-1", on_the_16th(0), 1.0).await;
        watchdog.sweep(SLOT).await.unwrap();
        assert!(dates(&watchdog, "web-1").await.is_empty(), "{settings:?}");
    }
}
