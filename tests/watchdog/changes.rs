//! C8.5, C9.7: what a sweep writes does the same to an item in memory, where simulations run, as to one in DynamoDB; and
//! what was stored before an upgrade goes on after it.

use crate::support::{Item, TestWatchdog, at, stored, text};
use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, L, M, N};
use fastrand::Rng;
use tables::server::{Change, Memory, Rules, Server};

fn map(entries: &[(&str, AttributeValue)]) -> AttributeValue {
    let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    M(entries.collect())
}

/// An item of any server, or none.
fn item(random: &mut Rng) -> Option<Item> {
    let entry = |stage: &str| {
        map(&[("since", text(&stored(0))), ("limit", N("90".to_owned())), (stage, Bool(true))])
    };
    let problems = [
        map(&[("disk_percent", entry("pending"))]),
        map(&[("disk_percent", entry("rising"))]),
        map(&[]),
    ];
    let times = [text(&stored(0)), text(&stored(60)), text("?")];
    let seconds = |times: &[&str]| L(times.iter().map(|time| N((*time).to_owned())).collect());
    let said_at = [seconds(&["1768732200"]), seconds(&["1768732200", "1768732260"]), text("?")];
    let choices: [(&str, &[AttributeValue]); 9] = [
        ("status", &[text("online"), text("offline")]),
        ("last_seen", &times),
        ("offline_since", &times),
        ("announced", &[text("pending"), text(&stored(0))]),
        ("returned_at", &times),
        ("silenced_until", &[text(&stored(9000))]),
        ("registered_at", &times),
        ("problems", &problems),
        ("said_at", &said_at),
    ];
    let mut item = Item::from([("server_id".to_owned(), text("web-1"))]);
    for (name, values) in choices {
        if random.u8(..4) > 0 {
            item.insert(name.to_owned(), values[random.usize(..values.len())].clone());
        }
    }
    (random.u8(..8) > 0).then_some(item)
}

/// Everything that a sweep may write about a server, and into its own item.
fn changes(server: &Server, problems: &Server) -> [Change; 11] {
    let digest_at = Some(at(0));
    let memory = Memory { digest_at, rules: Some(Rules::default()), ..Memory::default() };
    [
        server.marked_offline(at(0)).mark_offline(),
        server.write_ahead(),
        server.record_announced(),
        server.clone().with_return().note_return(),
        server.end_absence(),
        server.write_problems(&server.problems.with(problems.problems.entries.clone())),
        server.write_problems(&server.problems.with(Vec::new())),
        server.record_announced().record_said(&[at(0), at(60), at(120)]),
        server.write_problems(&server.problems).remove_said(&server.said_at),
        memory.write(false),
        memory.write(true),
    ]
}

// C8.2 C8.5 C9.7
#[tokio::test]
async fn a_change_does_the_same_in_memory_as_in_dynamodb() {
    let watchdog = TestWatchdog::start().await;
    let (client, table) = (&watchdog.tables.client, &watchdog.tables.servers);
    let seed = fastrand::u64(..);
    let mut random = Rng::with_seed(seed);
    let mut made = [0; 2];
    for _ in 0..60 {
        let (read, other) = (item(&mut random), item(&mut random));
        let Some(server) = read.as_ref().and_then(Server::from_item) else { continue };
        let problems = other.as_ref().and_then(Server::from_item).unwrap_or_default();
        for change in changes(&server, &problems) {
            // The item is as it was read, or another sweep, a heartbeat or a person was faster.
            let is_changed = random.u8(..3) == 0;
            let mut expected = if is_changed { item(&mut random) } else { read.clone() };
            let id = change.server_id();
            let key = text(id);
            let delete = client.delete_item().table_name(table).key("server_id", key.clone());
            delete.send().await.unwrap();
            if let Some(item) = &mut expected {
                item.insert("server_id".to_owned(), key.clone());
                let put = client.put_item().table_name(table).set_item(Some(item.clone()));
                put.send().await.unwrap();
            }
            let before = expected.clone();
            let is_made = change.apply(&mut expected);
            let request = change.request(client.update_item().table_name(table));
            let is_written = request.send().await.is_ok();
            assert_eq!(is_written, is_made, "seed {seed}: {change:?} of {before:?}");
            assert_eq!(watchdog.item(id).await, expected, "seed {seed}: {change:?} of {before:?}");
            made[usize::from(is_made)] += 1;
        }
    }
    assert!(made.iter().all(|count| *count > 20), "{made:?}");
}

// C8.5 C9.2 C9.3: an upgrade in the middle of an absence or of a problem loses nothing and says nothing twice.
#[tokio::test]
async fn what_is_stored_goes_on_after_an_upgrade() {
    let watchdog = TestWatchdog::start_with(&[("BACK_AFTER_SECONDS", "300")]).await;
    let (then, now) = (stored(0), stored(6000));
    let full = |entry: &[(&str, AttributeValue)]| {
        let entry = [entry, &[("since", text(&then)), ("limit", N("90".to_owned()))]].concat();
        map(&[("disk_percent", map(&entry))])
    };
    let reading = |percent: &str| {
        map(&[("received_at", text(&now)), ("disk_percent", N(percent.to_owned()))])
    };
    let online = || vec![("status", text("online")), ("last_seen", text(&now))];
    let away = || {
        let seen = ("last_seen", text(&then));
        vec![("status", text("offline")), seen, ("offline_since", text(&then))]
    };
    let back = || [online(), vec![("offline_since", text(&then))]].concat();
    let with = |mut item: Vec<(&'static str, AttributeValue)>,
                more: &[(&'static str, AttributeValue)]| {
        item.extend_from_slice(more);
        item
    };
    let disk = |percent, entry: &[(&str, AttributeValue)]| {
        with(online(), &[("reading", reading(percent)), ("problems", full(entry))])
    };
    let yes = || Bool(true);
    for (server_id, item) in [
        ("away-announced", with(away(), &[("announced", text(&then))])),
        ("away-pending", with(away(), &[("announced", text("pending"))])),
        ("away-unsaid", away()),
        (
            "back-lasted",
            with(back(), &[("announced", text(&then)), ("returned_at", text(&stored(5700)))]),
        ),
        (
            "back-pending",
            with(back(), &[("announced", text("pending")), ("returned_at", text(&then))]),
        ),
        (
            "back-young",
            with(back(), &[("announced", text(&then)), ("returned_at", text(&stored(5701)))]),
        ),
        ("back-unsaid", with(back(), &[("returned_at", text(&then))])),
        ("disk-said", disk("95", &[])),
        ("disk-pending", disk("95", &[("pending", yes())])),
        ("disk-rising", disk("20", &[("rising", yes())])),
        ("disk-better", disk("20", &[("better_since", text(&then))])),
        ("disk-gone", disk("20", &[("gone_since", text(&then))])),
    ] {
        watchdog.put(server_id, &item).await;
    }
    watchdog.sweep(6000).await.unwrap();
    let said: Vec<_> = watchdog.topic.take().into_iter().map(|message| message.default).collect();
    let [said] = &said[..] else { panic!("{said:?}") };
    for (list, expected) in [
        ("offline", &["away-pending", "away-unsaid"][..]),
        ("back", &["back-lasted", "back-pending"]),
        ("problems", &["disk-pending"]),
        ("solved", &["disk-better"]),
    ] {
        let entries = said[list].as_array().unwrap().iter();
        let servers: Vec<_> = entries.map(|entry| entry["server_id"].as_str().unwrap()).collect();
        assert_eq!(servers, expected, "{list}");
    }
    watchdog.sweep(6000).await.unwrap();
    assert_eq!(watchdog.topic.take(), [], "nothing twice");
}
