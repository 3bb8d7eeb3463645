//! How one server is: its standing, its problems, and what is not known of it (C8.13).

use crate::budget;
use crate::condition::{FRESH, Facts};
use crate::lateness::{Lateness, threshold};
use crate::problem::{Current, current};
use chrono::{DateTime, TimeDelta, Utc};
use std::fmt;
use tables::ServiceStatus;
use tables::problem::Stage;
use tables::server::{Rules, Server, Status};

/// A return has lasted after this time even if the server reports rarely.
const RETURN_LASTS: TimeDelta = TimeDelta::hours(1);

/// How a server is. What is worse comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Offline,
    Late,
    Problem,
    Returning,
    Unknown,
    Silenced,
    Well,
    /// It has ended on purpose, and counts nowhere.
    Gone,
}

/// What the rules say of a server as of a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub standing: Standing,
    /// Offline, late, gone: since when it has not been heard; returning: since when it is back; silenced: until when.
    pub at: Option<DateTime<Utc>>,
    /// What has been announced or may have been, and what is to be; also of a server that is offline or silenced.
    pub problems: Vec<Current>,
    /// What is not known.
    pub unknown: Vec<Unknown>,
    /// Whether the values of its reading are too old to be shown as the present.
    pub is_old: bool,
}

/// Something that is not known of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// Its item has no status.
    Status,
    /// Its item has an attribute that cannot be read.
    Attribute,
    /// It has sent no reading, or only heartbeats without one for some time.
    Reading,
    /// The agent cannot tell what this service does.
    Service(String),
}

impl Standing {
    /// Every standing, the worst first.
    pub const ALL: [Self; 8] = [
        Self::Offline,
        Self::Late,
        Self::Problem,
        Self::Returning,
        Self::Unknown,
        Self::Silenced,
        Self::Well,
        Self::Gone,
    ];

    /// Its name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Late => "late",
            Self::Problem => "problem",
            Self::Returning => "returning",
            Self::Unknown => "unknown",
            Self::Silenced => "silenced",
            Self::Well => "well",
            Self::Gone => "gone",
        }
    }

    /// What follows the number of servers that are so: `2 offline`, `1 with a problem`.
    #[must_use]
    pub const fn of_some(self) -> &'static str {
        match self {
            Self::Problem => "with a problem",
            _ => self.as_str(),
        }
    }
}

/// How far the return of a server that is online, and not late, has come (C8.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// It was not away, as far as its item says.
    None,
    /// It is back, which has not lasted, or waits until a message may name the server.
    Begun { since: DateTime<Utc>, is_noted: bool },
    /// That has lasted.
    Lasted,
}

impl Return {
    /// Of a server that is not late.
    #[must_use]
    pub fn of(server: &Server, rules: &Rules, now: DateTime<Utc>) -> Self {
        let (Some(seen), Some(_)) = (&server.last_seen, &server.offline_since) else {
            return Self::None;
        };
        let noted = server.known_return();
        let since = noted.unwrap_or(seen).time;
        let has_lasted = seen.time - since >= rules.back_after || now - since >= RETURN_LASTS;
        let has_turn = server.absence() != Some(Stage::Firing) || budget::is_open(server, now);
        if has_lasted && has_turn {
            Self::Lasted
        } else {
            Self::Begun { since, is_noted: noted.is_some() }
        }
    }
}

impl Verdict {
    /// Judges a server, given whether it is late.
    #[must_use]
    pub fn of(server: &Server, rules: &Rules, lateness: Lateness, now: DateTime<Utc>) -> Self {
        let seen = server.last_seen.as_ref().map(|seen| seen.time);
        let is_online = server.status == Some(Status::Online);
        let is_offline = server.status == Some(Status::Offline) || lateness == Lateness::Lost;
        let is_silenced = server.is_silenced(now);
        let is_heard = is_online && !lateness.is_late();
        let back = if is_heard { Return::of(server, rules, now) } else { Return::None };
        let problems = current(server, &rules.limits, is_judged(server, lateness, rules, now));
        let unknown = Unknown::of(server, rules);
        let (standing, at) = match back {
            _ if server.is_gone() => (Standing::Gone, seen),
            _ if is_silenced => (
                Standing::Silenced,
                server.silence_ends().filter(|until| *until < DateTime::<Utc>::MAX_UTC),
            ),
            _ if is_offline => {
                let since = server.offline_since.as_ref().map(|since| since.time);
                (Standing::Offline, since.or(seen))
            }
            _ if lateness != Lateness::OnTime => (Standing::Late, seen),
            _ if !problems.is_empty() => (Standing::Problem, None),
            Return::Begun { since, .. } => (Standing::Returning, Some(since)),
            _ if !unknown.is_empty() => (Standing::Unknown, None),
            Return::None | Return::Lasted => (Standing::Well, None),
        };
        let is_absent = is_offline || lateness != Lateness::OnTime;
        Self { standing, at, problems, unknown, is_old: is_absent || is_old(server, rules, now) }
    }
}

/// Whether the problems of a server are judged (C9.3).
pub fn is_judged(server: &Server, lateness: Lateness, rules: &Rules, now: DateTime<Utc>) -> bool {
    server.status == Some(Status::Online)
        && !lateness.is_late()
        && Return::of(server, rules, now) == Return::None
        && !server.is_silenced(now)
        && !server.is_gone()
}

/// Whether the reading of a server that is heard is too old to be shown as the present.
fn is_old(server: &Server, rules: &Rules, now: DateTime<Utc>) -> bool {
    let received = server.reading.as_ref().and_then(|reading| reading.received_at);
    let received = received.zip(server.last_seen.as_ref());
    received.is_none_or(|(received, seen)| {
        seen.time - received > FRESH || now - received > FRESH.max(threshold(server, rules))
    })
}

impl Unknown {
    fn of(server: &Server, rules: &Rules) -> Vec<Self> {
        let facts = Facts::of(server, &rules.limits);
        let reading = facts.and_then(|facts| facts.reading);
        let services = reading.and_then(|reading| reading.services);
        let services = services.into_iter().flat_map(|services| &services.not_running);
        let services = services.filter(|service| service.status == ServiceStatus::Unknown);
        (server.status.is_none().then_some(Self::Status).into_iter())
            .chain(server.is_malformed.then_some(Self::Attribute))
            .chain(reading.is_none().then_some(Self::Reading))
            .chain(services.map(|service| Self::Service(service.name.clone())))
            .collect()
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("no status"),
            Self::Attribute => f.write_str("an attribute that cannot be read"),
            Self::Reading => f.write_str("no fresh reading"),
            Self::Service(name) => {
                write!(f, "the state of service {}", announcement::words::escape(name))
            }
        }
    }
}
