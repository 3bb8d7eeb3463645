//! C9.10: how often messages name one server.

use crate::problems::put;
use crate::support::topic::{Behavior, Published};
use crate::support::{Item, TestWatchdog, at, lines, pending, state, stored, text};
use aws_sdk_dynamodb::types::AttributeValue::{self, L, M, N};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Sweeps after a heartbeat that is received ten seconds earlier, with these failed services.
async fn sweep(watchdog: &TestWatchdog, seconds: i64, services: &[&str]) {
    watchdog.heartbeat("web-1", seconds - 10).await;
    let failed = services.iter().map(|name| ((*name).to_owned(), text("failed")));
    let reading = [
        ("received_at".to_owned(), text(&stored(seconds - 10))),
        ("services".to_owned(), M(failed.collect())),
    ];
    put(watchdog, "web-1", "reading", M(reading.into())).await;
    watchdog.sweep(seconds).await.unwrap();
}

/// The names in this list of a message.
fn names(message: &Published, list: &str) -> Vec<String> {
    let entries = message.default[list].as_array().unwrap().iter();
    entries.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

/// What began and what ended, of each message since the last call.
fn said(watchdog: &TestWatchdog) -> Vec<(Vec<String>, Vec<String>)> {
    let messages = watchdog.topic.take();
    messages.iter().map(|message| (names(message, "problems"), names(message, "solved"))).collect()
}

fn seconds(times: &[i64]) -> AttributeValue {
    L(times.iter().map(|time| N(at(*time).timestamp().to_string())).collect())
}

async fn item(watchdog: &TestWatchdog) -> Item {
    watchdog.item("web-1").await.unwrap()
}

/// The members of an entry of `problems`, but for `since`.
async fn entry(watchdog: &TestWatchdog, service: &str) -> Vec<String> {
    let item = item(watchdog).await;
    let entry = item["problems"].as_m().unwrap()[&format!("service:{service}")].as_m().unwrap();
    entry.keys().filter(|name| *name != "since").cloned().collect()
}

// C9.10: what the holder of a server's key can do to everybody's quota.
#[tokio::test]
async fn a_new_failed_service_each_minute_is_no_message_each_minute() {
    let watchdog = TestWatchdog::start().await;
    let (mut open, mut messages, mut most) = (BTreeSet::new(), Vec::new(), 0);
    for minute in 0..180 {
        sweep(&watchdog, 60 * minute + 10, &[&format!("s{minute}")]).await;
        for (begun, ended) in said(&watchdog) {
            messages.push(minute);
            open.extend(begun);
            for name in ended {
                assert!(open.remove(&name), "{name} ended, and was never announced");
            }
            most = most.max(open.len());
        }
    }
    assert!(messages.len() <= 15, "{messages:?}");
    assert_eq!(messages[..4], [0, 1, 2, 17]);
    assert!(most < 6, "{open:?}");
}

// C9.3 C9.10: a message says everything, in its turn.
#[tokio::test]
async fn what_waits_is_said_at_once_in_its_turn_and_what_is_over_never_is() {
    let watchdog = TestWatchdog::start().await;
    for (seconds, services) in [(0, &["a"][..]), (60, &["a", "b"]), (120, &["a", "b", "c"])] {
        sweep(&watchdog, seconds, services).await;
        assert_eq!(said(&watchdog).len(), 1);
    }
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[0, 60, 120]));
    sweep(&watchdog, 180, &["b", "c", "brief", "d"]).await;
    sweep(&watchdog, 240, &["b", "c", "d", "e"]).await;
    assert_eq!(entry(&watchdog, "a").await, ["better_since"]);
    for name in ["d", "e"] {
        assert_eq!(entry(&watchdog, name).await, ["rising"]);
    }
    sweep(&watchdog, 1_019, &["b", "c", "d", "e"]).await;
    assert_eq!(said(&watchdog), []);

    sweep(&watchdog, 1_020, &["b", "c", "d", "e"]).await;
    let [message] = &watchdog.topic.take()[..] else { panic!("expected one message") };
    assert_eq!(names(message, "problems"), ["d", "e"]);
    assert_eq!(message.default["problems"][0]["since"], stored(170));
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[60, 120, 1_020]));

    // An end waits as well, with its note.
    sweep(&watchdog, 1_900, &["c", "d", "e"]).await;
    assert_eq!(said(&watchdog), [], "{:?}", item(&watchdog).await);
    assert_eq!(entry(&watchdog, "a").await, ["better_since"]);
    sweep(&watchdog, 1_920, &["c", "d", "e"]).await;
    assert_eq!(said(&watchdog), [(vec![], vec!["a".to_owned()])]);
}

// C9.10: another server has a budget of its own.
#[tokio::test]
async fn a_budget_is_that_of_one_server() {
    let watchdog = TestWatchdog::start().await;
    for minute in 0..4 {
        sweep(&watchdog, 60 * minute, &[&format!("s{minute}")]).await;
    }
    assert_eq!(said(&watchdog).len(), 3);
    watchdog.heartbeat("web-2", 230).await;
    let reading = [
        ("received_at".to_owned(), text(&stored(230))),
        ("disk_percent".to_owned(), N("95".to_owned())),
    ];
    put(&watchdog, "web-2", "reading", M(reading.into())).await;
    sweep(&watchdog, 240, &["s4"]).await;
    assert_eq!(said(&watchdog), [(vec!["disk_percent".to_owned()], vec![])]);
}

// C9.7 C9.10
#[tokio::test]
async fn what_is_being_published_is_published_whatever_the_budget() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    put(&watchdog, "web-1", "said_at", seconds(&[-120, -60])).await;
    watchdog.topic.set_behavior(Behavior::LosesAnswers);
    watchdog.heartbeat("web-1", 0).await;
    let failed = M([("a".to_owned(), text("failed"))].into());
    let reading = [("received_at".to_owned(), text(&stored(0))), ("services".to_owned(), failed)];
    put(&watchdog, "web-1", "reading", M(reading.into())).await;
    watchdog.sweep(0).await.unwrap_err();
    assert_eq!(said(&watchdog).len(), 1);
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[-120, -60]), "nothing is recorded");
    watchdog.topic.set_behavior(Behavior::Accepts);
    put(&watchdog, "web-1", "said_at", seconds(&[-120, -60, -1])).await;
    sweep(&watchdog, 60, &["a", "b"]).await;
    assert_eq!(said(&watchdog), [(vec!["a".to_owned()], vec![])]);
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[-60, -1, 60]));
    assert_eq!(entry(&watchdog, "b").await, ["rising"]);
}

// C8.5 C9.10: an absence is said at once, a return in its turn, and until then it is the same absence.
#[tokio::test]
async fn a_return_waits_for_its_turn_and_an_absence_never_does() {
    let watchdog = TestWatchdog::start().await;
    let lists = || {
        let messages = watchdog.topic.take();
        messages.into_iter().map(|message| message.kinds).collect::<Vec<_>>()
    };
    for minute in 0..3 {
        sweep(&watchdog, 60 * minute, &[&format!("s{minute}")]).await;
    }
    assert_eq!(lists().len(), 3);
    watchdog.sweep(301).await.unwrap();
    assert_eq!(lists(), [["offline"]]);
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[60, 120, 301]));

    watchdog.heartbeat("web-1", 350).await;
    watchdog.sweep(360).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", Some(110), Some(110)));
    assert_eq!(item(&watchdog).await["returned_at"], text(&stored(350)));
    // Late again, which is no news.
    watchdog.sweep(600).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(110), Some(110)));
    watchdog.heartbeat("web-1", 1_190).await;
    watchdog.sweep(1_200).await.unwrap();
    assert_eq!(lists(), [[""; 0]; 0]);
    watchdog.sweep(1_201).await.unwrap();
    let [message] = &watchdog.topic.take()[..] else { panic!("expected one message") };
    let back = &message.default["back"][0];
    assert_eq!(back["offline_since"], json!(stored(110)));
    assert_eq!(back["returned_at"], json!(stored(1_190)));
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[120, 301, 1_201]));
    watchdog.sweep(1_371).await.unwrap();
    assert_eq!(lists(), [["offline"]]);

    // What is being published does not wait.
    watchdog.heartbeat("web-1", 1_380).await;
    put(&watchdog, "web-1", "announced", text("pending")).await;
    assert_eq!(watchdog.state("web-1").await, pending("online", 1_190));
    watchdog.sweep(1_400).await.unwrap();
    assert_eq!(lists(), [["back"]]);
}

// C8.5 C9.10
#[tokio::test]
async fn a_server_that_comes_and_goes_is_named_seldom() {
    let watchdog = TestWatchdog::start_with(&[("BACK_AFTER_SECONDS", "300")]).await;
    let (mut is_away, mut messages) = (false, 0);
    for minute in 0..180 {
        // Silent for three minutes, so that it is late, then back for more than five.
        if minute % 9 < 6 {
            watchdog.heartbeat("web-1", 60 * minute - 50).await;
        }
        watchdog.sweep(60 * minute).await.unwrap();
        for message in watchdog.topic.take() {
            messages += 1;
            let counts =
                ["offline", "back"].map(|list| message.default[list].as_array().unwrap().len());
            assert_eq!(counts, if is_away { [0, 1] } else { [1, 0] }, "minute {minute}");
            is_away = !is_away;
        }
        let item = item(&watchdog).await;
        let is_marked = item["status"] == text("offline");
        assert!(is_away || !is_marked, "an absence waits at minute {minute}: {item:?}");
    }
    // Without a budget, it is 40.
    assert!((15..=24).contains(&messages), "{messages}");
}

// C8.1 C9.10
#[tokio::test]
async fn what_is_recorded_is_removed_when_it_means_nothing() {
    let watchdog = TestWatchdog::start().await;
    sweep(&watchdog, 0, &["a"]).await;
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[0]));
    sweep(&watchdog, 60, &[]).await;
    sweep(&watchdog, 3_599, &["a"]).await;
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[0]), "an hour has not passed");
    sweep(&watchdog, 3_660, &["a"]).await;
    assert_eq!(item(&watchdog).await["said_at"], seconds(&[0]), "nothing is to be written");
    sweep(&watchdog, 3_720, &[]).await;
    assert!(!item(&watchdog).await.contains_key("said_at"));
    assert_eq!(said(&watchdog).len(), 1);
}

// C8.1 C9.10
#[tokio::test]
async fn a_list_that_cannot_be_read_is_none() {
    let number = |text: &str| L(vec![N(text.to_owned())]);
    let ten = || text("10");
    for (value, is_malformed) in [
        (seconds(&[]), false),
        (seconds(&[1, 2, 3, 4]), false),
        (ten(), true),
        (N("1768732200".to_owned()), true),
        (L(vec![ten(); 3]), true),
        (number("1768732200.5"), true),
        (number("1E+100"), true),
        (M(Item::new()), true),
    ] {
        let watchdog = TestWatchdog::start().await;
        put(&watchdog, "web-1", "said_at", value.clone()).await;
        sweep(&watchdog, 0, &["a"]).await;
        // Those that are recorded are in the future.
        assert_eq!(said(&watchdog).len(), 1, "{value:?}");
        let kept = if value == seconds(&[1, 2, 3, 4]) { &[3, 4, 0][..] } else { &[0] };
        assert_eq!(item(&watchdog).await["said_at"], seconds(kept), "{value:?}");
        let log = watchdog.log();
        let warnings = lines(&log, "items hold a value that cannot be read");
        let expected: &[Value] = if is_malformed { &[json!(1)] } else { &[] };
        let items: Vec<_> = warnings.iter().map(|line| line["items"].clone()).collect();
        assert_eq!(items, expected, "{value:?}");
    }
}
