//! What an agent sends: the fields of a heartbeat, and the rules for each.
//!
//! A field is declared once, in one of the [`object!`] blocks below, whose types carry the limits, or in the table of
//! [`METRICS`](tables::METRICS). Reading, validation and the `OpenAPI` schema are derived from that declaration.
//!
//! [`parse`] turns a body into valid values, or into a list of everything that is wrong with it.

mod encoding;
mod field;
pub mod metrics;
mod number;
mod text;
mod timestamp;

pub use field::{Field, FieldError, Violation};
pub use text::Text;

use chrono::{DateTime, Utc};
use field::{Report, object};
use serde_json::{Value, json};
use tables::server::Os;
use tables::{Metrics, ServerId};

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
        timestamp: DateTime<Utc>,
        /// The operating system. If absent or null, the stored values stay.
        #[example(OsInfo::example())]
        os_info: Option<OsInfo>,
        /// The readings. If absent or null, no row is appended.
        #[example(metrics::example())]
        metrics: Option<Metrics>,
        /// Whether the readings were taken earlier and could not be sent then. If true, they are appended, and nothing
        /// else is written.
        #[example(false)]
        backlog: Option<bool>,
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

impl OsInfo {
    /// As the servers table holds it.
    pub fn as_os(&self) -> Os<&str> {
        Os {
            distribution: self.distribution.as_ref().map(Text::as_str),
            version: self.version.as_ref().map(Text::as_str),
            kernel: self.kernel.as_ref().map(Text::as_str),
            architecture: self.architecture.as_ref().map(Text::as_str),
        }
    }
}

/// Reads a request body.
///
/// # Errors
/// Returns everything that is wrong with the body, in the schema's order, or only [`Violation::JsonInvalid`] if it is
/// not JSON.
pub fn parse(body: &[u8]) -> Result<Heartbeat, Vec<FieldError>> {
    let mut report = Report::new("body");
    let heartbeat = match json(body) {
        Ok(value) => Heartbeat::read(&value, &mut report),
        Err(reason) => report.reject(Violation::JsonInvalid(reason)),
    };
    heartbeat.ok_or(report.errors)
}

fn json(body: &[u8]) -> Result<Value, String> {
    let text = encoding::decode(body)?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

impl Field for bool {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        report.check(value.as_bool().ok_or(Violation::BoolType))
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}
