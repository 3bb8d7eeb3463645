//! Two senders use the server's name.

use super::{Facts, Finding, Level};
use chrono::TimeDelta;
use tables::problem::Key;

/// How old the note of a second sender may be, as of the last heartbeat.
const FRESH: TimeDelta = TimeDelta::hours(1);

/// How much later it has to be renewed. A single return, after a reboot, is nobody's problem.
const LASTS: TimeDelta = TimeDelta::minutes(10);

pub fn high(facts: &Facts<'_>) -> Vec<Key> {
    if find(facts).level == Level::High { vec![Key::Duplicate] } else { Vec::new() }
}

pub fn find(facts: &Facts<'_>) -> Finding {
    let is_there = facts.duplicate_at.is_some_and(|at| facts.seen - at <= FRESH);
    let level = match (facts.limits.watches(&Key::Duplicate, facts.own), is_there) {
        (false, _) => Level::Unwatched,
        (true, true) => Level::High,
        (true, false) => Level::Low,
    };
    let high_at = facts.duplicate_at.unwrap_or(facts.seen);
    Finding { level, at: facts.seen, high_at, limit: None, lasts: LASTS }
}
