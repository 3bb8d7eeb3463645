//! The message as JSON (C8.6, C9.5, C10), and the words for each kind.

#![allow(clippy::unwrap_used)]

use announcement::{Absence, Crossing, Entry, Kind, Message, Occasion, Return, Tone};
use serde_json::{Value, json};

const SINCE: &str = "2026-01-18T10:00:00.000000Z";

/// An entry of each kind, as a program reads it, and in words.
fn examples() -> [(Entry, Value, &'static str); 4] {
    let crossing = Crossing {
        server_id: "db-1".to_owned(),
        hostname: Some("db".to_owned()),
        metric: "disk_percent".to_owned(),
        value: Some(json!(93.1)),
        limit: json!(90.0),
        since: Some(SINCE.to_owned()),
    };
    let of_crossing = json!({
        "server_id": "db-1", "hostname": "db", "metric": "disk_percent", "value": 93.1, "limit": 90.0, "since": SINCE,
    });
    [
        (
            Entry::Offline(Absence {
                server_id: "web-1".to_owned(),
                hostname: None,
                last_seen: Some(SINCE.to_owned()),
            }),
            json!({ "server_id": "web-1", "hostname": null, "last_seen": SINCE }),
            "web-1 is offline: silent since 2026-01-18 10:00:00 UTC, away for at most 3 min 1 s",
        ),
        (
            Entry::Back(Return {
                server_id: "web-1".to_owned(),
                hostname: None,
                offline_since: Some(SINCE.to_owned()),
                returned_at: Some("2026-01-18T11:05:00.000000Z".to_owned()),
                last_seen: None,
            }),
            json!({
                "server_id": "web-1", "hostname": null, "offline_since": SINCE,
                "returned_at": "2026-01-18T11:05:00.000000Z", "last_seen": null,
            }),
            "web-1 is back: was silent since 2026-01-18 10:00:00 UTC, away for at most 1 h 5 min",
        ),
        (
            Entry::High(crossing.clone()),
            of_crossing.clone(),
            "db-1 (db): disk 93.1 %, limit 90 %, high since 2026-01-18 10:00:00 UTC",
        ),
        (
            Entry::Normal(crossing),
            of_crossing,
            "db-1 (db): disk 93.1 %, limit 90 %, no longer high; it was since 2026-01-18 10:00:00 UTC",
        ),
    ]
}

fn message(occasion: Occasion) -> Message {
    Message {
        occasion,
        entries: examples().map(|(entry, ..)| entry).to_vec(),
        omitted: 2,
    }
}

#[test]
fn every_kind_has_an_example_and_its_list_in_the_contract() {
    let examples = examples().map(|(entry, ..)| entry.kind());
    assert_eq!(examples[..], *Kind::ALL);
    let contract = include_str!("../../../docs/contract.md");
    let (_, clause) = contract.split_once("`default` is JSON:").unwrap();
    let (format, _) = clause.split_once("`email`").unwrap();
    for kind in Kind::ALL {
        let list = format!("\"{}\":[", kind.key());
        assert!(format.contains(&list), "C8.6 lacks {list}");
    }
}

// C8.6 C9.5
#[test]
fn a_message_is_read_as_it_was_written() {
    let written = json!(message(Occasion::Change));
    for (entry, json, _) in examples() {
        assert_eq!(written[entry.kind().key()], json!([json]));
    }
    assert_eq!(written["omitted"], 2);
    assert_eq!(written.as_object().unwrap().len(), Kind::ALL.len() + 1);
    let read: Message = serde_json::from_value(written).unwrap();
    assert_eq!(read, message(Occasion::Change));
    assert_eq!(read.tone(), Tone::Bad);
    assert_eq!(
        read.title(),
        "1 server offline, 1 server back, 1 metric high, 1 metric normal"
    );
}

// C10
#[test]
fn a_digest_has_only_lists_of_bad_news() {
    let written = json!(message(Occasion::Digest));
    let keys: Vec<_> = written.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["digest", "high", "offline", "omitted"]);
    let read: Message = serde_json::from_value(written).unwrap();
    assert_eq!(read.occasion, Occasion::Digest);
    assert_eq!(read.title(), "Still wrong: 1 server offline, 1 metric high");
}

#[test]
fn a_test_is_nothing_but_its_text() {
    let test = Message::test("It works.".to_owned());
    assert_eq!(json!(test), json!({ "test": "It works." }));
    let read: Message = serde_json::from_value(json!(test)).unwrap();
    assert_eq!((read.tone(), read), (Tone::Neutral, test));
}

#[test]
fn a_message_of_another_version_can_be_read() {
    let message = json!({
        "time": SINCE, "offline": [{ "server_id": "web-1", "color": "red" }], "expired": [{ "key": "x" }],
        "high": [{ "server_id": "web-1", "metric": "gpu_percent", "value": 97.5, "limit": 90 }],
    });
    let read: Message = serde_json::from_value(message).unwrap();
    let said: Vec<_> = read.entries.iter().map(say).collect();
    assert_eq!(
        said,
        [
            "web-1 is offline: silent since an unknown time",
            "web-1: gpu_percent 97.5, limit 90, high since an unknown time"
        ]
    );
    for foreign in [
        json!({ "planned": true }),
        json!({ "offline": "web-1" }),
        json!({ "offline": [{ "server_id": 1 }] }),
        json!({ "test": 1 }),
        json!({}),
        json!([1]),
        json!("offline"),
    ] {
        let read = serde_json::from_value::<Message>(foreign.clone());
        assert!(read.is_err(), "{foreign}: {read:?}");
    }
}

fn say(entry: &Entry) -> String {
    let now = "2026-01-18T10:03:01Z".parse().unwrap();
    let sentence = entry.say(Some(now));
    sentence.name + &sentence.rest
}

#[test]
fn each_kind_is_said_in_a_sentence() {
    for (entry, _, expected) in examples() {
        assert_eq!(say(&entry), expected);
    }
}
