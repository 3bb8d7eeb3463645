//! The log: one JSON line an event, with the `timestamp` and `level` by which Lambda filters.

use crate::config::{self, ConfigError};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// Starts the log of a function on standard output, at the level that `AWS_LAMBDA_LOG_LEVEL` sets.
///
/// # Errors
/// The level cannot be used. The log is then open at INFO, so that the error can be logged.
pub fn start(variable: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
    let level = config::log_level(variable);
    subscriber(*level.as_ref().unwrap_or(&Level::INFO), std::io::stdout).init();
    level.map(drop)
}

/// Writes this crate's events from a level up. What the SDK and the runtime have to say is kept to
/// warnings: below, they would print requests.
pub fn subscriber(
    level: Level,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> impl Subscriber {
    let levels = Targets::new()
        .with_default(Level::WARN)
        .with_target("heartbeat", level);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(lines).with(levels)
}
