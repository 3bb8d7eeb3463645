//! C8.4: when many servers are late at once, a fault on our own path is the likelier cause.

mod simulation;

use crate::support::{Item, TestWatchdog, at, lines, state, stored, text};
use chrono::{DateTime, TimeDelta, Utc};
use tables::server::{Groups, Memory, Rules};
use verdict::{Decision, Review};

fn rules(hold: i64) -> Rules {
    Rules { hold: TimeDelta::seconds(hold), ..Rules::default() }
}

/// The watchdog's own item, a minute after a sweep.
fn own_item(now: i64, last_mass_absence: Option<i64>) -> Item {
    let mut item = Item::from([
        ("server_id".to_owned(), text("#watchdog")),
        ("swept_at".to_owned(), text(&stored(now - 60))),
    ]);
    item.extend(last_mass_absence.map(|at| ("mass_silence_at".to_owned(), text(&stored(at)))));
    item
}

fn item(server_id: &str, last_seen: DateTime<Utc>) -> Item {
    Item::from([
        ("server_id".to_owned(), text(server_id)),
        ("status".to_owned(), text("online")),
        ("last_seen".to_owned(), text(&dev::tables::stored(last_seen))),
    ])
}

/// The watchdog's own item as it is written.
fn stored_memory(memory: &Memory) -> Item {
    let times = [
        ("swept_at", memory.swept_at),
        ("gap_since", memory.gap.map(|gap| gap.since)),
        ("gap_until", memory.gap.map(|gap| gap.until)),
        ("mass_silence_at", memory.mass_absence_at),
    ]
    .into_iter()
    .filter_map(|(name, at)| Some((name, dev::tables::stored(at?))));
    [("server_id", "#watchdog".to_owned())]
        .into_iter()
        .chain(times)
        .map(|(name, value)| (name.to_owned(), text(&value)))
        .collect()
}

/// Reviews servers that were last seen at these seconds.
fn review(seconds: &[i64], now: i64, hold: i64, last: Option<i64>) -> Decision {
    let memory = Memory::from_item(&own_item(now, last)).unwrap();
    let mut review = Review::new(rules(hold), Groups::default(), memory, None, at(now));
    for (number, seconds) in seconds.iter().enumerate() {
        review.add(&item(&format!("web-{number}"), at(*seconds)));
    }
    review.conclude()
}

#[test]
fn more_than_two_and_at_least_half_are_a_mass_absence() {
    for (late, healthy, is_mass_absence) in [
        (1, 0, false),
        (2, 0, false),
        (2, 2, false),
        (3, 0, true),
        (3, 3, true),
        (3, 4, false),
        (50, 50, true),
        (50, 51, false),
    ] {
        let seen = [vec![0; late], vec![200; healthy]].concat();
        let decision = review(&seen, 200, 600, None);
        assert_eq!(decision.is_mass_absence, is_mass_absence, "{late} of {}", late + healthy);
        let (held, offline) = if is_mass_absence { (late, 0) } else { (0, late) };
        assert_eq!((decision.counts.held, decision.plan.marks().count()), (held, offline));
    }
}

// A server counts once it is overdue, which is after half of the time after which it is late.
#[test]
fn overdue_servers_count_before_they_are_late() {
    for (now, is_mass_absence) in [(90, false), (91, true)] {
        let decision = review(&[0, 0, 0], now, 600, None);
        assert_eq!(decision.is_mass_absence, is_mass_absence, "{now}");
        assert_eq!(decision.counts.late, 0);
    }
}

#[test]
fn no_server_is_judged_shortly_after_a_mass_absence() {
    let seen = [0, 190, 190, 190];
    for (last, held) in [(None, 0), (Some(20), 1), (Some(19), 0)] {
        let decision = review(&seen, 200, 600, last);
        assert!(!decision.is_mass_absence);
        assert_eq!(
            (decision.counts.held, decision.plan.marks().count()),
            (held, 1 - held),
            "{last:?}"
        );
    }
}

#[test]
fn servers_that_stay_late_are_judged_after_the_hold() {
    let decision = review(&[0, 0, 1], 600, 600, None);
    assert_eq!((decision.counts.held, decision.plan.marks().count()), (1, 2));
    let decision = review(&[0, 0, 0], 200, 0, Some(199));
    assert_eq!(
        (decision.is_holding, decision.counts.held, decision.plan.marks().count()),
        (false, 0, 3)
    );
}

// Silenced servers count neither as overdue nor as part of the fleet.
#[test]
fn silenced_servers_do_not_count() {
    let silence = |item: &mut Item| {
        item.insert("silenced_until".to_owned(), text(&stored(1000)));
    };
    let decide = |silence_the_late: bool, silence_the_healthy: bool| {
        let memory = Memory::from_item(&own_item(200, None)).unwrap();
        let mut review = Review::new(rules(600), Groups::default(), memory, None, at(200));
        for number in 0..7 {
            let is_late = number < 3;
            let mut item = item(&format!("web-{number}"), at(if is_late { 0 } else { 200 }));
            if (is_late && silence_the_late) || (!is_late && silence_the_healthy) {
                silence(&mut item);
            }
            review.add(&item);
        }
        review.conclude().is_mass_absence
    };
    assert!(!decide(false, false), "three of seven");
    assert!(decide(false, true), "three of three");
    assert!(!decide(true, false), "none of four");
}

#[tokio::test]
async fn a_mass_absence_is_one_warning_and_no_announcement() {
    let watchdog = TestWatchdog::start().await;
    for number in 0..4 {
        watchdog.heartbeat(&format!("web-{number}"), 0).await;
    }
    for now in [200, 599] {
        watchdog.sweep(now).await.unwrap();
        let log = watchdog.log();
        let warnings: Vec<_> = log.iter().filter(|line| line["level"] == "WARN").collect();
        assert_eq!(warnings.len(), 1, "{log:?}");
        assert_eq!(warnings[0]["held"], 4);
        assert_eq!(lines(&log, "sweep")[0]["held"], 4);
    }
    assert_eq!(watchdog.topic.take(), []);
    // Three are back. The hold goes on for a while after the mass absence, but the fourth server has been late for
    // as long as the hold, so it is judged.
    for number in 0..3 {
        watchdog.heartbeat(&format!("web-{number}"), 599).await;
    }
    watchdog.sweep(600).await.unwrap();
    assert_eq!(watchdog.state("web-3").await, state("offline", Some(0), Some(0)));
}
