//! Any outage and any fleet, minute by minute, without a database.

use super::{item, rules, stored_memory};
use crate::support::at;
use proptest::prelude::*;
use std::ops::Range;
use tables::server::{Groups, Memory};
use verdict::Review;

/// What goes wrong in a simulation, and when.
#[derive(Default)]
struct Trouble {
    /// Heartbeats are lost.
    ingest: Range<i64>,
    /// Sweeps are missing.
    sweeps: Range<i64>,
    /// These servers send none from a given time on.
    dead: Vec<usize>,
    since: i64,
}

/// Sweeps once a minute over a fleet. Each server sends a heartbeat once a minute, at its offset. Returns the servers that
/// were judged as offline, and when.
fn simulate(offsets: &[i64], trouble: &Trouble, until: i64) -> Vec<(usize, i64)> {
    let mut offline = Vec::new();
    let mut memory = stored_memory(&Memory::default());
    for now in (0..until).step_by(60).filter(|now| !trouble.sweeps.contains(now)) {
        let known = Memory::from_item(&memory).unwrap();
        let mut review = Review::new(rules(600), Groups::default(), known, None, at(now));
        for (number, offset) in offsets.iter().enumerate() {
            if offline.iter().any(|(judged, _)| *judged == number) {
                continue;
            }
            let arrives = |time: &i64| {
                let is_dead = trouble.dead.contains(&number) && *time >= trouble.since;
                !trouble.ingest.contains(time) && !is_dead
            };
            let seen = (-60..=(now - offset).div_euclid(60))
                .rev()
                .map(|minute| minute * 60 + offset)
                .find(arrives);
            review.add(&item(&number.to_string(), at(seen.unwrap())));
        }
        let decision = review.conclude();
        memory = stored_memory(&decision.memory);
        let judged = decision.plan.marks();
        offline.extend(judged.map(|server| (server.parse::<usize>().unwrap(), now)));
    }
    offline
}

fn fleet() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(0..60_i64, 3..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    // An outage of our own path, of up to nine minutes, raises no false alarm.
    #[test]
    fn an_outage_of_our_own_path_raises_no_alarm(
        offsets in fleet(),
        start in 600..660_i64,
        length in 1..=540_i64,
    ) {
        let trouble = Trouble { ingest: start..start + length, ..Trouble::default() };
        prop_assert_eq!(simulate(&offsets, &trouble, 2400), vec![]);
    }

    // An outage of the sweeps, or of everything, raises none however long it is, even if heartbeats come back up to four
    // minutes after the sweeps.
    #[test]
    fn an_outage_of_the_sweeps_raises_no_alarm(
        offsets in fleet(),
        start in 600..660_i64,
        length in 120..=18_000_i64,
        is_everything in any::<bool>(),
        lag in 0..=240_i64,
    ) {
        let sweeps = start..start + length;
        let ingest = if is_everything { start..start + length + lag } else { 0..0 };
        let trouble = Trouble { ingest, sweeps, ..Trouble::default() };
        prop_assert_eq!(simulate(&offsets, &trouble, start + length + 2400), vec![]);
    }

    // A server that dies is found, with or without an outage: within four minutes of its death, or else once it has been
    // late for as long as the hold.
    #[test]
    fn a_dead_server_is_still_found(
        offsets in fleet(),
        length in prop::sample::select(vec![0, 60, 300, 480]),
        dies in 600..1200_i64,
    ) {
        let trouble = Trouble { ingest: 600..600 + length, dead: vec![0], since: dies, ..Trouble::default() };
        let alarms = simulate(&offsets, &trouble, 3000);
        let [(0, found)] = alarms[..] else {
            return Err(TestCaseError::fail(format!("{alarms:?}")));
        };
        let limit = if length == 0 { 240 } else { 600 + 660 };
        prop_assert!(found - dies <= limit, "{} s", found - dies);
    }

    // Half of a fleet that dies for good is found within the hold and two sweeps.
    #[test]
    fn half_a_fleet_that_dies_is_found(offsets in fleet(), dies in 600..1200_i64) {
        let dead: Vec<_> = (0..offsets.len().div_ceil(2)).collect();
        let trouble = Trouble { dead: dead.clone(), since: dies, ..Trouble::default() };
        let mut alarms = simulate(&offsets, &trouble, 4000);
        alarms.sort_unstable();
        prop_assert_eq!(alarms.iter().map(|(server, _)| *server).collect::<Vec<_>>(), dead);
        for (_, found) in alarms {
            prop_assert!(found - dies <= 600 + 120, "{} s", found - dies);
        }
    }
}
