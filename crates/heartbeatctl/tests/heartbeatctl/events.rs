//! `heartbeatctl events`

use crate::support::{Place, text};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{TimeDelta, Utc};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// Stores an event of so many hours ago.
async fn put(place: &Place, hours: i64, message: &Value) {
    put_under(place, "#events", hours, message).await;
}

async fn put_under(place: &Place, id: &str, hours: i64, message: &Value) {
    let at = Utc::now() - TimeDelta::hours(hours);
    let expires = (Utc::now() + TimeDelta::days(1)).timestamp().to_string();
    let event = [
        ("server_id", text(id)),
        ("recorded_at", text(&dev::tables::stored(at))),
        ("said", text(&message.to_string())),
        ("expires_at", AttributeValue::N(expires)),
    ];
    place.put(&place.metrics, event).await;
}

// C12
#[tokio::test]
async fn events_are_said_in_words_newest_last() {
    let place = Place::new().await;
    let since = "2026-01-18T10:00:00.000000Z";
    let problem = json!({
        "server_id": "db-1", "hostname": "db\u{1b}[31m", "kind": "disk", "name": "/data", "value": 93.1, "limit": 90.0,
        "since": since,
    });
    let offline = json!({
        "time": "2026-01-18T10:03:01.000000Z", "problems": [problem],
        "offline": [{ "server_id": "web-1", "hostname": null, "last_seen": since }], "omitted": 3,
    });
    let back = json!({ "time": "2026-01-18T11:03:01.000000Z", "back": [{
        "server_id": "web-1", "hostname": null, "offline_since": since, "returned_at": "2026-01-18T11:00:00.000000Z",
    }] });
    put(&place, 2, &back).await;
    put(&place, 3, &offline).await;
    put(&place, 24 * 8, &offline).await;
    put(&place, 1, &json!("?")).await;

    assert_snapshot!(place.run(&["events"]).stdout);
    assert_eq!(place.run(&["events", "--since", "9d"]).stdout.lines().count(), 7);

    // C8.16
    place.put_server("#watchdog", [("time_zone", text("Asia/Kolkata"))]).await;
    let nowhere = place.run(&["events"]);
    assert!(nowhere.stdout.starts_with("2026-01-18 10:03:01 UTC"), "no rules: {nowhere:?}");
    let rules = [("time_zone", text("Asia/Kolkata")), ("limits", text("none"))];
    place.put_server("#watchdog", rules).await;
    let said = "2026-01-18 15:33:01 IST  web-1 is offline since 15:30 IST (3 min)";
    let events = place.run(&["events"]);
    assert!(events.stdout.contains(said), "{events:?}");

    let of_one = place.run(&["events", "web-1", "--json"]).json();
    assert_eq!(of_one.as_array().unwrap().len(), 2);
    assert_eq!(of_one[0]["problems"], json!([]));
    assert_eq!(of_one[0]["offline"][0]["server_id"], "web-1");
    assert_eq!(of_one[1]["back"][0]["returned_at"], "2026-01-18T11:00:00.000000Z");

    let nothing = place.run(&["events", "web-2"]);
    assert_eq!(
        (nothing.stdout.as_str(), nothing.stderr.as_str()),
        ("", "Nothing has been announced in this time.\n")
    );
}

// C12: those of a server are read where they are by themselves, and older ones among all.
#[tokio::test]
async fn the_events_of_a_server_are_found_wherever_they_are() {
    let place = Place::new().await;
    let offline = |server_id: &str, last_seen: &str| {
        let last_seen = format!("2026-01-18T{last_seen}:00.000000Z");
        json!({ "offline": [{ "server_id": server_id, "hostname": null, "last_seen": last_seen }] })
    };
    put(&place, 5, &offline("web-1", "01:00")).await;
    put(&place, 4, &offline("web-2", "02:00")).await;
    // Both were written, and the first is not looked at.
    put(&place, 2, &offline("web-1", "03:00")).await;
    put_under(&place, "#events:web-1", 2, &offline("web-1", "03:00")).await;
    put_under(&place, "#events:web-2", 1, &offline("web-2", "04:00")).await;
    let seen = |arguments: &[&str]| {
        let messages = place.run(&[&["events", "--json"], arguments].concat()).json();
        let absences = messages.as_array().unwrap().iter().map(|message| &message["offline"][0]);
        let times =
            absences.map(|absence| absence["last_seen"].as_str().unwrap()[11..16].to_owned());
        times.collect::<Vec<_>>()
    };
    assert_eq!(seen(&["web-1"]), ["01:00", "03:00"], "among all");
    let since = dev::tables::stored(Utc::now() - TimeDelta::hours(3));
    place.put_server("#watchdog", [("events_since", text(&since))]).await;
    assert_eq!(seen(&["web-1"]), ["01:00", "03:00"]);
    assert_eq!(seen(&["web-2"]), ["02:00", "04:00"]);
    assert_eq!(seen(&["web-1", "--since", "3h"]), ["03:00"]);
    assert_eq!(seen(&[]), ["01:00", "02:00", "03:00"]);
}
