//! What an agent sends: the fields of a heartbeat, and the rules for each.
//!
//! A field is declared once, in one of the [`object!`] blocks below, whose types carry the limits, or in the table of
//! [`METRICS`](tables::METRICS). Reading, validation and the `OpenAPI` schema are derived from that declaration.
//!
//! The seed's fields are strict, and those beyond it are [`Lenient`]: they never reject a heartbeat.
//!
//! [`parse`] turns a body into valid values, or into a list of everything that is wrong with it.

mod disks;
mod encoding;
mod field;
mod fingerprint;
mod json;
mod lenient;
mod metrics;
mod number;
mod services;
mod text;
mod timestamp;

pub use field::{Field, FieldError, Member, Object, Schema, Violation};
pub use lenient::Lenient;
pub use text::Text;

use chrono::{DateTime, Utc};
use field::{Report, object};
use json::{Json, Members, Value};
use std::borrow::Cow;
use tables::server::Os;
use tables::{Disk, Metrics, ServerId, Services};

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
        os_info: Option<OsInfo>,
        /// The readings. If absent or null, no row is appended.
        metrics: Option<Metrics>,
        /// Whether the readings were taken earlier and could not be sent then. If true, they are appended, and nothing
        /// else is written.
        #[example(false)]
        backlog: Option<bool>,
        /// The file systems. The three fullest ones belong to the reading.
        filesystems: Lenient<Vec<Disk>>,
        /// The services that somebody wants to know about. Up to six that do not run belong to the reading.
        services: Lenient<Services>,
        /// Whether the machine is switched off, so that no further heartbeat follows.
        #[example(false)]
        leaving: Lenient<bool>,
        /// The version of the agent. If absent, the stored one is removed.
        #[example("2.0.0")]
        agent_version: Lenient<Text<1, 20>>,
        /// The machine's permanent id, to tell two senders of one name apart.
        #[example("a1b2c3d4-e5f6-4890-abcd-ef1234567890")]
        server_guid: Lenient<Text<0, 64>>,
        /// The id of the machine's boot, for the same reason.
        #[example("4ab9c2f0-6f0b-4a2e-9d4e-0c9b8a7d6e5f")]
        boot_id: Lenient<Text<0, 64>>,
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
    pub fn stored(&self) -> Os<Cow<'_, str>> {
        Os {
            distribution: self.distribution.as_ref().map(Text::stored),
            version: self.version.as_ref().map(Text::stored),
            kernel: self.kernel.as_ref().map(Text::stored),
            architecture: self.architecture.as_ref().map(Text::stored),
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
    parse_body(body, &mut report).ok_or_else(|| report.errors())
}

fn parse_body(body: &[u8], report: &mut Report) -> Option<Heartbeat> {
    let text = report.valid(encoding::decode(body))?;
    let names = Heartbeat::MEMBERS.iter().map(|member| member.name);
    let members = report.members(Json::new(&text), names.chain(metrics::in_body()))?;
    let mut heartbeat = Heartbeat::from_members(&members, report)?;
    if let Some(metrics) = &mut heartbeat.metrics {
        *metrics = metrics.or(metrics::read_body(&members));
    }
    Some(heartbeat)
}

impl Field for bool {
    const SCHEMA: Schema = Schema::Bool;

    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        report.value(json, |value| match value {
            Value::Bool(bit) => Ok(*bit),
            _ => Err(Violation::BoolType),
        })
    }
}
