//! A service as a heartbeat names it.

use serde_json::{Value, json};

/// Something that runs, or should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub status: Status,
    /// Why it has this status, if there is more to say.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Running,
    Stopped,
    Failed,
    Unknown,
}

impl Service {
    pub fn as_json(&self) -> Value {
        let status = match self.status {
            Status::Running => "running",
            Status::Stopped => "stopped",
            Status::Failed => "failed",
            Status::Unknown => "unknown",
        };
        let mut service = json!({ "name": self.name, "status": status });
        if let Some(reason) = &self.reason {
            service["status_reason"] = reason.as_str().into();
        }
        service
    }
}
