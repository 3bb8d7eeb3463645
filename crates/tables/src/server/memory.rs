//! The watchdog's own item.

use super::Change;
use super::attribute::{
    Attribute, BACK_AFTER, DIGEST_AT, DIGEST_TIMES, EVENTS_SINCE, GAP_SINCE, GAP_UNTIL, HOLD,
    LIMITS, MASS_SILENCE_AT, OFFLINE_AFTER, QUIET, ROLLED_UNTIL, SERVER_ID, SILENCED_UNTIL,
    SWEPT_AT, TIME_ZONE, VERSION as VERSION_ATTRIBUTE,
};
use crate::{Item, Limits, Quiet, Zone, time};
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use chrono::{DateTime, TimeDelta, Utc};

/// The version of the contract. It is raised with whatever an older watchdog would ignore, or an older reader not
/// understand.
pub const VERSION: u32 = 2;

/// What the watchdog remembers from one sweep to the next, in an item of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// The time of the last sweep whose scan was complete.
    pub swept_at: Option<DateTime<Utc>>,
    /// The last gap between sweeps.
    pub gap: Option<Gap>,
    /// The time of the last sweep that detected a mass absence.
    pub mass_absence_at: Option<DateTime<Utc>>,
    /// The time of the sweep that sent the last digest, or had nothing to send.
    pub digest_at: Option<DateTime<Utc>>,
    /// When it sends digests, as `DIGEST_AT` sets it.
    pub digest_times: Option<String>,
    /// The time of the first sweep that wrote what it said of each server by itself.
    pub events_since: Option<DateTime<Utc>>,
    /// The last minute whose slot was taken to write days.
    pub rolled_until: Option<DateTime<Utc>>,
    /// The rules that it applies, so that every reader of the fleet judges as it does. `None` if the item holds none, as
    /// before the first sweep: then [`Rules::default`] is the best guess.
    pub rules: Option<Rules>,
    /// All servers are silenced until then, and in these times. Operators write that.
    pub silenced_until: Option<DateTime<Utc>>,
    pub quiet: Option<Quiet>,
    /// Whether what operators wrote cannot be read.
    pub is_malformed: bool,
    /// The version of the contract that it keeps; 0 if it is older than versions. A watchdog writes its own, [`VERSION`].
    pub version: u32,
}

/// When a server counts as offline or back, what is a problem, and in which zone that is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// A server is late if its last heartbeat is older than this, and overdue after half of it, unless it has a
    /// threshold of its own.
    pub offline_after: TimeDelta,
    /// In a mass absence, a late server is judged once its last heartbeat is this old. Zero switches the rule off.
    pub hold: TimeDelta,
    /// A return is announced after heartbeats over this time. Zero means at once.
    pub back_after: TimeDelta,
    /// What is a problem, unless a server has limits of its own.
    pub limits: Limits,
    /// The zone of every time in words.
    pub zone: Zone,
}

impl Rules {
    /// The default of [`offline_after`](Self::offline_after), seconds.
    pub const OFFLINE_AFTER: u32 = 180;
    /// The default of [`back_after`](Self::back_after), seconds.
    pub const BACK_AFTER: u32 = 300;

    /// The default of [`hold`](Self::hold) for a threshold, both in seconds.
    #[must_use]
    pub fn hold_for(offline_after: u32) -> u32 {
        600.max(offline_after.saturating_mul(2))
    }

    /// Reads the rules in the watchdog's item; `None` if it holds none. One that cannot be read is the default.
    fn from_item(item: &Item) -> Option<Self> {
        let seconds = |attribute: Attribute| attribute.of(item)?.as_n().ok()?.parse::<u32>().ok();
        let threshold = seconds(OFFLINE_AFTER).filter(|after| *after > 0);
        let (hold, back_after) = (seconds(HOLD), seconds(BACK_AFTER));
        let limits = LIMITS.text(item).and_then(|list| Limits::parse(&list).ok());
        if threshold.or(hold).or(back_after).is_none() && limits.is_none() {
            return None;
        }
        let offline_after = threshold.unwrap_or(Self::OFFLINE_AFTER);
        let hold = hold.unwrap_or_else(|| Self::hold_for(offline_after));
        Some(Self {
            offline_after: TimeDelta::seconds(offline_after.into()),
            hold: TimeDelta::seconds(hold.into()),
            back_after: TimeDelta::seconds(back_after.unwrap_or(Self::BACK_AFTER).into()),
            limits: limits.unwrap_or_else(Limits::standard),
            zone: TIME_ZONE.text(item).and_then(|name| name.parse().ok()).unwrap_or_default(),
        })
    }
}

/// The rules of a watchdog that is not told others.
impl Default for Rules {
    fn default() -> Self {
        Self {
            offline_after: TimeDelta::seconds(Self::OFFLINE_AFTER.into()),
            hold: TimeDelta::seconds(Self::hold_for(Self::OFFLINE_AFTER).into()),
            back_after: TimeDelta::seconds(Self::BACK_AFTER.into()),
            limits: Limits::standard(),
            zone: Zone::default(),
        }
    }
}

/// A time in which sweeps are missing, and heartbeats may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// The id of the watchdog's item. No agent can send it.
pub(crate) const WATCHDOG: &str = "#watchdog";

impl Memory {
    /// Reads the item.
    #[must_use]
    pub fn find(get: GetItemFluentBuilder) -> GetItemFluentBuilder {
        get.key(SERVER_ID.name(), S(WATCHDOG.to_owned()))
    }

    /// Reads the watchdog's item; `None` if this is another one.
    #[must_use]
    pub fn from_item(item: &Item) -> Option<Self> {
        if SERVER_ID.of(item)?.as_s().ok()? != WATCHDOG {
            return None;
        }
        let time = |attribute: Attribute| time::parse(&attribute.text(item)?);
        let version = VERSION_ATTRIBUTE.of(item).and_then(|value| value.as_n().ok()?.parse().ok());
        let quiet = QUIET.text(item).and_then(|quiet| quiet.parse().ok());
        let silenced_until = time(SILENCED_UNTIL);
        let is_read = |attribute: Attribute, is_read| is_read || attribute.of(item).is_none();
        let gap = time(GAP_SINCE).zip(time(GAP_UNTIL));
        Some(Self {
            swept_at: time(SWEPT_AT),
            gap: gap.map(|(since, until)| Gap { since, until }),
            mass_absence_at: time(MASS_SILENCE_AT),
            digest_at: time(DIGEST_AT),
            digest_times: DIGEST_TIMES.text(item),
            events_since: time(EVENTS_SINCE),
            rolled_until: time(ROLLED_UNTIL),
            rules: Rules::from_item(item),
            is_malformed: !is_read(QUIET, quiet.is_some())
                || !is_read(SILENCED_UNTIL, silenced_until.is_some()),
            silenced_until,
            quiet,
            version: version.unwrap_or_default(),
        })
    }

    /// Replaces what the watchdog writes to its item at each sweep, without `events_since` and `rolled_until`; `digest_at` only
    /// if that is new.
    #[must_use]
    pub fn write(&self, is_rescheduled: bool) -> Change {
        let time = |at: Option<DateTime<Utc>>| at.map(|at| S(time::format(at)));
        let rules = self.rules.as_ref();
        let seconds = |rule: fn(&Rules) -> TimeDelta| {
            rules.map(|rules| N(rule(rules).num_seconds().to_string()))
        };
        let digest_at = self.digest_at.filter(|_| is_rescheduled);
        let change = match digest_at {
            None => Change::of(WATCHDOG),
            Some(at) => Self::note_digest(at),
        };
        change
            .put(SWEPT_AT, time(self.swept_at))
            .put(GAP_SINCE, time(self.gap.map(|gap| gap.since)))
            .put(GAP_UNTIL, time(self.gap.map(|gap| gap.until)))
            .put(MASS_SILENCE_AT, time(self.mass_absence_at))
            .put(OFFLINE_AFTER, seconds(|rules| rules.offline_after))
            .put(HOLD, seconds(|rules| rules.hold))
            .put(BACK_AFTER, seconds(|rules| rules.back_after))
            .put(VERSION_ATTRIBUTE, Some(N(VERSION.to_string())))
            .put(LIMITS, rules.map(|rules| S(rules.limits.to_string())))
            .put(DIGEST_TIMES, self.digest_times.clone().map(S))
            .put(TIME_ZONE, rules.map(|rules| S(rules.zone.to_string())))
    }

    /// Notes that the digest is done.
    #[must_use]
    pub fn note_digest(at: DateTime<Utc>) -> Change {
        Change::of(WATCHDOG).set(DIGEST_AT, S(time::format(at)))
    }

    /// Notes that from now on, what is said of each server is kept by itself.
    #[must_use]
    pub fn note_events(since: DateTime<Utc>) -> Change {
        Change::of(WATCHDOG).set(EVENTS_SINCE, S(time::format(since)))
    }

    /// Notes the last minute whose slot was taken.
    #[must_use]
    pub fn note_rolled(until: DateTime<Utc>) -> Change {
        Change::of(WATCHDOG).set(ROLLED_UNTIL, S(time::format(until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::AttributeValue;

    // C8.12
    #[test]
    fn rules_that_are_missing_or_cannot_be_read_are_the_default() {
        let rules = |attributes: &[(&str, AttributeValue)]| {
            let id = [(SERVER_ID.name(), S(WATCHDOG.to_owned()))];
            let attributes = attributes.iter().cloned().chain(id);
            let item: Item = attributes.map(|(name, value)| (name.to_owned(), value)).collect();
            Memory::from_item(&item).expect("the watchdog's item").rules
        };
        let number = |seconds: &str| N(seconds.to_owned());
        let default = Rules::default();
        assert_eq!(rules(&[]), None);
        assert_eq!(rules(&[("swept_at", S(time::LATEST.to_owned()))]), None);
        assert_eq!(rules(&[("offline_after", number("180"))]), Some(default.clone()));
        let slow = Rules {
            offline_after: TimeDelta::seconds(900),
            hold: TimeDelta::seconds(1800),
            ..default.clone()
        };
        assert_eq!(rules(&[("offline_after", number("900"))]), Some(slow));
        let attributes = [
            ("offline_after", number("0")),
            ("hold", S("600".to_owned())),
            ("back_after", number("-1")),
            ("limits", S("none".to_owned())),
            ("time_zone", S("Europe/Nowhere".to_owned())),
        ];
        let no_limits = Rules { limits: Limits::parse("none").expect("limits"), ..default };
        assert_eq!(rules(&attributes), Some(no_limits));
    }
}
