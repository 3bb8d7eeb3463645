//! The three tables: every attribute, item, status, id and format, and the table of metrics.
//!
//! Every program reads and writes items through this crate, so an attribute's name stands in one file: [`server`],
//! [`row`], [`day`], [`event`] or [`key`]. It never calls AWS: it completes requests that a program sends, and reads what a program got.

#[cfg(feature = "items")]
pub mod day;
mod disk;
#[cfg(feature = "items")]
pub mod event;
#[cfg(feature = "items")]
mod fingerprint;
mod group;
mod id;
#[cfg(feature = "items")]
pub mod key;
pub mod limit;
pub mod metric;
mod number;
mod printable;
pub mod problem;
#[cfg(feature = "zone")]
mod quiet;
#[cfg(feature = "items")]
pub mod restore;
#[cfg(feature = "items")]
pub mod row;
#[cfg(feature = "items")]
pub mod server;
mod service;
pub mod time;
#[cfg(feature = "zone")]
mod zone;

pub use disk::Disk;
#[cfg(feature = "items")]
pub use fingerprint::fingerprint;
pub use group::Group;
pub use id::{HeartbeatId, InvalidId, ServerId};
pub use limit::{InvalidLimit, Limit, Limits};
pub use metric::{METRICS, Metric, Metrics};
pub use number::Number;
pub use printable::{is_printable, printable, printable_json};
#[cfg(feature = "zone")]
pub use quiet::{InvalidQuiet, Quiet};
pub use service::{Service, ServiceStatus, Services};
#[cfg(feature = "zone")]
pub use zone::{InvalidZone, Zone};

/// Whether a write was rejected because its condition does not hold.
#[cfg(feature = "items")]
#[must_use]
pub fn condition_failed(error: &impl aws_sdk_dynamodb::error::ProvideErrorMetadata) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}

/// An item of a table: its attributes by name.
#[cfg(feature = "items")]
pub type Item = std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>;

/// The partition key of the servers and the metrics table, and the servers that a key is bound to.
#[cfg(feature = "items")]
const SERVER_ID: &str = "server_id";

/// The group of a server, and that of the servers of a key.
#[cfg(feature = "items")]
const GROUP: &str = "group";

/// In a row and in a server's reading: when the agent took it, and when it was received.
#[cfg(feature = "items")]
const TIMESTAMP: &str = "timestamp";
#[cfg(feature = "items")]
const RECEIVED_AT: &str = "received_at";

/// An attribute that is a string.
#[cfg(feature = "items")]
fn text(item: &Item, name: &str) -> Option<String> {
    read(item, name).map(str::to_owned)
}

/// The same where it stands.
#[cfg(feature = "items")]
fn read<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}
