//! What a message to the alert topic says to programs (C8.6, C9.5, C10): the JSON that the watchdog writes and `notify`
//! reads.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message. What is absent is empty, so that both sides may be of different versions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    /// It is only a test, with this text: `heartbeatctl notify test`.
    pub test: Option<String>,
    /// It says what is still wrong.
    pub digest: bool,
    /// Servers that went offline.
    pub offline: Vec<Offline>,
    /// Servers whose return has lasted.
    pub back: Vec<Back>,
    /// Metrics that reached their limit.
    pub high: Vec<Limit>,
    /// Metrics that no longer do.
    pub normal: Vec<Limit>,
    /// How many entries did not fit.
    pub omitted: usize,
}

/// A server that went offline. Times are in `last_seen`'s format.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Offline {
    pub server_id: String,
    pub hostname: Option<String>,
    pub last_seen: Option<String>,
}

/// A server that came back.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Back {
    pub server_id: String,
    pub hostname: Option<String>,
    pub offline_since: Option<String>,
    pub returned_at: Option<String>,
    pub last_seen: Option<String>,
}

/// A metric that reached its limit, or no longer does.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limit {
    pub server_id: String,
    pub hostname: Option<String>,
    /// Its name in a heartbeat.
    pub metric: String,
    /// A number; null if it was not read.
    pub value: Option<Value>,
    /// A number.
    pub limit: Value,
    pub since: Option<String>,
}
