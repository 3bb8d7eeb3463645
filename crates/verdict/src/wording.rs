//! A verdict in words, the same for every reader (C8.12).

use crate::announce;
use crate::standing::{Standing, Verdict};
use announcement::words::{at, at_and_age};
use announcement::{Announcement, Part, SHUT_DOWN};
use chrono::{DateTime, Utc};
use tables::server::Server;

impl Verdict {
    /// What its standing says of a server, as words that follow its id: `offline since 10:30 UTC (8 min)`. Of one that is well,
    /// nothing.
    #[must_use]
    pub fn say(&self, server: &Server, now: DateTime<Utc>) -> Vec<String> {
        let when = |words: &str, unknown: &str, say: fn(DateTime<Utc>, DateTime<Utc>) -> String| {
            let at = self.at.map(|at| format!("{words} {}", say(at, now)));
            vec![at.unwrap_or_else(|| unknown.to_owned())]
        };
        let ago = |time, now| at_and_age(time, Some(now));
        match self.standing {
            Standing::Offline | Standing::Gone if server.departure().is_some() => {
                let left = server.departure().map(|left| at_and_age(left.time, Some(now)));
                vec![format!("{SHUT_DOWN} at {}", left.unwrap_or_default())]
            }
            Standing::Offline => when("offline since", "offline, never seen", ago),
            Standing::Late => when("late, last seen", "late, never seen", ago),
            Standing::Problem => self.say_problems(server, now),
            Standing::Returning => when("back since", "back", ago),
            Standing::Unknown => self.say_unknown(),
            Standing::Silenced => {
                when("silenced until", "silenced", |time, now| at(time, Some(now)))
            }
            Standing::Well | Standing::Gone => Vec::new(),
        }
    }

    /// Whatever else is to be said of it: its problems and what is not known, if its standing is worse or silenced.
    #[must_use]
    pub fn say_besides(&self, server: &Server, now: DateTime<Utc>) -> Vec<String> {
        let problems = match self.standing {
            Standing::Problem | Standing::Gone => Vec::new(),
            _ => self.say_problems(server, now),
        };
        let unknown = match self.standing {
            Standing::Offline | Standing::Late | Standing::Unknown | Standing::Gone => Vec::new(),
            _ => self.say_unknown(),
        };
        let reading = server.reading.as_ref().filter(|_| self.is_old);
        let old = reading.and_then(|reading| reading.received_at);
        let old = old.map(|time| format!("values of {}", at_and_age(time, Some(now))));
        problems.into_iter().chain(unknown).chain(old).collect()
    }

    /// As announcements say it: `disk /data 93.1 %, limit 90 %, since 10:30 UTC (8 min)`.
    fn say_problems(&self, server: &Server, now: DateTime<Utc>) -> Vec<String> {
        let say = |problem| {
            let announced = Announcement::Problem(announce::problem(server, problem));
            announced.say(Some(now)).detail.iter().map(Part::text).collect()
        };
        self.problems.iter().map(say).collect()
    }

    fn say_unknown(&self) -> Vec<String> {
        self.unknown.iter().map(|unknown| format!("unknown: {unknown}")).collect()
    }
}
