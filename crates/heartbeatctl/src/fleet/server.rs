//! One server as the view shows it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::cmp::Reverse;

/// Usage of CPU, memory or disk at which a server counts as a problem, percent.
pub const OVERLOADED: f64 = 90.0;

/// A server with its newest metrics.
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
    /// The highest CPU reading of each minute of the last hour, oldest first.
    pub cpu_percent_by_minute: Vec<Option<f64>>,
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
    /// `offline_after`.
    pub fn of(
        is_marked: bool,
        last_seen: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> Self {
        match last_seen {
            Some(time) if !is_marked && now - time <= offline_after => Self::Online,
            _ => Self::Offline,
        }
    }
}

impl Server {
    /// Sort key that puts the newest problems first: servers that went offline, the latest on top, then
    /// overloaded ones, then the others by name.
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
            !is_overloaded,
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
