//! Whose days a sweep writes, and which (C15.2). Each minute of the day is a slot, and each server has one of them, so the work is
//! spread over the day without a schedule.

use crate::lateness::usable;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use std::ops::RangeInclusive;
use tables::day::Day;
use tables::server::{FullOn, Server};
use tables::{Item, ServerId};

/// Minutes of a day.
const SLOTS: i64 = 1_440;

/// The most slots of one sweep: its own, and one that was missed.
const MOST_SLOTS: i64 = 2;

/// How long ago a day has ended that is written, because a backlog may come a day late.
const AFTER: TimeDelta = TimeDelta::hours(24);

/// How many days before it are made up for.
const MADE_UP: u64 = 7;

/// The servers in the slots of a sweep.
#[derive(Debug)]
pub struct Due {
    time: DateTime<Utc>,
    /// Since 1970.
    minutes: RangeInclusive<i64>,
    pub servers: Vec<DueServer>,
}

/// A server whose days are to be there.
#[derive(Debug, Clone)]
pub struct DueServer {
    pub id: ServerId,
    /// What its item says of its file systems.
    pub full_on: FullOn,
}

impl Due {
    /// Of a sweep at this time, given the last minute whose slot was taken. After an outage, what was missed comes first. What is
    /// older than a day has the same slots again.
    #[must_use]
    pub fn new(rolled_until: Option<DateTime<Utc>>, time: DateTime<Utc>) -> Self {
        let minute = |time: DateTime<Utc>| time.timestamp().div_euclid(60);
        let now = minute(time);
        let last = usable(rolled_until, time).map_or(now - 1, minute);
        let first = (last + 1).max(now - SLOTS + 1);
        Self { time, minutes: first..=now.min(first + MOST_SLOTS - 1), servers: Vec::new() }
    }

    /// Adds an item of the servers table, if it is in one of the slots.
    pub fn add(&mut self, item: &Item) {
        let Some(id) = Server::id(item) else { return };
        if !self.minutes.clone().any(|minute| minute.rem_euclid(SLOTS) == slot(id)) {
            return;
        }
        let server = ServerId::new(id).map(|id| DueServer { id, full_on: Server::full_on(item) });
        self.servers.extend(server);
    }

    /// The last minute whose slot this sweep takes; `None` if it takes none.
    #[must_use]
    pub fn until(&self) -> Option<DateTime<Utc>> {
        let last = DateTime::from_timestamp(self.minutes.end() * 60, 0);
        last.filter(|_| !self.minutes.is_empty())
    }

    /// The date of the sweep.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.time.date_naive()
    }

    /// The days that are to be there, the latest first. A day whose rows may have begun to expire is none of them.
    #[must_use]
    pub fn dates(&self, retention: TimeDelta) -> Vec<NaiveDate> {
        let latest = (self.time - AFTER).date_naive() - Days::new(1);
        let is_whole = |date: &NaiveDate| self.time - Day::period(*date)[0] < retention;
        (0..=MADE_UP).map(|age| latest - Days::new(age)).take_while(is_whole).collect()
    }
}

/// The slot of a server, by the FNV-1a hash of its id, which is the same in every version.
fn slot(server_id: &str) -> i64 {
    let hash = server_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % SLOTS as u64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(30_000_000 + minutes)
    }

    /// Sweeps at these minutes. Returns the minutes whose slots each has taken.
    fn sweep(minutes: impl IntoIterator<Item = i64>) -> Vec<(i64, Vec<i64>)> {
        let mut rolled_until = None;
        let taken = minutes.into_iter().map(|minute| {
            let due = Due::new(rolled_until, at(minute) + TimeDelta::seconds(3));
            rolled_until = due.until().or(rolled_until);
            (minute, due.minutes.map(|minute| minute - 30_000_000).collect())
        });
        taken.collect()
    }

    // C15.2
    #[test]
    fn each_slot_is_taken_once_a_day_and_at_most_two_by_one_sweep() {
        assert_eq!(sweep([0, 1, 1, 2]), [(0, vec![0]), (1, vec![1]), (1, vec![]), (2, vec![2])]);
        // After an outage of an hour, sweeps take two slots until they have caught up.
        let taken = sweep([0, 61, 62, 63].into_iter().chain(64..200));
        assert_eq!(taken[1..4], [(61, vec![1, 2]), (62, vec![3, 4]), (63, vec![5, 6])]);
        let all: Vec<_> = taken.iter().flat_map(|(_, taken)| taken.clone()).collect();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        assert_eq!(taken.last(), Some(&(199, vec![199])));
        // After one of two days, each slot of a day is taken once.
        let taken = sweep([0].into_iter().chain(2_880..2_880 + 3_000));
        assert_eq!(taken[1], (2_880, vec![1_441, 1_442]));
        let all: Vec<_> = taken[1..].iter().flat_map(|(_, taken)| taken.clone()).collect();
        assert_eq!(all, (1_441..5_880).collect::<Vec<_>>());
        // A time that is far ahead is ignored.
        let due = Due::new(Some(at(4)), at(0));
        assert_eq!(due.until(), Some(at(0)));
        let due = Due::new(Some(at(2)), at(0));
        assert_eq!(due.until(), None);
    }

    // C15.2
    #[test]
    fn slots_are_spread_over_the_day_and_never_change() {
        assert_eq!([slot("web-1"), slot("web-2"), slot("omv-mediaserver")], [1279, 1010, 1127]);
        let mut servers = HashMap::<_, usize>::new();
        for number in 0..100_000 {
            *servers.entry(slot(&format!("server-{number:06}"))).or_default() += 1;
        }
        assert_eq!(servers.len(), 1_440);
        let (least, most) = (servers.values().min(), servers.values().max());
        assert!(least >= Some(&35) && most <= Some(&110), "{least:?} to {most:?}");
    }

    // C15.2
    #[test]
    fn a_day_is_due_24_hours_after_its_end_while_its_rows_are_there() {
        let dates = |time: &str, retention| {
            let due = Due::new(None, time.parse().expect("a time"));
            let dates = due.dates(TimeDelta::days(retention));
            dates.into_iter().map(|date| date.to_string()).collect::<Vec<_>>()
        };
        for time in ["2026-03-02T00:00:00Z", "2026-03-02T23:59:59Z"] {
            let dates = dates(time, 30);
            assert_eq!((dates.len(), &*dates[0], &*dates[7]), (8, "2026-02-28", "2026-02-21"));
        }
        assert_eq!(dates("2026-03-02T00:00:00Z", 4), ["2026-02-28", "2026-02-27"]);
        assert_eq!(dates("2026-03-02T00:00:00Z", 3), ["2026-02-28"]);
        assert_eq!(dates("2026-03-02T23:59:59Z", 3), ["2026-02-28"]);
        assert!(dates("2026-03-02T00:00:00Z", 2).is_empty());
    }
}
