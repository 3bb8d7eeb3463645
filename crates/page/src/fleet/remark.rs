//! What a person has to know about a server besides its values.

use super::Server;
use crate::time::{rounded, to_the_minute};
use chrono::{DateTime, TimeDelta, Utc};
use std::fmt;
use tables::problem::{Key, Problem};

/// One thing about a server. It is displayed as words that follow the server's name.
#[derive(Debug)]
pub enum Remark<'a> {
    /// It has a problem, which has been announced.
    Problem(&'a Key, &'a Problem),
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
        let problems = self.stored.problems.announced();
        let problems = problems.map(|(key, problem)| Remark::Problem(key, problem));
        let back = self.stored.returned_at.as_ref();
        let clock = self.clock_error_seconds();
        problems
            .chain(back.map(|at| Remark::Back(at.time)))
            .chain(self.stored.silenced_until.map(Remark::Silenced))
            .chain(clock.map(|seconds| Remark::Clock(TimeDelta::seconds(seconds))))
    }
}

impl fmt::Display for Remark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(key, problem) => {
                let since = to_the_minute(problem.since);
                match (key, problem.limit) {
                    (Key::Metric(_) | Key::Disk(_), Some(limit)) => {
                        write!(f, "{key} is high since {since}, limit {limit}")
                    }
                    (Key::Duplicate, _) => write!(f, "two senders use this name since {since}"),
                    _ => write!(f, "{key} is failed or stopped since {since}"),
                }
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
