//! Announces when a server is offline and when it is back (C8), its problems (C9), and at set times what is still wrong, or
//! that all is well (C10).
//!
//! A sweep compares the servers table with what has been announced, and announces the difference. All of its state
//! is in the items, so the next sweep finishes the work of one that crashed:
//!
//! ```text
//! scan ─▶ review ─▶ plan ─▶ mark, write ahead ─▶ publish ─▶ record
//!       (the verdict's crate) (conditional)      (once)     (conditional)
//! ```
//!
//! An end is announced if and only if its beginning may have been announced. What is written ahead tells the next sweep
//! whether it may have been.

mod announcement;
mod config;
mod days;
mod sweep;

pub use self::announcement::SnsMessage;
pub use self::config::{Config, DaysConfig, EventsConfig};
pub use self::sweep::{SweepError, Watchdog};

use crate::aws;
use crate::deadline::time_budget;
use chrono::{DateTime, Utc};
use lambda_runtime::{Error, LambdaEvent, Service, service_fn};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tables::time;
use tokio::time::Instant;

/// How long a sweep may take if the event has no usable deadline: less than its timeout in `template.yaml`.
pub const DEFAULT_TIME: Duration = Duration::from_secs(45);

/// Builds the function from its settings. Each event is a sweep.
///
/// # Errors
/// If `AWS_CA_BUNDLE` does not name a file that contains certificates, or TLS cannot be set up.
pub fn function(
    config: Config,
) -> Result<
    impl Service<LambdaEvent<Value>, Response = (), Error = Error, Future: Send> + Clone + Send,
    Error,
> {
    let dynamodb = aws::dynamodb(&config.aws)?;
    let sns = aws::sns(&config.aws, config.sns_endpoint_url.as_deref())?;
    let watchdog = Arc::new(Watchdog::new(config, dynamodb, sns)?);
    Ok(service_fn(move |event: LambdaEvent<Value>| {
        let watchdog = watchdog.clone();
        async move {
            let time = as_of(&event.payload, Utc::now());
            let time_left = time_budget(event.context.deadline(), SystemTime::now(), DEFAULT_TIME);
            let deadline = Instant::now() + time_left;
            let request_id = &event.context.request_id;
            let swept = watchdog.sweep(time, deadline, request_id).await;
            if let Err(reason) = &swept {
                tracing::error!(request_id, %reason, "sweep failed");
            }
            Ok(swept?)
        }
    }))
}

/// The time of a sweep: the event's `time`, which the scheduler fills with its scheduled time, or else the
/// function's clock.
#[must_use]
pub fn as_of(event: &Value, now: DateTime<Utc>) -> DateTime<Utc> {
    event["time"].as_str().and_then(time::parse).unwrap_or(now)
}
