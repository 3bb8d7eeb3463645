//! `heartbeatctl restore`

use crate::support::{Place, text};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::tables::Item;
use serde_json::json;

/// A place whose tables are in use, and one whose tables stand for the restored ones.
async fn places() -> (Place, Place) {
    (Place::new().await, Place::new().await)
}

fn strings<'a>(
    attributes: &'a [(&'a str, &'a str)],
) -> impl Iterator<Item = (&'a str, AttributeValue)> {
    attributes.iter().map(|(name, value)| (*name, text(value)))
}

fn item(attributes: &[(&str, &str)]) -> Item {
    strings(attributes).map(|(name, value)| (name.to_owned(), value)).collect()
}

const OLD: [(&str, &str); 10] = [
    ("registered_at", "2026-01"),
    ("registration_id", "first"),
    ("last_seen", "2026-02"),
    ("status", "offline"),
    ("rack", "a7"),
    ("offline_since", "2026-02"),
    ("announced", "2026-02"),
    ("returned_at", "2026-02"),
    ("problems", "a map"),
    ("said_at", "a list"),
];

// C8.12
#[tokio::test]
async fn of_the_watchdogs_item_what_silences_all_is_restored() {
    let (place, restored) = places().await;
    let old = [("swept_at", "2026-02"), ("quiet", "22:00-06:00"), ("silenced_until", "2026-03")];
    restored.put_server("#watchdog", strings(&old)).await;
    let newer = [("swept_at", "2026-04"), ("silenced_until", "2026-05")];
    place.put_server("#watchdog", strings(&newer)).await;
    let run = place.run(&["restore", "servers", &restored.servers, "--copy"]);
    assert_eq!(run.code, 0, "{run:?}");
    let item = place.server("#watchdog").await.unwrap();
    let expected =
        [("quiet", "22:00-06:00"), ("silenced_until", "2026-05"), ("swept_at", "2026-04")];
    for (name, value) in expected {
        assert_eq!(item[name].as_s().unwrap(), value);
    }
}

#[tokio::test]
async fn servers_are_shown_first_and_then_copied() {
    let (place, restored) = places().await;
    for server in ["both", "gone", "retired"] {
        restored.put_server(server, strings(&OLD)).await;
    }
    restored.put_server("bare", strings(&[])).await;
    restored.put_server("#watchdog", strings(&[("swept_at", "2026-02")])).await;
    let newer = [
        ("registered_at", "2026-03"),
        ("registration_id", "second"),
        ("last_seen", "2026-04"),
        ("status", "online"),
    ];
    place.put_server("both", strings(&newer)).await;
    let before = place.items(&place.servers).await;

    let copied = ["rack", "registered_at", "registration_id"];
    let expected = json!([
        { "id": "both", "deleted": false, "attributes": copied },
        {
            "id": "gone",
            "deleted": true,
            "attributes": ["last_seen", "rack", "registered_at", "registration_id", "status"],
        },
    ]);
    let show = ["restore", "servers", &restored.servers, "--without", "retired"];
    assert_eq!(place.run(&[&show[..], &["--json"]].concat()).json(), expected);
    let table = place.run(&show);
    let lines: Vec<_> = table.stdout.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "SERVER  DELETED  COPIED",
            "both             rack, registered_at, registration_id",
            "gone    yes      last_seen, rack, registered_at, registration_id, status",
        ]
    );
    assert!(table.stderr.starts_with("2 would be copied to "), "{table:?}");
    assert_eq!(place.items(&place.servers).await, before);

    let run = place.run(&[&show[..], &["--copy"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.starts_with("2 copied to "), "{run:?}");
    assert_eq!(place.server("retired").await, None);
    assert_eq!(place.server("bare").await, None);
    assert_eq!(place.server("#watchdog").await, None);
    let both = [
        ("server_id", "both"),
        ("registered_at", "2026-01"),
        ("registration_id", "first"),
        ("last_seen", "2026-04"),
        ("status", "online"),
        ("rack", "a7"),
    ];
    assert_eq!(place.server("both").await, Some(item(&both)));
    let mut gone = item(&OLD[..5]);
    gone.extend(item(&[("server_id", "gone"), ("status", "online")]));
    assert_eq!(place.server("gone").await, Some(gone));
    // Nothing is left but what was left out.
    assert_eq!(place.run(&[&show[..], &["--json"]].concat()).json(), json!([]));
}

#[tokio::test]
async fn a_revoked_key_can_be_left_out() {
    let (place, restored) = places().await;
    for (first, server) in [("4c88", "web-1"), ("ab12", "web-2")] {
        let digest = format!("{first}{}", "0".repeat(60));
        let key = [("key_sha256", &*digest), ("server_id", server)];
        restored.put(&restored.keys, strings(&key)).await;
    }
    let keys = ["restore", "keys", &restored.keys, "--copy"];
    let run = place.run(&[&keys[..], &["--without", "4C88", "--without", "ab13"]].concat());
    assert_eq!(run.code, 1, "a misspelt digest copies nothing: {run:?}");
    assert!(run.stderr.contains("has no ab13 that could be left out"), "{run:?}");
    assert_eq!(place.items(&place.keys).await, []);
    let run = place.run(&[&keys[..], &["--without", "4C88"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("ab1200000000 (web-2)"), "{run:?}");
    let left = place.items(&place.keys).await;
    assert_eq!((left.len(), &left[0]["server_id"]), (1, &text("web-2")));
}

#[tokio::test]
async fn a_table_that_is_not_restored_yet_is_named() {
    let run = Place::new().await.run(&["restore", "servers", "nowhere"]);
    assert_eq!((run.code, &*run.stderr), (1, "error: there is no table nowhere in this region\n"));
}

// C14.1: the rules of groups come back, whatever a group is called; those in use stay.
#[tokio::test]
async fn the_rules_of_groups_are_restored() {
    let (place, restored) = places().await;
    let old = ["web", "status", "problems"].map(|group| (group, "old"));
    restored.put_server("#groups", strings(&old)).await;
    place.put_server("#groups", strings(&[("web", "new")])).await;
    let run = place.run(&["restore", "servers", &restored.servers, "--copy"]);
    assert_eq!(run.code, 0, "{run:?}");
    let [groups] = &place.items(&place.servers).await[..] else { panic!("one item") };
    for (group, expected) in [("web", "new"), ("status", "old"), ("problems", "old")] {
        assert_eq!(groups[group], text(expected), "{group}");
    }
}
