//! This machine's readings. A value that was not read is not sent.

#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

use chrono::Utc;
use serde_json::{Map, Value, json};
use std::fmt;
use tables::ServerId;

/// One heartbeat, and what it lacks.
pub struct Reading {
    pub heartbeat: Value,
    pub problems: Vec<Problem>,
}

/// Something that could not be read.
#[derive(Debug)]
pub struct Problem {
    pub what: String,
    reason: String,
}

impl Problem {
    pub fn new(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self {
            what: what.into(),
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not read: {}: {}", self.what, self.reason)
    }
}

/// The machine, and what its readings are compared with.
pub struct Machine {
    server_id: Option<ServerId>,
    system: system::System,
}

/// Bytes in a MB and in a GB of the readings.
const MIB: u64 = 1 << 20;
const GIB: f64 = (1_u64 << 30) as f64;

/// The usage of a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub total: u64,
    pub used: u64,
    /// What a user without privileges may still use.
    pub available: u64,
}

impl Usage {
    /// As `df` computes it: what only the superuser may use is neither used nor available.
    pub fn percent(self) -> Option<f64> {
        let usable = self.used + self.available;
        (usable > 0).then(|| self.used as f64 / usable as f64 * 100.0)
    }
}

/// What the metrics are collected in.
#[derive(Default)]
pub struct Readings {
    metrics: Map<String, Value>,
    pub problems: Vec<Problem>,
}

impl Readings {
    /// Adds a reading, or what prevented it.
    fn add<T, E: fmt::Display>(
        &mut self,
        what: &str,
        read: Result<T, E>,
        metrics: impl FnOnce(T) -> Vec<(&'static str, Value)>,
    ) {
        match read {
            Ok(read) => {
                for (name, value) in metrics(read) {
                    self.metrics.insert(name.to_owned(), value);
                }
            }
            Err(reason) => self.problems.push(Problem::new(what, reason)),
        }
    }

    pub fn cpu<E: fmt::Display>(&mut self, percent: Result<f64, E>) {
        self.add("CPU", percent, |percent| {
            vec![("cpu_percent", tenths(percent))]
        });
    }

    /// Total and used memory, bytes.
    pub fn memory<E: fmt::Display>(&mut self, memory: Result<(u64, u64), E>) {
        self.add("memory", memory, |(total, used)| {
            vec![
                ("memory_percent", tenths(used as f64 / total as f64 * 100.0)),
                ("memory_total_mb", json!(total / MIB)),
                ("memory_used_mb", json!(used / MIB)),
            ]
        });
    }

    pub fn disk(&mut self, usage: Usage) {
        let gigabytes = |bytes: u64| json!((bytes as f64 / GIB * 100.0).round() / 100.0);
        let percent = usage
            .percent()
            .map(|percent| ("disk_percent", tenths(percent)));
        let sizes = [
            ("disk_total_gb", gigabytes(usage.total)),
            ("disk_used_gb", gigabytes(usage.used)),
        ];
        let metrics = percent.into_iter().chain(sizes);
        self.metrics
            .extend(metrics.map(|(name, value)| (name.to_owned(), value)));
    }

    /// Received and sent bytes.
    pub fn network<E: fmt::Display>(&mut self, bytes: Result<(u64, u64), E>) {
        self.add("network", bytes, |(received, sent)| {
            vec![
                ("network_rx_bytes", json!(received)),
                ("network_tx_bytes", json!(sent)),
            ]
        });
    }

    pub fn load<E: fmt::Display>(&mut self, load: Result<[f64; 3], E>) {
        self.add("load average", load, |[one, five, fifteen]| {
            vec![
                ("load_1m", json!(one)),
                ("load_5m", json!(five)),
                ("load_15m", json!(fifteen)),
            ]
        });
    }

    pub fn uptime<E: fmt::Display>(&mut self, seconds: Result<u64, E>) {
        self.add("uptime", seconds, |seconds| {
            vec![("uptime_seconds", json!(seconds))]
        });
    }
}

/// A percentage with one decimal, at most 100.
fn tenths(percent: f64) -> Value {
    json!((percent.clamp(0.0, 100.0) * 10.0).round() / 10.0)
}

impl Machine {
    /// `disks` are the mount points to choose from, or none for every local one.
    pub fn new(server_id: Option<ServerId>, disks: Vec<String>) -> Self {
        Self {
            server_id,
            system: system::System::new(disks),
        }
    }

    /// Reads everything. The first time, that takes as long as a sample of the processors.
    pub fn read(&mut self) -> Reading {
        let mut readings = Readings::default();
        self.system.read(&mut readings);
        let (hostname, os_info) = system::identity();
        let hostname = hostname.unwrap_or_else(|| "unnamed".to_owned());
        let server_id = self.server_id.clone();
        let server_id = server_id.unwrap_or_else(|| ServerId::from_hostname(&hostname));
        Reading {
            heartbeat: json!({
                "server_id": server_id.as_str(),
                "hostname": hostname,
                "timestamp": tables::time::format(Utc::now()),
                "os_info": os_info,
                "metrics": readings.metrics,
            }),
            problems: readings.problems,
        }
    }
}
