//! C8.7: silenced servers.

use crate::support::{TestWatchdog, lines, state, stored, text};

// C8.7: a silenced server is judged but not announced. When the silence ends, what is still true is announced.
#[tokio::test]
async fn an_absence_is_announced_when_the_silence_ends() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.set("web-1", "silenced_until", Some(&stored(1000))).await;
    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), None));
    watchdog.sweep(999).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);

    watchdog.sweep(1000).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), Some(0)));
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["offline"][0]["server_id"], "web-1");
}

// C8.7: an unannounced absence that has ended.
#[tokio::test]
async fn an_absence_within_the_silence_is_never_announced() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.set("web-1", "silenced_until", Some(&stored(1000))).await;
    watchdog.sweep(181).await.unwrap();
    watchdog.heartbeat("web-1", 300).await;
    watchdog.sweep(310).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    watchdog.heartbeat("web-1", 990).await;
    watchdog.sweep(1001).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
}

/// A watchdog that has announced the absence of `web-1`, which is silenced now.
async fn announced_then_silenced() -> TestWatchdog {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(181).await.unwrap();
    watchdog.topic.take();
    watchdog.set("web-1", "silenced_until", Some(&stored(1000))).await;
    watchdog
}

// C8.7: the end of an announced absence is announced, too.
#[tokio::test]
async fn a_return_from_an_announced_absence_is_announced_after_the_silence() {
    let watchdog = announced_then_silenced().await;
    watchdog.heartbeat("web-1", 300).await;
    watchdog.sweep(310).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", Some(0), Some(0)));
    assert_eq!(watchdog.topic.take(), []);
    watchdog.heartbeat("web-1", 990).await;
    watchdog.sweep(1001).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["back"][0]["offline_since"], stored(0));
}

// C8.7 C8.5: the first of two absences was announced, the second was not. The last announcement must not stay
// "offline".
#[tokio::test]
async fn a_second_absence_within_the_silence_does_not_hide_the_return() {
    let watchdog = announced_then_silenced().await;
    watchdog.heartbeat("web-1", 200).await;
    watchdog.sweep(400).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), Some(0)));
    watchdog.heartbeat("web-1", 500).await;
    watchdog.sweep(510).await.unwrap();
    watchdog.heartbeat("web-1", 990).await;
    watchdog.sweep(1001).await.unwrap();
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["back"][0]["server_id"], "web-1");
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
}

// C8.7: a backup each night stops a service, and nobody is told; what is still true afterwards is.
#[tokio::test]
async fn nothing_is_announced_in_quiet_times() {
    // 10:30 in UTC is 11:30 there.
    for (whose, quiet, is_quiet) in [
        ("web-1", "11:30-12:00", true),
        ("web-1", "Sun 11:30-12:00", true),
        ("web-1", "Mon-Sat 11:30-12:00", false),
        ("web-1", "10:30-11:00", false),
        ("#watchdog", "Sat 23:00-11:59;Sun 11:59-12:00", true),
        ("#watchdog", "11:00-11:30", false),
        ("web-2", "00:00-24:00", false),
    ] {
        let watchdog = TestWatchdog::start_with(&[("TIME_ZONE", "Europe/Berlin")]).await;
        watchdog.heartbeat("web-1", -200).await;
        watchdog.heartbeat("web-2", 0).await;
        watchdog.set(whose, "quiet", Some(quiet)).await;
        watchdog.sweep(0).await.unwrap();
        assert_eq!(watchdog.topic.take().is_empty(), is_quiet, "{whose} {quiet}");
        assert_eq!(watchdog.state("web-1").await[0].as_deref(), Some("offline"), "{whose} {quiet}");
        // 12:00 there.
        watchdog.heartbeat("web-2", 1790).await;
        watchdog.sweep(1800).await.unwrap();
        assert_eq!(watchdog.topic.take().is_empty(), !is_quiet, "{whose} {quiet}");
        assert_eq!(watchdog.item(whose).await.unwrap()["quiet"], text(quiet), "it is kept");
    }
}

// C8.7: all are silenced at once.
#[tokio::test]
async fn all_servers_are_silenced_by_the_watchdogs_own_item() {
    let watchdog = TestWatchdog::start_with(&[("HOLD_SECONDS", "0")]).await;
    for number in 0..30 {
        watchdog.heartbeat(&format!("web-{number}"), 0).await;
    }
    watchdog.set_own("silenced_until", 1000).await;
    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
    watchdog.sweep(1000).await.unwrap();
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["offline"].as_array().unwrap().len(), 30);
    assert_eq!(watchdog.own("silenced_until").await, Some(stored(1000)), "it is kept");
}

// C8.4 C8.7: who silences all of them does not say that they are absent for different reasons.
#[tokio::test]
async fn in_a_silence_of_all_a_mass_absence_is_one() {
    for (whose, is_held) in [("#watchdog", true), ("each", false)] {
        let watchdog = TestWatchdog::start().await;
        let names: Vec<_> = (0..11).map(|number| format!("web-{number}")).collect();
        for name in &names {
            watchdog.heartbeat(name, 0).await;
            let whose = if whose == "each" { name } else { whose };
            watchdog.set(whose, "silenced_until", Some(&stored(300))).await;
        }
        watchdog.sweep(190).await.unwrap();
        let [status, ..] = watchdog.state("web-1").await;
        assert_eq!(status.as_deref() == Some("online"), is_held, "{whose}");
        watchdog.sweep(300).await.unwrap();
        assert_eq!(watchdog.topic.take().is_empty(), is_held, "{whose}");
        for name in &names {
            watchdog.heartbeat(name, 310).await;
        }
        watchdog.sweep(320).await.unwrap();
        assert_eq!(watchdog.topic.take().is_empty(), is_held, "{whose}");
    }
}

// C8.1 C8.7
#[tokio::test]
async fn a_silence_that_cannot_be_read_is_none_and_is_counted() {
    for (whose, attribute, value) in [
        ("web-1", "quiet", "always"),
        ("web-1", "silenced_until", "tomorrow"),
        ("web-1", "silenced_until", "2026-13-01T00:00:00Z"),
        ("#watchdog", "quiet", "always"),
        ("#watchdog", "silenced_until", "always"),
    ] {
        let watchdog = TestWatchdog::start().await;
        watchdog.heartbeat("web-1", 0).await;
        watchdog.set(whose, attribute, Some(value)).await;
        watchdog.sweep(181).await.unwrap();
        assert_eq!(watchdog.topic.take().len(), 1, "{whose} {attribute} {value}");
        let log = watchdog.log();
        let malformed = lines(&log, "items hold a value that cannot be read");
        assert_eq!(malformed[0]["items"], 1, "{whose} {attribute} {value}");
    }
}
