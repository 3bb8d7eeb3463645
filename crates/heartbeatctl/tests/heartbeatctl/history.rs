//! `heartbeatctl history`

use crate::support::{Place, Terminal, put_server, stored, text, wait_until};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::HashMap;
use tables::metric::METRICS;

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

/// Stores a row of `web-1`.
async fn put(place: &Place, time: DateTime<Utc>, metrics: &[(&str, String)]) {
    put_until(place, time, metrics, Utc::now() + TimeDelta::days(1)).await;
}

async fn put_until(
    place: &Place,
    time: DateTime<Utc>,
    metrics: &[(&str, String)],
    expires: DateTime<Utc>,
) {
    let timestamp = dev::tables::stored(time);
    let row = [
        ("server_id", text("web-1")),
        ("recorded_at", text(&format!("{timestamp}#1"))),
        ("timestamp", text(&timestamp)),
        ("received_at", text(&timestamp)),
        ("expires_at", number(&expires.timestamp().to_string())),
    ];
    let metrics = metrics.iter().map(|(name, value)| (*name, number(value)));
    place.put(&place.metrics, row.into_iter().chain(metrics)).await;
}

fn number(value: &str) -> AttributeValue {
    AttributeValue::N(value.to_owned())
}

/// Stores a row of `web-1` that says how full its file systems were.
async fn put_disks(place: &Place, time: DateTime<Utc>, disks: &[(&str, &str)]) {
    let disks = disks.iter().map(|(mount, percent)| ((*mount).to_owned(), number(percent)));
    let row = [
        ("server_id", text("web-1")),
        ("recorded_at", text(&format!("{}#1", dev::tables::stored(time)))),
        ("disk_percent", number("80")),
        ("disks", AttributeValue::M(disks.collect())),
    ];
    place.put(&place.metrics, row).await;
}

// C5.12 C13.7
#[tokio::test]
async fn each_file_system_has_a_past() {
    let place = Place::new().await;
    let start = at("2026-01-18T10:00:00Z");
    let [data, odd] = ["/data", "/a,\"b\"\u{202e}"];
    put_disks(&place, start, &[("/", "80"), (data, "40.1")]).await;
    put_disks(&place, start + TimeDelta::minutes(1), &[("/", "81"), (data, "40.4")]).await;
    put_disks(&place, start + TimeDelta::minutes(2), &[("/", "82"), (odd, "7")]).await;
    put(&place, start + TimeDelta::minutes(3), &[("disk_percent", "80".to_owned())]).await;
    let history = |more: &[&str]| {
        let period =
            ["history", "web-1", "--since", "2026-01-18", "--until", "2026-01-19", "--metric"];
        place.run(&[&period[..], more].concat())
    };
    let rows = history(&["disk_percent", "--csv"]).stdout;
    let lines: Vec<_> = rows.lines().collect();
    let names = "timestamp,received_at,disk_percent,disk_percent:/,\"disk_percent:/a,\"\"b\"\"\u{fffd}\",disk_percent:/data";
    assert_eq!(lines[0], names);
    let values: Vec<_> = lines[1..].iter().map(|line| line.split_once('Z').unwrap().1).collect();
    assert_eq!(values[..3], [",,80,80,,40.1", ",,80,81,,40.4", ",,80,82,7,"]);
    assert!(values[3].ends_with("Z,80,,,"), "{rows}");
    let run = history(&["disk_percent", "--json"]);
    assert!(run.stdout.contains(r#""/a,\"b\"\u202e":7"#), "{run:?}");
    let rows = run.json();
    assert_eq!(rows[1]["disks"], json!({ "/": 81.0, data: 40.4 }));
    assert_eq!(rows[2]["disks"], json!({ "/": 82.0, odd: 7.0 }));
    assert!(rows[3].get("disks").is_none());
    let buckets = history(&["disk_percent", "--json", "--every", "1h"]).json();
    let summary = |min: f64, mean: f64, max: f64| json!({ "min": min, "mean": mean, "max": max });
    assert_eq!(buckets[0]["disks"]["/"], summary(80.0, 81.0, 82.0));
    assert_eq!(buckets[0]["disks"][data], summary(40.1, 40.25, 40.4));
    assert_eq!(buckets[0]["disks"][odd], summary(7.0, 7.0, 7.0));
    let buckets = history(&["disk_percent", "--csv", "--every", "1h"]).stdout;
    let header = buckets.lines().next().unwrap();
    assert!(header.contains(",disk_percent:/_min,disk_percent:/_mean,disk_percent:/_max,"));
    assert!(buckets.contains(",80,80,80,80,81,82,7,7,7,40.1,40.25,40.4"), "{buckets}");
    let charts = history(&["disk_percent"]).stdout;
    let titles = charts.lines().filter(|line| line.contains("  min "));
    let titles: Vec<_> = titles.map(|line| line.split("  ").next().unwrap()).collect();
    let odd = "disk_percent:/a,\"b\"\u{fffd}";
    assert_eq!(titles, ["disk_percent", "disk_percent:/", odd, "disk_percent:/data"]);
    // Another metric is read without them.
    let other = history(&["cpu_percent", "--csv"]).stdout;
    assert!(!other.contains("disk"), "{other}");
}

/// Stores a day of `web-1`.
async fn put_day(place: &Place, date: NaiveDate, cpu: [f64; 3], bytes: u64) {
    let extent = |values: [f64; 3]| {
        AttributeValue::L(values.map(|value| number(&value.to_string())).to_vec())
    };
    let day = [
        ("server_id", text("#day:web-1")),
        ("recorded_at", text(&date.to_string())),
        ("rows", number("1440")),
        ("cpu_percent", extent(cpu)),
        ("network_rx_bytes", number(&bytes.to_string())),
        ("disks", AttributeValue::M([("/data".to_owned(), extent([70.0, 71.5, 73.0]))].into())),
    ];
    place.put(&place.metrics, day).await;
}

// C15.5
#[tokio::test]
async fn a_year_is_shown_by_days() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 5).await;
    let now = Utc::now();
    let date = |age: i64| (now - TimeDelta::days(age)).date_naive();
    // One was missed, and the last two are not written yet.
    for age in (3..=360).filter(|age| *age != 20) {
        put_day(&place, date(age), [1.0, 20.0, 90.0], 8_640_000).await;
    }
    // One that is older than a year.
    put_day(&place, date(500), [1.0, 20.0, 90.0], 1).await;
    for age in [2, 20] {
        let start = date(age).and_time(chrono::NaiveTime::MIN).and_utc();
        for (minute, cpu, bytes) in [(0, "10", "500"), (1, "40", "560"), (2, "25", "30")] {
            let metrics = [("cpu_percent", cpu.to_owned()), ("network_rx_bytes", bytes.to_owned())];
            put(&place, start + TimeDelta::minutes(minute), &metrics).await;
        }
    }
    let year = ["history", "web-1", "--since", "1y"];
    let json = place.run(&[&year[..], &["--json"]].concat()).json();
    let days = json.as_array().unwrap();
    assert_eq!(days.len(), 359);
    let at = |age: i64| {
        let time = format!("{}T00:00:00.000000Z", date(age));
        days.iter().find(|day| day["time"] == *time).unwrap_or_else(|| panic!("no {time}"))
    };
    let summary = |min: f64, mean: f64, max: f64| json!({ "min": min, "mean": mean, "max": max });
    assert_eq!(at(360)["cpu_percent"], summary(1.0, 20.0, 90.0));
    assert_eq!(at(360)["network_rx_bytes"], json!({ "mean": 100.0, "total": 8_640_000 }));
    assert_eq!(at(360)["disks"], json!({ "/data": summary(70.0, 71.5, 73.0) }));
    for age in [2, 20] {
        assert_eq!(at(age)["cpu_percent"], summary(10.0, 25.0, 40.0), "{age}");
        assert_eq!(at(age)["network_rx_bytes"]["total"], json!(90), "{age}");
    }
    let run = place.run(&[&year[..], &["--csv"]].concat());
    let rows = csv(&run.stdout);
    assert_eq!(rows.len(), 359);
    let row = &rows[0];
    assert_eq!((row["cpu_percent_min"], row["cpu_percent_max"]), ("1", "90"));
    assert_eq!((row["network_rx_bytes_mean"], row["network_rx_bytes_total"]), ("100", "8640000"));
    assert_eq!(row["disk_percent:/data_mean"], "71.5");
    let charts = place.run(&year).stdout;
    assert!(charts.starts_with("cpu_percent  min 1 % ("), "{charts}");
    assert!(charts.contains("max 90 % ("), "{charts}");
    assert!(charts.contains("disk_percent:/data  min 70 % ("), "{charts}");
    // Rows, if somebody asks for less than a day.
    let hours = place.run(&[&year[..], &["--json", "--every", "1h"]].concat()).json();
    assert_eq!(hours.as_array().unwrap().len(), 2);
    assert_eq!(
        place.run(&["history", "web-1", "--since", "31d", "--csv"]).stdout.lines().count(),
        7
    );
    let none = place.run(&["history", "web-1", "--since", "3y", "--until", "2y", "--json"]);
    assert_eq!(none.json(), json!([]));
}

// C15.6
#[tokio::test]
async fn uptime_stands_below_the_charts() {
    let place = Place::new().await;
    put(&place, Utc::now() - TimeDelta::minutes(5), &[("cpu_percent", "1".to_owned())]).await;
    let registered = [("registered_at", text(&stored(100 * 86_400)))];
    place.put_server("web-1", registered).await;
    let history = || place.run(&["history", "web-1", "--metric", "cpu_percent"]);
    assert!(!history().stdout.contains("Uptime"), "no watchdog writes events of one server");
    let since = stored(60 * 86_400);
    place.put_server("#watchdog", [("events_since", text(&since))]).await;
    let back = |server: &str| {
        json!({
            "time": stored(20 * 86_400), "offline": [], "problems": [], "solved": [], "omitted": 0,
            "back": [{
                "server_id": server, "hostname": null, "offline_since": stored(20 * 86_400 + 36 * 3_600 - 60),
                "returned_at": stored(20 * 86_400), "last_seen": stored(20 * 86_400),
            }],
        })
    };
    let event = [
        ("server_id", text("#events:web-1")),
        ("recorded_at", text(&stored(20 * 86_400))),
        ("said", text(&back("web-1").to_string())),
    ];
    place.put(&place.metrics, event).await;
    let run = history();
    // A day and a half, but for a minute, of 30 and of 60.
    let expected = "\n\nUptime: 100 % of 7 d, 95 % of 30 d, 97.5 % of 60 d\n";
    assert!(run.stdout.ends_with(expected), "{run:?}");
    // Not where a program reads.
    let run = place.run(&["history", "web-1", "--csv"]);
    assert!(!run.stdout.contains("Uptime"), "{run:?}");
}

fn csv(text: &str) -> Vec<HashMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().split(',').collect();
    lines.map(|line| names.iter().copied().zip(line.split(',')).collect()).collect()
}

#[tokio::test]
async fn csv_and_json_are_what_was_stored_oldest_first() {
    let place = Place::new().await;
    let start = at("2026-03-28T22:00:00.123456Z");
    let mut expected = Vec::new();
    // More than a page of a query, over the night in which clocks change.
    for minute in (0..1_100).rev() {
        let time = start + TimeDelta::minutes(minute);
        let metrics = [
            ("cpu_percent", format!("{}.25", minute % 100)),
            ("disk_total_gb", "9.9E+125".to_owned()),
            ("network_rx_bytes", u64::MAX.to_string()),
        ];
        // A row with no metric at all is a row, too.
        let metrics = if minute % 7 == 0 { &[][..] } else { &metrics };
        put(&place, time, metrics).await;
        expected.push((dev::tables::stored(time), minute));
    }
    expected.reverse();
    let period = ["--since", "2026-03-28", "--until", "2026-03-30"];
    let run = place.run(&[&["history", "web-1", "--csv"], &period[..]].concat());
    assert_eq!((run.code, &*run.stderr), (0, ""));
    let header = run.stdout.lines().next().unwrap();
    let names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(header, format!("timestamp,received_at,{}", names.join(",")));
    let rows = csv(&run.stdout);
    let json = place.run(&[&["history", "web-1", "--json"], &period[..]].concat());
    let json = json.json();
    let json = json.as_array().unwrap();
    assert_eq!((rows.len(), json.len()), (1_100, 1_100));
    for ((row, object), (time, minute)) in rows.iter().zip(json).zip(&expected) {
        assert_eq!((row["timestamp"], row["received_at"]), (&**time, &**time));
        assert_eq!(object["timestamp"], **time);
        if minute % 7 == 0 {
            assert_eq!(row["cpu_percent"], "");
            assert_eq!(object.as_object().unwrap().len(), 2, "{object}");
            continue;
        }
        assert_eq!(row["cpu_percent"], format!("{}.25", minute % 100));
        assert_eq!(row["disk_total_gb"], "9.9e125");
        assert_eq!(row["network_rx_bytes"], u64::MAX.to_string());
        assert_eq!(row["load_1m"], "");
        assert_eq!(object["network_rx_bytes"], json!(u64::MAX));
        assert_eq!(object["disk_total_gb"], json!(9.9e125));
        assert!(object.get("load_1m").is_none());
    }
    // The start is included, and the end is not.
    let [first, second] = [&expected[0].0, &expected[1].0];
    let one = ["history", "web-1", "--csv", "--since", first, "--until", second];
    assert_eq!(csv(&place.run(&one).stdout).len(), 1);
}

#[tokio::test]
async fn buckets_equal_a_plain_calculation() {
    let place = Place::new().await;
    let start = at("2026-01-17T23:50:00Z");
    let (mut cpu, mut bytes) = (Vec::new(), Vec::new());
    let mut counter = 1_000_000_u64;
    for minute in 0..60_i64 {
        // Twelve missing minutes, and a restart.
        if (30..42).contains(&minute) {
            continue;
        }
        let value = (minute * 37 % 101) as f64 / 2.0;
        counter = if minute == 50 { 17 } else { counter + minute as u64 * 600 };
        let time = start + TimeDelta::minutes(minute);
        cpu.push((time, value));
        bytes.push((time, counter));
        let metrics =
            [("cpu_percent", value.to_string()), ("network_tx_bytes", counter.to_string())];
        put(&place, time, &metrics).await;
    }
    let rates = bytes.windows(2).filter_map(|pair| {
        let seconds = (pair[1].0 - pair[0].0).num_seconds();
        let is_gap = seconds > 60 || pair[1].1 < pair[0].1;
        (!is_gap).then(|| (pair[1].0, (pair[1].1 - pair[0].1) as f64 / seconds as f64))
    });
    let rates: Vec<_> = rates.collect();
    let summary = |points: &[(DateTime<Utc>, f64)], from: DateTime<Utc>| {
        let inside =
            points.iter().filter(|(time, _)| (from..from + TimeDelta::minutes(15)).contains(time));
        let values: Vec<_> = inside.map(|(_, value)| *value).collect();
        let sum: f64 = values.iter().sum();
        let min = values.iter().copied().reduce(f64::min)?;
        Some([min, sum / values.len() as f64, values.iter().copied().reduce(f64::max)?])
    };
    let period = ["--since", "2026-01-17", "--until", "2026-01-19", "--every", "15m"];
    let json = place.run(&[&["history", "web-1", "--json"], &period[..]].concat()).json();
    let buckets = json.as_array().unwrap();
    // The first ends at midnight.
    let times: Vec<_> = buckets.iter().map(|bucket| bucket["time"].as_str().unwrap()).collect();
    assert_eq!(times[..2], ["2026-01-17T23:45:00.000000Z", "2026-01-18T00:00:00.000000Z"]);
    assert_eq!(times.len(), 5);
    let close = |given: &Value, expected: f64| {
        (given.as_f64().unwrap() - expected).abs() < 1e-9 * expected.max(1.0)
    };
    let run = place.run(&[&["history", "web-1", "--csv"], &period[..]].concat());
    let rows = csv(&run.stdout);
    for (bucket, row) in buckets.iter().zip(&rows) {
        let from = at(bucket["time"].as_str().unwrap());
        for (name, points) in [("cpu_percent", &cpu), ("network_tx_bytes", &rates)] {
            let expected = summary(points, from);
            assert_eq!(bucket.get(name).is_some(), expected.is_some(), "{name} {from}");
            for (index, part) in ["min", "mean", "max"].into_iter().enumerate() {
                let cell = row[&*format!("{name}_{part}")];
                let Some(expected) = expected else {
                    assert_eq!(cell, "");
                    continue;
                };
                assert!(close(&bucket[name][part], expected[index]), "{name} {part} {from}");
                assert!(close(&json!(cell.parse::<f64>().unwrap()), expected[index]));
            }
        }
        assert_eq!(row["load_1m_min"], "");
    }
    let days = [
        "history",
        "web-1",
        "--json",
        "--since",
        "2026-01-17",
        "--until",
        "2026-01-19",
        "--every",
        "1d",
    ];
    let days = place.run(&days).json();
    let days: Vec<_> = days.as_array().unwrap().iter().map(|day| day["time"].clone()).collect();
    assert_eq!(days, ["2026-01-17T00:00:00.000000Z", "2026-01-18T00:00:00.000000Z"]);
}

#[tokio::test]
async fn expired_rows_and_rows_in_the_future_are_left_out() {
    let place = Place::new().await;
    let now = Utc::now();
    let metrics = [("cpu_percent", "1".to_owned())];
    for minutes in [3, 2, 1] {
        put(&place, now - TimeDelta::minutes(minutes), &metrics).await;
    }
    put_until(&place, now - TimeDelta::minutes(4), &metrics, now - TimeDelta::seconds(1)).await;
    // A clock that is a little ahead is shown.
    put(&place, now + TimeDelta::minutes(2), &metrics).await;
    for ahead in [TimeDelta::hours(1), TimeDelta::days(30_000)] {
        put(&place, now + ahead, &metrics).await;
    }
    let run = place.run(&["history", "web-1", "--csv"]);
    assert_eq!(csv(&run.stdout).len(), 4, "{run:?}");
    assert!(run.stderr.starts_with("2 rows lie in the future"), "{run:?}");
    // A period in the past says nothing about the future.
    let run = place.run(&["history", "web-1", "--csv", "--until", "90s"]);
    assert_eq!((csv(&run.stdout).len(), &*run.stderr), (2, ""), "{run:?}");
}

#[tokio::test]
async fn charts_fill_the_terminal() {
    let place = Place::new().await;
    for minute in 1..180 {
        let metrics = [
            ("cpu_percent", (minute % 60).to_string()),
            ("network_rx_bytes", (10_000 - minute * 60).to_string()),
        ];
        put(&place, Utc::now() - TimeDelta::minutes(minute), &metrics).await;
    }
    let terminal = Terminal::new();
    let status = place
        .tool()
        .args(["history", "web-1", "--since", "3h"])
        .stdout(terminal.stream())
        .spawn()
        .unwrap()
        .wait()
        .unwrap();
    assert!(status.success());
    wait_until("the charts", || terminal.output().contains("network_tx_bytes"));
    let output = terminal.output();
    let lines: Vec<_> = output.lines().map(|line| line.trim_end_matches('\r')).collect();
    assert!(lines[0].starts_with("cpu_percent  min 0 % ("), "{output}");
    assert!(lines[0].contains("max 59 % ("), "{output}");
    let widest = lines.iter().map(|line| line.chars().count()).max();
    assert_eq!(widest, Some(80), "{output}");
    assert!(output.contains("network_rx_bytes  min 1 B/s"), "{output}");
    assert!(output.contains("load_1m: no values"), "{output}");
    let run = place.run(&["history", "web-1", "--metric", "cpu_percent"]);
    assert_eq!(run.stdout.matches(" min ").count(), 1, "{run:?}");
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 5).await;
    let run = place.run(&["history", "web-1", "--csv"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.starts_with("web-1 has no rows from "), "{run:?}");
    assert_eq!(run.stdout.lines().count(), 1, "{run:?}");
    assert_eq!(place.run(&["history", "web-1", "--json"]).json(), json!([]));
    let run = place.run(&["history", "web-2"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("there is no server web-2"), "{run:?}");
    for (arguments, reason) in [
        (&["--since", "1h", "--until", "2h"][..], "ends before it starts"),
        (&["--since", "soon"], "neither a duration"),
        (&["--metric", "cpu"], "it is none of cpu_percent"),
        (&["--every", "5m"], "needs '--csv' or '--json'"),
        (&["--csv", "--json"], "cannot be used with"),
        (&["--csv", "--every", "0s"], "shorter than a second"),
    ] {
        let run = place.run(&[&["history", "web-1"], arguments].concat());
        assert!(run.code != 0 && run.stderr.contains(reason), "{run:?}");
    }
    // A row that a person has made.
    let row =
        [("server_id", text("web-1")), ("recorded_at", text(&format!("{}#by-hand", stored(60))))];
    place.put(&place.metrics, row).await;
    let rows = place.run(&["history", "web-1", "--json"]).json();
    assert!(rows[0]["timestamp"].is_string() && rows[0].get("received_at").is_none());
}
