//! Passes the messages of the alert topic on to chats, phones and webhooks (C11).
//!
//! ```text
//! SNS event ─▶ notice ─▶ service ─▶ delivery
//!              (words)   (escaped,  (all webhooks at the same time,
//!                         cut)       retried)
//! ```

mod config;
mod delivery;
mod message;
mod service;
mod text;

pub use self::config::{Config, Webhook};
pub use self::delivery::Dispatcher;
pub use self::service::{SERVICES, Service};

use serde::Deserialize;
use std::time::Duration;

/// How long a delivery may take if the event has no usable deadline: less than its timeout in `template.yaml`.
pub const DEFAULT_TIME: Duration = Duration::from_secs(145);

/// The event with which SNS invokes a function.
#[derive(Debug, Deserialize)]
pub struct SnsEvent {
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

/// One message of an event.
#[derive(Debug, Deserialize)]
pub struct Record {
    #[serde(rename = "Sns")]
    pub message: SnsMessage,
}

/// A message as SNS delivers it.
#[derive(Debug, Deserialize)]
pub struct SnsMessage {
    #[serde(rename = "Subject")]
    pub subject: Option<String>,
    /// Of a message with `MessageStructure: json`, this is `default`.
    #[serde(rename = "Message")]
    pub text: String,
}
