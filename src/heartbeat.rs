//! What an agent sends: the fields of a heartbeat, and the rules for each.
//!
//! A field is declared once, in one of the [`object!`] blocks below. Its type carries its limits.
//! Reading, validation, the DynamoDB attribute and the `OpenAPI` schema are all derived from that declaration.
//!
//! [`parse`] turns a body into valid values, or into a list of everything that is wrong with it.

mod field;
mod number;
mod text;
mod timestamp;

pub use field::{Field, FieldError, Violation};
pub use number::{Amount, Count, Percent};
pub use text::{HeartbeatId, ServerId, Text};
pub use timestamp::Timestamp;

use field::{Report, object};
use serde_json::Value;

object! {
    /// What an agent sends every 60 seconds.
    pub struct Heartbeat {
        /// The server's stable name.
        #[example("omv-mediaserver")]
        server_id: ServerId,
        /// The host name as the server knows it.
        #[example("omv-mediaserver.home.lan")]
        hostname: Text<1, 255>,
        /// When the agent took the readings, by its own clock.
        #[example("2026-01-18T10:30:00Z")]
        timestamp: Timestamp,
        /// The operating system. If absent or null, the stored values stay.
        #[example(OsInfo::example())]
        os_info: Option<OsInfo>,
        /// The readings. If absent or null, no row is appended.
        #[example(Metrics::example())]
        metrics: Option<Metrics>,
    }
}

object! {
    /// The operating system of a server. If sent, it replaces all four stored values.
    pub struct OsInfo {
        /// The distribution's name.
        #[example("Debian GNU/Linux")]
        distribution: Option<Text<0, 100>>,
        /// The distribution's version.
        #[example("12 (bookworm)")]
        version: Option<Text<0, 100>>,
        /// The kernel's release.
        #[example("6.1.0-18-amd64")]
        kernel: Option<Text<0, 100>>,
        /// The machine's instruction set.
        #[example("x86_64")]
        architecture: Option<Text<0, 20>>,
    }
}

object! {
    /// One set of readings; every one is optional.
    pub struct Metrics {
        /// CPU in use, percent.
        #[example(23.5)]
        cpu_percent: Option<Percent>,
        /// Memory in use, percent.
        #[example(67.2)]
        memory_percent: Option<Percent>,
        /// Memory installed, MB.
        #[example(16384)]
        memory_total_mb: Option<Count>,
        /// Memory in use, MB.
        #[example(11010)]
        memory_used_mb: Option<Count>,
        /// Disk space in use, percent.
        #[example(82.1)]
        disk_percent: Option<Percent>,
        /// Disk space, GB.
        #[example(500.0)]
        disk_total_gb: Option<Amount>,
        /// Disk space in use, GB.
        #[example(410.5)]
        disk_used_gb: Option<Amount>,
        /// Bytes received since boot.
        #[example(1_234_567_890_u64)]
        network_rx_bytes: Option<Count>,
        /// Bytes sent since boot.
        #[example(987_654_321)]
        network_tx_bytes: Option<Count>,
        /// Load average over one minute.
        #[example(0.5)]
        load_1m: Option<Amount>,
        /// Load average over five minutes.
        #[example(0.75)]
        load_5m: Option<Amount>,
        /// Load average over fifteen minutes.
        #[example(0.6)]
        load_15m: Option<Amount>,
        /// Time since boot, seconds.
        #[example(86400)]
        uptime_seconds: Option<Count>,
    }
}

/// Reads a request body.
///
/// # Errors
/// Returns everything that is wrong with the body, in the schema's order, or only [`Violation::JsonInvalid`] if it is
/// not JSON.
pub fn parse(body: &[u8]) -> Result<Heartbeat, Vec<FieldError>> {
    let mut report = Report::new("body");
    let heartbeat = match serde_json::from_slice::<Value>(body) {
        Ok(value) => Heartbeat::read(&value, &mut report),
        Err(error) => report.reject(Violation::JsonInvalid(error.to_string())),
    };
    heartbeat.ok_or(report.errors)
}
