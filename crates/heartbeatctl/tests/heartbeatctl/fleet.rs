//! `heartbeatctl fleet`

use crate::support::{Place, Terminal, put_server, stored, terminate, text, wait_until};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::dynamodb;
use dev::proxy::{Call, Fault, Proxy};
use serde_json::json;
use std::process::Stdio;

/// Stores a row of metrics that was sent so many seconds ago.
async fn put_metrics(place: &Place, id: &str, ago: i64, metrics: &[(&str, &str)]) {
    let recorded_at = format!("{}#{id}", stored(ago));
    let mut row = vec![
        ("server_id", text("web-1")),
        ("recorded_at", text(&recorded_at)),
    ];
    let number = |value: &str| AttributeValue::N(value.to_owned());
    row.extend(metrics.iter().map(|(name, value)| (*name, number(value))));
    place.put(&place.metrics, row).await;
}

#[tokio::test]
async fn the_fleet_shows_what_the_watchdog_knows() {
    let place = Place::new().await;
    put_server(&place, "well", "online", 5).await;
    put_server(&place, "marked", "offline", 100).await;
    put_server(&place, "late", "online", 4000).await;
    place.run(&["silence", "late", "2h"]);
    let run = place.run(&["fleet"]);
    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines[0], "3 servers, 2 offline, 1 silenced");
    for (line, server, status) in [
        (3, "marked", "offline"),
        (4, "late", "offline"),
        (5, "well", "online"),
    ] {
        assert!(
            lines[line].starts_with(server) && lines[line].contains(status),
            "{run:?}"
        );
    }
    assert!(run.stdout.contains("late is silenced until "), "{run:?}");

    let fleet = place.run(&["fleet", "--json"]).json();
    assert_eq!(fleet[0]["server_id"], "marked");
    assert_eq!(fleet[0]["offline_since"], fleet[0]["last_seen"]);
    assert!(fleet[1]["silenced_until"].is_string());
    assert_eq!(fleet[2]["offline_since"], serde_json::Value::Null);
}

#[tokio::test]
async fn the_fleet_shows_the_metrics_of_the_last_hour() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 5).await;
    put_metrics(&place, "old", 3700, &[("cpu_percent", "100")]).await;
    put_metrics(&place, "a", 30 * 60 + 5, &[("cpu_percent", "20")]).await;
    put_metrics(&place, "b", 30 * 60 + 3, &[("cpu_percent", "40")]).await;
    put_metrics(&place, "c", 30 * 60 + 1, &[("cpu_percent", "30")]).await;
    let newest = [
        ("cpu_percent", "12.5"),
        ("memory_percent", "67.2"),
        ("disk_percent", "91"),
        ("load_1m", "9.9E+125"),
        ("uptime_seconds", "1100000"),
    ];
    put_metrics(&place, "d", 5, &newest).await;

    let fleet = place.run(&["fleet", "--json"]).json();
    for (name, expected) in [
        ("cpu_percent", 12.5),
        ("memory_percent", 67.2),
        ("disk_percent", 91.0),
        ("load_1m", 9.9e125),
        ("uptime_seconds", 1_100_000.0),
    ] {
        assert_eq!(fleet[0][name], expected, "{name}");
    }
    let minutes = fleet[0]["cpu_percent_by_minute"].as_array().unwrap();
    assert_eq!(minutes.len(), 60);
    let readings: Vec<_> = minutes.iter().filter(|minute| !minute.is_null()).collect();
    assert_eq!(readings, [40.0, 12.5], "the highest of each minute");
    assert_eq!(minutes[59], 12.5);

    let table = place.run(&["fleet"]).stdout;
    let row = table.lines().last().unwrap();
    for cell in ["online", " 12 ", "─  67", "╸  91", ">9999", "12days", "▂"] {
        assert!(row.contains(cell), "{cell}: {table}");
    }
    assert!(row.chars().count() <= 80, "{table}");
}

#[tokio::test]
async fn a_view_reads_the_newest_rows_only() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 5).await;
    put_metrics(&place, "first", 50 * 60, &[("cpu_percent", "99")]).await;
    let rows = (0..500).map(|row| format!("{row:03}"));
    for id in rows {
        put_metrics(&place, &id, 60, &[("cpu_percent", "1")]).await;
    }
    let fleet = place.run(&["fleet", "--json"]).json();
    let minutes = fleet[0]["cpu_percent_by_minute"].as_array().unwrap();
    assert!(minutes.contains(&json!(1.0)), "{minutes:?}");
    assert!(!minutes.contains(&json!(99.0)), "{minutes:?}");
}

#[tokio::test]
async fn watch_needs_a_terminal() {
    let run = Place::new().await.run(&["fleet", "--watch"]);
    assert_eq!(
        (run.code, &*run.stderr),
        (1, "error: --watch needs a terminal\n")
    );
}

#[tokio::test]
async fn watch_survives_failures_and_restores_the_screen() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 5).await;
    let proxy = Proxy::start(&dynamodb::URL);
    let terminal = Terminal::new();
    let mut tool = place.tool();
    let tool = tool
        .env("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)
        .args(["fleet", "--watch", "1s"])
        .stdout(terminal.stream())
        .stderr(Stdio::piped());
    let child = tool.spawn().unwrap();
    wait_until("a first frame", || terminal.output().contains("web-1"));
    assert!(
        terminal.output().contains("\u{1b}[?1049h"),
        "another screen"
    );

    let denied = Fault::Reject(400, "AccessDeniedException");
    proxy.rule(move |call| matches!(call, Call::Scan).then_some(denied));
    wait_until("the error", || {
        let output = terminal.output();
        let error = output.split_once("not refreshed: AccessDeniedException");
        error.is_some_and(|(_, frame)| frame.contains("web-1"))
    });
    proxy.heal();
    put_server(&place, "web-2", "online", 5).await;
    wait_until("a frame after the error", || {
        terminal.output().contains("web-2")
    });

    terminate(&child);
    let ended = child.wait_with_output().unwrap();
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{ended:?}"
    );
    wait_until("the screen is restored", || {
        terminal.output().ends_with("\u{1b}[?25h\u{1b}[?1049l")
    });
}

#[tokio::test]
async fn watch_reports_a_first_read_that_fails() {
    let place = Place::new().await;
    let terminal = Terminal::new();
    let mut tool = place.tool();
    let tool = tool
        .env("SERVERS_TABLE", "nowhere")
        .args(["fleet", "--watch"]);
    let tool = tool.stdout(terminal.stream()).stderr(Stdio::piped());
    let ended = tool.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "error: there is no table nowhere in this region\n"
    );
    assert_eq!(terminal.output(), "", "an error is not drawn over");
}
