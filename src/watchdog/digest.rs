//! The message of the day: what is still wrong, or how well all are (C10). Pure.

use announcement::words::plural;
use announcement::{Entry, Fleet};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use std::collections::BTreeSet;
use tables::metric;
use tables::server::Server;
use tables::{Metric, Number, ServiceStatus};

use super::entry::{absence, problem};
use super::problems::{Word, fresh_reading};

/// How long after its time a digest is sent, if it could not be sent then.
const DUE: TimeDelta = TimeDelta::hours(6);

/// How many servers a remark names. The rest is counted.
const NAMED: usize = 5;

/// When a digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Time of the day, UTC.
    pub at: NaiveTime,
    /// Whether it is sent on good days, too.
    pub is_always: bool,
}

/// What the message of the day says.
#[derive(Debug, Default, PartialEq)]
pub struct Digest {
    /// Servers that are offline, and problems of the others.
    pub entries: Vec<Entry>,
    /// The number of servers in each state.
    states: [usize; State::ALL.len()],
    reboots: Named,
    updates: Named,
    unknown: Named,
}

/// How a server is: what applies first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Silenced,
    Offline,
    Late,
    NoReading,
    Problem,
    UnknownService,
    Well,
}

/// Some servers by name, and how many there are.
#[derive(Debug, Default, PartialEq)]
struct Named {
    first: BTreeSet<String>,
    count: usize,
}

impl Schedule {
    /// The last time before this one at which a digest was to be sent, if it is still due.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = now.date_naive().and_time(self.at).and_utc();
        let last = if today <= now {
            today
        } else {
            today - TimeDelta::days(1)
        };
        (now - last < DUE).then_some(last)
    }
}
