//! A verdict in words, the same for every reader (C8.12).

use crate::announce;
use crate::problem::Current;
use crate::standing::{Standing, Verdict};
use announcement::words::{at, at_and_age};
use announcement::{Announcement, Part, SHUT_DOWN};
use chrono::{DateTime, Utc};
use tables::Zone;
use tables::server::Server;

/// Something that is remarkable of a server, and when that began, or ends. Between the two stands how they belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Tells it from the others of its server.
    pub key: String,
    pub words: String,
    /// `since`, `last seen`, `until`, `of` or nothing.
    pub relation: &'static str,
    pub at: Option<DateTime<Utc>>,
}

impl Remark {
    fn new(key: &str, words: String, relation: &'static str, at: Option<DateTime<Utc>>) -> Self {
        Self { key: key.to_owned(), words, relation, at }
    }
}

impl Verdict {
    /// What [`say`](Self::say) says, in parts.
    #[must_use]
    pub fn remarks(&self, server: &Server) -> Vec<Remark> {
        let key = self.standing.as_str();
        let when =
            |words: &str, relation| vec![Remark::new(key, words.to_owned(), relation, self.at)];
        match self.standing {
            Standing::Offline | Standing::Gone if server.departure().is_some() => {
                let left = server.departure().map(|left| left.time);
                vec![Remark::new(key, SHUT_DOWN.to_owned(), "", left)]
            }
            Standing::Offline => when("offline", "since"),
            Standing::Late => when("late", "last seen"),
            Standing::Problem => self.problem_remarks(server),
            Standing::Returning => when("back", "since"),
            Standing::Unknown => self.unknown_remarks(),
            Standing::Silenced => when("silenced", "until"),
            Standing::Well | Standing::Gone => Vec::new(),
        }
    }

    /// What [`say_besides`](Self::say_besides) says, in parts.
    #[must_use]
    pub fn remarks_besides(&self, server: &Server) -> Vec<Remark> {
        let problems = match self.standing {
            Standing::Problem | Standing::Gone => Vec::new(),
            _ => self.problem_remarks(server),
        };
        let unknown = match self.standing {
            Standing::Offline | Standing::Late | Standing::Unknown | Standing::Gone => Vec::new(),
            _ => self.unknown_remarks(),
        };
        let reading = server.reading.as_ref().filter(|_| self.is_old);
        let old = reading.and_then(|reading| reading.received_at);
        let old = old.map(|time| Remark::new("values", "values".to_owned(), "of", Some(time)));
        problems.into_iter().chain(unknown).chain(old).collect()
    }

    fn problem_remarks(&self, server: &Server) -> Vec<Remark> {
        let remark = |problem: &Current| {
            let words = announce::problem(server, problem).what();
            Remark::new(&problem.key.to_string(), words, "since", Some(problem.since))
        };
        self.problems.iter().map(remark).collect()
    }

    fn unknown_remarks(&self) -> Vec<Remark> {
        let unknown = self.unknown.iter().map(|unknown| format!("unknown: {unknown}"));
        unknown.map(|words| Remark::new(&words.clone(), words, "", None)).collect()
    }

    /// What its standing says of a server, as words that follow its id: `offline since 10:30 UTC (8 min)`. Of one that is well,
    /// nothing.
    #[must_use]
    pub fn say(&self, server: &Server, now: DateTime<Utc>, zone: &Zone) -> Vec<String> {
        type Say = fn(DateTime<Utc>, Option<DateTime<Utc>>, &Zone) -> String;
        let when = |words: &str, unknown: &str, say: Say| {
            let at = self.at.map(|at| format!("{words} {}", say(at, Some(now), zone)));
            vec![at.unwrap_or_else(|| unknown.to_owned())]
        };
        match self.standing {
            Standing::Offline | Standing::Gone if server.departure().is_some() => {
                let left = server.departure();
                let left = left.map(|left| at_and_age(left.time, Some(now), zone));
                vec![format!("{SHUT_DOWN} at {}", left.unwrap_or_default())]
            }
            Standing::Offline => when("offline since", "offline, never seen", at_and_age),
            Standing::Late => when("late, last seen", "late, never seen", at_and_age),
            Standing::Problem => self.say_problems(server, now, zone),
            Standing::Returning => when("back since", "back", at_and_age),
            Standing::Unknown => self.say_unknown(),
            Standing::Silenced => when("silenced until", "silenced", at),
            Standing::Well | Standing::Gone => Vec::new(),
        }
    }

    /// Whatever else is to be said of it: its problems and what is not known, if its standing is worse or silenced.
    #[must_use]
    pub fn say_besides(&self, server: &Server, now: DateTime<Utc>, zone: &Zone) -> Vec<String> {
        let problems = match self.standing {
            Standing::Problem | Standing::Gone => Vec::new(),
            _ => self.say_problems(server, now, zone),
        };
        let unknown = match self.standing {
            Standing::Offline | Standing::Late | Standing::Unknown | Standing::Gone => Vec::new(),
            _ => self.say_unknown(),
        };
        let reading = server.reading.as_ref().filter(|_| self.is_old);
        let old = reading.and_then(|reading| reading.received_at);
        let old = old.map(|time| format!("values of {}", at_and_age(time, Some(now), zone)));
        problems.into_iter().chain(unknown).chain(old).collect()
    }

    /// As announcements say it: `disk /data 93.1 %, limit 90 %, since 10:30 UTC (8 min)`.
    fn say_problems(&self, server: &Server, now: DateTime<Utc>, zone: &Zone) -> Vec<String> {
        let say = |problem| {
            let announced = Announcement::Problem(announce::problem(server, problem));
            announced.say(Some(now), zone).detail.iter().map(Part::text).collect()
        };
        self.problems.iter().map(say).collect()
    }

    fn say_unknown(&self) -> Vec<String> {
        self.unknown.iter().map(|unknown| format!("unknown: {unknown}")).collect()
    }
}
