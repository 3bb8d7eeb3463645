//! What a heartbeat writes to its server's item.

use super::attribute::{
    AGENT_VERSION, ARCHITECTURE, Attribute, DUPLICATE_AT, GROUP, HOSTNAME, KERNEL_VERSION,
    LAST_SEEN, LEFT_AT, M1, M2, M3, OS_DISTRIBUTION, OS_VERSION, READING, REGISTERED_AT,
    REGISTRATION_ID, SERVER_ID, STATUS,
};
use super::update::Update;
use super::{Os, Reading, Status};
use crate::{Group, HeartbeatId, Item, ServerId, time};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::S;
use chrono::{DateTime, TimeDelta, Utc};
use std::borrow::Cow;

/// What a heartbeat writes to its server's item.
#[derive(Debug)]
pub struct Upsert<'a> {
    pub server_id: &'a ServerId,
    pub id: &'a HeartbeatId,
    pub hostname: Cow<'a, str>,
    pub received_at: DateTime<Utc>,
    /// Whether it is the last one of a machine that is switched off.
    pub is_leaving: bool,
    /// That of the key: of a server that has none.
    pub group: Option<&'a Group>,
    /// If absent, the stored one is removed.
    pub agent_version: Option<&'a str>,
    /// Tells the senders of one name apart.
    pub fingerprint: &'a str,
    /// If present, it replaces the four stored values as a block.
    pub os: Option<Os<Cow<'a, str>>>,
    /// If present, it replaces the stored one.
    pub reading: Option<&'a Reading>,
}

/// A comparison with a missing attribute, or with one of another type, is false. So a `last_seen` that no heartbeat can
/// have written does not block the server.
const IS_CURRENT: &str = "NOT (last_seen > :last_seen AND last_seen <= :latest)";

impl Upsert<'_> {
    /// Marks the server as online, on condition that no newer heartbeat has been recorded.
    #[must_use]
    pub fn apply(self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let now = S(time::format(self.received_at));
        let mut upsert = Update::of(self.server_id.as_str())
            .set(HOSTNAME, S(self.hostname.into_owned()))
            .set(STATUS, Status::Online.value())
            .set(LAST_SEEN, now.clone())
            .put(LEFT_AT, self.is_leaving.then(|| now.clone()))
            .set_if_absent(REGISTERED_AT, now)
            .set_if_absent(REGISTRATION_ID, S(self.id.as_str().to_owned()))
            .put(AGENT_VERSION, self.agent_version.map(|version| S(version.to_owned())))
            .set_from(M3, M2, ":m1")
            .set_from(M2, M1, ":m1")
            .set(M1, S(self.fingerprint.to_owned()))
            .value(":latest", S(time::LATEST.to_owned()))
            .if_holds(IS_CURRENT);
        if let Some(group) = self.group {
            upsert = upsert.set_if_absent(GROUP, S(group.as_str().to_owned()));
        }
        if let Some(reading) = self.reading {
            upsert = upsert.set(READING, reading.value());
        }
        if let Some(os) = self.os {
            for (attribute, value) in [
                (OS_DISTRIBUTION, os.distribution),
                (OS_VERSION, os.version),
                (KERNEL_VERSION, os.kernel),
                (ARCHITECTURE, os.architecture),
            ] {
                upsert = upsert.put(attribute, value.map(|text| S(text.into_owned())));
            }
        }
        upsert.apply(update)
    }
}

/// Whether a heartbeat registered its server, judged by the item before the write: the item did not exist, held nothing
/// but its key, or was created by this heartbeat in an earlier attempt.
#[must_use]
pub fn is_registration(before: Option<&Item>, id: &HeartbeatId) -> bool {
    before.is_none_or(|item| {
        item.keys().all(|name| name == SERVER_ID.name())
            || REGISTRATION_ID.text(item).as_deref() == Some(id.as_str())
    })
}

/// The time for which a note that two senders use one name is not renewed.
const NOTED_FOR: TimeDelta = TimeDelta::minutes(5);

/// The fingerprint of the last heartbeat.
pub fn last_sender(item: &Item) -> Option<String> {
    M1.text(item)
}

/// Whether a sender has returned, and nobody has noted it lately, judged by the item before the write: another sender's
/// heartbeat was the last one, and this one's was among the two before.
#[must_use]
pub fn is_unnoted_return(before: &Item, fingerprint: &str, now: DateTime<Utc>) -> bool {
    let is_this = |mark: Attribute| mark.text(before).is_some_and(|text| text == fingerprint);
    let has_returned = M1.of(before).is_some() && !is_this(M1) && (is_this(M2) || is_this(M3));
    let noted_at = || DUPLICATE_AT.text(before).and_then(|text| time::parse(&text));
    has_returned && noted_at().is_none_or(|at| (now - at).abs() >= NOTED_FOR)
}

/// Notes that two senders use one name, on condition that the server has not been forgotten.
#[must_use]
pub fn note_duplicate(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    now: DateTime<Utc>,
) -> UpdateItemFluentBuilder {
    Update::of(server_id.as_str()).set(DUPLICATE_AT, S(time::format(now))).if_exists().apply(update)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server and its clock, in seconds.
    #[derive(Default)]
    struct Simulation {
        item: Item,
        noted_at: Vec<i64>,
    }

    impl Simulation {
        /// Receives a heartbeat. The note of a return is lost if `is_lost` says so.
        fn receive(&mut self, sender: &str, at: i64, is_lost: bool) {
            let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(at);
            let is_return = is_unnoted_return(&self.item, sender, now);
            let value = |attribute: Attribute| attribute.of(&self.item).cloned();
            let this = || S(sender.to_owned());
            let marks = [
                (M3, value(M2).unwrap_or_else(this)),
                (M2, value(M1).unwrap_or_else(this)),
                (M1, this()),
            ];
            let note = (is_return && !is_lost).then(|| (DUPLICATE_AT, S(time::format(now))));
            self.noted_at.extend(note.is_some().then_some(at));
            let changed = marks.into_iter().chain(note);
            self.item
                .extend(changed.map(|(attribute, value)| (attribute.name().to_owned(), value)));
        }

        /// Receives the heartbeats of senders for some hours: the name of each, its first second, and its interval.
        fn run(
            senders: &[(&str, i64, i64)],
            hours: i64,
            is_lost: impl Fn(i64) -> bool,
        ) -> Vec<i64> {
            let mut simulation = Self::default();
            for at in 0..hours * 3_600 {
                for (sender, first, every) in senders {
                    if at >= *first && (at - first) % every == 0 {
                        simulation.receive(sender, at, is_lost(at));
                    }
                }
            }
            simulation.noted_at
        }
    }

    // C5.13: what the watchdog needs: a note soon, and renewed.
    #[test]
    fn senders_that_go_on_are_noted_again_and_again() {
        let [one, other, third] = ["one", "other", "third"];
        for (senders, first, most) in [
            (vec![(one, 0, 60), (other, 30, 60)], 60, 330),
            (vec![(one, 0, 60), (other, 1, 60)], 60, 330),
            (vec![(one, 0, 60), (other, 20, 60), (third, 40, 60)], 60, 330),
            (vec![(one, 0, 60), (other, 90, 1_800)], 120, 1_800),
            (vec![(one, 0, 60), (other, 50, 55)], 120, 400),
        ] {
            let noted_at = Simulation::run(&senders, 12, |_| false);
            assert!(noted_at[0] <= first, "{senders:?}: {noted_at:?}");
            let gaps: Vec<_> = noted_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let is_regular = |gap: &i64| (300..=most).contains(gap);
            assert!(gaps.iter().all(is_regular), "{senders:?}: {gaps:?}");
            assert!(gaps.len() > 20, "{senders:?}: {gaps:?}");
        }
    }

    // C5.13: a crash before the update loses a note, and the next return makes up for it.
    #[test]
    fn lost_notes_delay_the_next_one_only() {
        let senders = [("one", 0, 60), ("other", 30, 60)];
        let noted_at = Simulation::run(&senders, 12, |at| at / 30 % 3 != 0);
        let gaps = noted_at.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().all(|gap| (300..=390).contains(&gap)));
        assert!(gaps.count() > 100);
    }

    // C5.13: one machine with two systems, twice a day; one that reboots every hour; one whose agent is rolled back.
    #[test]
    fn one_machine_at_a_time_is_never_noted() {
        let mut simulation = Simulation::default();
        for minute in 0..3 * 1_440 {
            let half_day = minute / 720;
            let system = ["debian", "windows"][half_day as usize % 2];
            simulation.receive(system, minute * 60, false);
        }
        for minute in 3 * 1_440..4 * 1_440 {
            let boot = format!("boot-{}", minute / 60);
            // Each heartbeat is retried, under the same fingerprint.
            for attempt in 0..3 {
                simulation.receive(&boot, minute * 60 + attempt, false);
            }
        }
        assert_eq!(simulation.noted_at, [0; 0]);
    }
}
