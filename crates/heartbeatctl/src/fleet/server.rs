//! One server as the view shows it.

use crate::history::output::number;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use std::cmp::Reverse;
use tables::server::{HighEntry, Reading};
use tables::time::format;
use tables::{Limits, Metrics, Number};

/// Usage of CPU, memory or disk at which a server counts as a problem, percent.
pub const OVERLOADED: f64 = 90.0;

/// The metrics that the view shows, the one of the sparkline first.
pub const SHOWN: [&str; 5] = [
    "cpu_percent",
    "memory_percent",
    "disk_percent",
    "load_1m",
    "uptime_seconds",
];

/// How much an agent's clock may differ from the endpoint's, and a heartbeat take, before the clock counts as wrong.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// A server with its last reading.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Server {
    /// The stable name.
    pub server_id: String,
    /// The host name.
    pub hostname: Option<String>,
    /// Whether it is still sending heartbeats.
    pub status: Status,
    /// When its last heartbeat came in.
    pub last_seen: Option<DateTime<Utc>>,
    /// The start of the absence, if the watchdog has marked it as offline.
    pub offline_since: Option<DateTime<Utc>>,
    /// When it came back, if its return has not been announced yet.
    pub returned_at: Option<DateTime<Utc>>,
    /// The silence after which it is late, if it has a threshold of its own, seconds; 0 is never.
    pub offline_after: Option<i64>,
    /// The metrics that reached their limit, and since when.
    pub high: Vec<High>,
    /// The watchdog does not announce it until then.
    pub silenced_until: Option<DateTime<Utc>>,
    /// The distribution's name.
    pub os_distribution: Option<String>,
    /// The distribution's version.
    pub os_version: Option<String>,
    /// The kernel's release.
    pub kernel_version: Option<String>,
    /// The instruction set.
    pub architecture: Option<String>,
    /// CPU in use, percent.
    pub cpu_percent: Option<f64>,
    /// Memory in use, percent.
    pub memory_percent: Option<f64>,
    /// Disk space in use, percent.
    pub disk_percent: Option<f64>,
    /// Load average over one minute.
    pub load_1m: Option<f64>,
    /// Time since boot, seconds.
    pub uptime_seconds: Option<f64>,
    /// Everything that its last reading holds.
    pub reading: Option<Value>,
    /// The metrics of its last reading.
    #[serde(skip)]
    pub metrics: Metrics,
    /// The limits of its own.
    #[serde(skip)]
    pub limits: Option<Limits>,
    /// How far its clock is ahead of the endpoint's, if that is more than a minute; negative if it is behind.
    pub clock_error_seconds: Option<i64>,
    /// The highest CPU reading of each minute of the last hour, oldest first.
    #[serde(skip)]
    pub cpu_percent_by_minute: Vec<Option<f64>>,
}

/// A metric that reached its limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct High {
    pub metric: &'static str,
    pub limit: f64,
    pub since: String,
}

impl Server {
    /// A server as it is now.
    pub fn new(
        stored: tables::server::Server,
        now: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> Self {
        let is_marked = stored.status == Some(tables::server::Status::Offline);
        let last_seen = stored.last_seen.map(|seen| seen.time);
        let threshold = stored.offline_after.unwrap_or(offline_after);
        let reading = stored.reading.as_ref();
        let [
            cpu_percent,
            memory_percent,
            disk_percent,
            load_1m,
            uptime_seconds,
        ] = SHOWN.map(|name| reading?.metrics.get(name).map(Number::as_f64));
        Self {
            server_id: stored.server_id,
            hostname: stored.hostname,
            status: Status::of(is_marked, last_seen, now, threshold),
            last_seen,
            offline_since: stored
                .offline_since
                .map(|since| since.time)
                .filter(|_| is_marked),
            returned_at: stored
                .returned_at
                .map(|at| at.time)
                .filter(|_| !is_marked && stored.announced.is_some()),
            offline_after: stored.offline_after.map(|after| after.num_seconds()),
            high: stored.high.entries.into_iter().map(High::from).collect(),
            silenced_until: stored.silenced_until.filter(|until| *until > now),
            os_distribution: stored.os.distribution,
            os_version: stored.os.version,
            kernel_version: stored.os.kernel,
            architecture: stored.os.architecture,
            cpu_percent,
            memory_percent,
            disk_percent,
            load_1m,
            uptime_seconds,
            reading: reading.map(json),
            metrics: reading.map(|reading| reading.metrics).unwrap_or_default(),
            limits: stored.limits.clone(),
            clock_error_seconds: reading.and_then(clock_error),
            cpu_percent_by_minute: Vec::new(),
        }
    }
}

impl From<HighEntry> for High {
    fn from(entry: HighEntry) -> Self {
        Self {
            metric: entry.metric.name,
            limit: entry.limit,
            since: entry.since,
        }
    }
}

/// A reading as JSON: when it was taken and received, and its metrics.
fn json(reading: &Reading) -> Value {
    let times = [
        ("timestamp", reading.timestamp),
        ("received_at", reading.received_at),
    ];
    let times = times
        .into_iter()
        .filter_map(|(name, at)| Some((name.to_owned(), json!(format(at?)))));
    let metrics = reading
        .metrics
        .iter()
        .map(|(metric, value)| (metric.name.to_owned(), number(value)));
    Value::Object(times.chain(metrics).collect())
}

/// How far the clock of an agent is ahead, if it is wrong.
fn clock_error(reading: &Reading) -> Option<i64> {
    let error = reading.timestamp? - reading.received_at?;
    let seconds = (error.as_seconds_f64()).round() as i64;
    (error.abs() > CLOCK_TOLERANCE).then_some(seconds)
}

/// Whether a server still sends heartbeats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does not, or never did.
    #[default]
    Offline,
    /// It does.
    Online,
}

impl Status {
    /// A server is offline if the watchdog has marked it so, or if it was last seen longer ago than
    /// `offline_after`. Zero means never.
    pub fn of(
        is_marked: bool,
        last_seen: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> Self {
        match last_seen {
            Some(_) if !is_marked && offline_after.is_zero() => Self::Online,
            Some(time) if !is_marked && now - time <= offline_after => Self::Online,
            _ => Self::Offline,
        }
    }
}

impl Server {
    /// Sort key that puts the newest problems first: servers that went offline, the latest on top, then
    /// those with a metric that is high or above 90 %, then the others by name.
    pub fn rank(&self) -> impl Ord + use<> {
        let gone = (self.status == Status::Offline).then_some(self.last_seen);
        let usage = [self.cpu_percent, self.memory_percent, self.disk_percent];
        let is_overloaded = usage
            .into_iter()
            .flatten()
            .any(|percent| percent >= OVERLOADED);
        (
            self.status,
            Reverse(gone),
            !is_overloaded && self.high.is_empty(),
            self.server_id.clone(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(1_768_732_200 - seconds, 0)
    }

    #[test]
    fn a_server_is_offline_when_marked_or_silent_for_too_long_or_never_seen() {
        let now = ago(0).expect("a time");
        for (is_marked, last_seen, expected) in [
            (false, ago(-5), Status::Online),
            (false, ago(180), Status::Online),
            (false, ago(181), Status::Offline),
            (false, None, Status::Offline),
            (true, ago(1), Status::Offline),
        ] {
            let status = Status::of(is_marked, last_seen, now, TimeDelta::seconds(180));
            assert_eq!(status, expected, "{is_marked}, {last_seen:?}");
        }
    }

    #[test]
    fn newest_problems_come_first() {
        let server = |name: &str, status, seconds: Option<i64>, disk| Server {
            server_id: name.into(),
            status,
            last_seen: seconds.and_then(ago),
            disk_percent: Some(disk),
            ..Server::default()
        };
        let mut servers = [
            server("healthy-b", Status::Online, Some(1), 89.9),
            server("never-seen", Status::Offline, None, 1.0),
            server("healthy-a", Status::Online, Some(2), 1.0),
            server("lost-long-ago", Status::Offline, Some(9000), 99.0),
            server("overloaded", Status::Online, Some(3), 90.0),
            server("lost-just-now", Status::Offline, Some(200), 1.0),
        ];
        servers.sort_by_cached_key(Server::rank);
        let names = servers.map(|server| server.server_id);
        assert_eq!(
            names,
            [
                "lost-just-now",
                "lost-long-ago",
                "never-seen",
                "overloaded",
                "healthy-a",
                "healthy-b"
            ]
        );
    }
}
