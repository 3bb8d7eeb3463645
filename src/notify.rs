//! Passes the messages of the alert topic on to chats, phones and webhooks (C11).
//!
//! ```text
//! SNS event ─▶ message ─▶ service ─▶ delivery ─▶ ledger
//!              (words)    (escaped,  (all webhooks at the same time,
//!                          cut)       retried)
//! ```

mod config;
mod delivery;
mod ledger;
mod message;
mod service;
mod text;

pub use self::config::{Config, LedgerConfig, Webhook};
pub use self::delivery::Dispatcher;
pub use self::ledger::Ledger;
pub use self::service::{SERVICES, Service};

use crate::deadline::time_budget;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How long a delivery may take if the event has no usable deadline: less than its timeout in `template.yaml`.
pub const DEFAULT_TIME: Duration = Duration::from_secs(145);

/// Builds the function from its settings.
///
/// # Errors
/// If TLS cannot be set up, or `AWS_CA_BUNDLE` does not name a file that contains certificates.
pub fn function(
    config: Config,
) -> Result<
    impl lambda_runtime::Service<LambdaEvent<SnsEvent>, Response = (), Error = Error, Future: Send>
    + Clone
    + Send,
    Error,
> {
    let dispatcher = Arc::new(Dispatcher::new(config)?);
    Ok(service_fn(move |event: LambdaEvent<SnsEvent>| {
        let dispatcher = dispatcher.clone();
        async move {
            let time_left = time_budget(event.context.deadline(), SystemTime::now(), DEFAULT_TIME);
            let deadline = Instant::now() + time_left;
            Ok(dispatcher.deliver(&event.payload, deadline, &event.context.request_id).await?)
        }
    }))
}

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
