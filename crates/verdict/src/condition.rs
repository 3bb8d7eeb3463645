//! What can be wrong with a server: for each kind of problem, a file that says what is evidence for it, what its limit is,
//! and how long it has to last (C9.1, C9.3).

mod disk;
mod duplicate;
mod limit;
mod service;

pub use disk::hand_over;
#[cfg(test)]
pub use disk::of_disk_percent;

use chrono::{DateTime, TimeDelta, Utc};
use tables::problem::{Key, Kind, Problem};
use tables::server::{self, Server};
use tables::{Disk, Limits, Metrics, Number, ServiceStatus, Services};

/// How long before a server's last heartbeat its reading may have been received.
pub const FRESH: TimeDelta = TimeDelta::seconds(600);

/// A value may be at the end of a problem below this share of its limit.
const END: f64 = 0.95;

/// What is known of a server that is judged, and by which limits it is.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// When its last heartbeat was received.
    pub seen: DateTime<Utc>,
    /// When one of several senders was last found to use its name.
    pub duplicate_at: Option<DateTime<Utc>>,
    /// Its last reading, if that is fresh.
    pub reading: Option<Reading<'a>>,
    pub limits: &'a Limits,
    /// The limits of this server's own.
    pub own: Option<&'a Limits>,
}

/// A fresh reading.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    pub received_at: DateTime<Utc>,
    pub metrics: &'a Metrics,
    /// The fullest file systems.
    pub disks: Option<&'a [Disk]>,
    pub services: Option<&'a Services>,
}

/// What a reading says of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It is there.
    High,
    /// It is neither there nor over.
    Middle,
    /// It is over.
    Low,
    /// Nothing.
    Unknown,
    /// There is no rule any more.
    Unwatched,
}

/// What is known about one problem, and the rule for it.
#[derive(Debug, Clone, Copy)]
pub struct Finding {
    pub level: Level,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// When the problem was last there, if it is.
    pub high_at: DateTime<Utc>,
    pub limit: Option<f64>,
    /// How long it has to last until it is announced.
    pub lasts: TimeDelta,
}

/// What a reading says of a problem, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Number(Number),
    Status(ServiceStatus),
}

/// Every problem that is there.
pub fn high(facts: &Facts<'_>) -> Vec<Key> {
    let of_kind = |kind: &Kind| match kind {
        Kind::Metric => limit::high(facts),
        Kind::Disk => disk::high(facts),
        Kind::Service => service::high(facts),
        Kind::Duplicate => duplicate::high(facts),
    };
    Kind::ALL.iter().flat_map(of_kind).collect()
}

/// What is known about a problem, given its entry; `None` without a fresh reading, if it needs one.
pub fn find(facts: &Facts<'_>, key: &Key, entry: Option<&Problem>) -> Option<Finding> {
    let reached = entry.and_then(|entry| entry.limit);
    match key {
        Key::Metric(metric, _) => limit::find(facts, key, metric, reached),
        Key::Disk(mount, _) => disk::find(facts, key, mount, reached),
        Key::Service(name) => service::find(facts, name),
        Key::Duplicate => Some(duplicate::find(facts)),
    }
}

/// What a reading says of a problem, for people.
pub fn value(reading: &Reading<'_>, key: &Key) -> Option<Value> {
    match key {
        Key::Metric(metric, _) => reading.metrics.value(metric).map(Value::Number),
        Key::Disk(mount, _) => disk::percent(reading, mount).map(Number::Float).map(Value::Number),
        Key::Service(name) => {
            service::find_in(reading, name).map(|service| Value::Status(service.status))
        }
        Key::Duplicate => None,
    }
}

/// The agent's reason for a problem.
pub fn reason<'a>(reading: &Reading<'a>, key: &Key) -> Option<&'a str> {
    match key {
        Key::Service(name) => service::find_in(reading, name)?.reason.as_deref(),
        Key::Metric(..) | Key::Disk(..) | Key::Duplicate => None,
    }
}

/// What a value says of a limit, given the limit that was reached. Below a limit that has changed, it is over at once.
fn level_of(value: f64, limit: f64, reached: Option<f64>) -> Level {
    let has_changed = reached.is_some_and(|reached| reached != limit);
    let end = if has_changed { limit } else { END * limit };
    match value {
        value if value >= limit => Level::High,
        value if value < end => Level::Low,
        _ => Level::Middle,
    }
}

impl<'a> Facts<'a> {
    /// What an item says; `None` if nobody knows when the server was last seen.
    #[must_use]
    pub fn of(server: &'a Server, limits: &'a Limits) -> Option<Self> {
        let seen = server.last_seen.as_ref()?.time;
        let reading = server.reading.as_ref().and_then(Reading::of);
        Some(Self {
            seen,
            duplicate_at: server.duplicate_at.as_ref().map(|at| at.time),
            reading: reading.filter(|reading| seen - reading.received_at <= FRESH),
            limits,
            own: server.limits.as_ref(),
        })
    }
}

impl<'a> Reading<'a> {
    /// The last reading of a server, if its time can be read.
    #[must_use]
    pub fn of(reading: &'a server::Reading) -> Option<Self> {
        Some(Self {
            received_at: reading.received_at?,
            metrics: &reading.metrics,
            disks: reading.disks.as_deref(),
            services: reading.services.as_ref(),
        })
    }

    /// A finding of this reading.
    fn finding(&self, level: Level, limit: Option<f64>, lasts: TimeDelta) -> Finding {
        Finding { level, at: self.received_at, high_at: self.received_at, limit, lasts }
    }

    /// What it says of a limit, if there is one.
    fn against(&self, limit: Option<tables::Limit>, level: impl FnOnce(f64) -> Level) -> Finding {
        let level = limit.map_or(Level::Unwatched, |limit| level(limit.value));
        let lasts = limit.map_or(TimeDelta::zero(), |limit| limit.lasts);
        self.finding(level, limit.map(|limit| limit.value), lasts)
    }
}
