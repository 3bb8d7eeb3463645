//! What a person has to know about a server besides its values.

use super::Server;
use crate::time::{rounded, to_the_minute};
use chrono::{DateTime, TimeDelta, Utc};
use std::fmt;
use tables::server::HighEntry;
use tables::time::parse;

/// One thing about a server. It is displayed as words that follow the server's name.
#[derive(Debug)]
pub enum Remark<'a> {
    /// A metric has reached its limit.
    High(&'a HighEntry),
    /// It came back then, which has not been announced yet.
    Back(DateTime<Utc>),
    /// The watchdog does not announce it until then.
    Silenced(DateTime<Utc>),
    /// Its clock is so far ahead.
    Clock(TimeDelta),
}

impl Server {
    /// Everything that there is to say.
    pub fn remarks(&self) -> impl Iterator<Item = Remark<'_>> {
        let high = self.stored.high.entries.iter().map(Remark::High);
        let back = self.stored.returned_at.as_ref();
        let clock = self.clock_error_seconds();
        high.chain(back.map(|at| Remark::Back(at.time)))
            .chain(self.stored.silenced_until.map(Remark::Silenced))
            .chain(clock.map(|seconds| Remark::Clock(TimeDelta::seconds(seconds))))
    }
}

impl fmt::Display for Remark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::High(entry) => {
                let since = parse(&entry.since).map_or_else(|| entry.since.clone(), to_the_minute);
                let (metric, limit) = (entry.metric.name, entry.limit);
                write!(f, "{metric} is high since {since}, limit {limit}")
            }
            Self::Back(at) => write!(f, "back since {}, not announced yet", to_the_minute(*at)),
            Self::Silenced(until) => write!(f, "silenced until {}", to_the_minute(*until)),
            Self::Clock(error) => {
                let is_ahead = *error > TimeDelta::zero();
                let direction = if is_ahead { "ahead" } else { "behind" };
                write!(f, "clock {} {direction}", rounded(*error))
            }
        }
    }
}
