//! `heartbeatctl silence`, `forget` and `fleet`

use crate::support::{Place, text};
use chrono::{DateTime, TimeDelta, Utc};

fn stored(ago: i64) -> String {
    let time = Utc::now() - TimeDelta::seconds(ago);
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

async fn put(place: &Place, server: &str, status: &str, ago: i64) {
    let seen = stored(ago);
    let mut attributes = vec![
        ("server_id", text(server)),
        ("status", text(status)),
        ("last_seen", text(&seen)),
    ];
    if status == "offline" {
        attributes.push(("offline_since", text(&seen)));
    }
    place.put(&place.servers, &attributes).await;
}

#[tokio::test]
async fn a_server_is_silenced_for_a_time() {
    let place = Place::new().await;
    put(&place, "web-1", "online", 0).await;
    let run = place.run(&["silence", "web-1", "2h"]);
    assert_eq!((run.code, &*run.stdout), (0, ""), "{run:?}");
    let until = place.items(&place.servers).await[0]["silenced_until"]
        .as_s()
        .unwrap()
        .clone();
    assert!(run.stderr.contains(&until), "{run:?}");
    let left = until.parse::<DateTime<Utc>>().unwrap() - Utc::now();
    assert!(
        left > TimeDelta::minutes(119) && left <= TimeDelta::hours(2),
        "{left}"
    );
    assert_eq!(until.len(), "2026-01-18T10:30:00.000000Z".len());

    let run = place.run(&["--json", "silence", "web-1", "off"]);
    assert_eq!(run.json()["silenced_until"], serde_json::Value::Null);
    assert!(!place.items(&place.servers).await[0].contains_key("silenced_until"));
    assert_eq!(place.run(&["silence", "web-1", "soon"]).code, 2);
}

#[tokio::test]
async fn neither_silence_nor_forget_makes_a_server() {
    let place = Place::new().await;
    for arguments in [
        &["silence", "web-1", "2h"][..],
        &["silence", "web-1", "off"],
        &["forget", "web-1", "--yes"],
    ] {
        let run = place.run(arguments);
        assert_eq!(run.code, 1, "{arguments:?}");
        assert_eq!(
            run.stderr, "error: there is no server web-1\n",
            "{arguments:?}"
        );
    }
    assert_eq!(place.items(&place.servers).await, []);
}

// Without a terminal there is nobody to ask.
#[tokio::test]
async fn a_server_is_forgotten() {
    let place = Place::new().await;
    for server in ["web-1", "web-2", "web-3"] {
        put(&place, server, "online", 0).await;
    }
    for arguments in [&["forget", "web-1"][..], &["forget", "web-2", "--yes"]] {
        let run = place.run(arguments);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(
            run.stderr.contains("its next heartbeat registers it again"),
            "{run:?}"
        );
    }
    let left = place.items(&place.servers).await;
    assert_eq!((left.len(), &left[0]["server_id"]), (1, &text("web-3")));
}

#[tokio::test]
async fn the_fleet_shows_what_the_watchdog_knows() {
    let place = Place::new().await;
    put(&place, "well", "online", 5).await;
    put(&place, "marked", "offline", 100).await;
    put(&place, "late", "online", 4000).await;
    place.run(&["silence", "late", "2h"]);
    let run = place.run(&["fleet"]);
    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines[0], "3 servers, 2 offline");
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
