//! The log: one JSON line per event, with the `timestamp` and `level` by which Lambda filters.

use crate::config::ConfigError;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log on standard output, at INFO if the level cannot be used, so that the reason is logged too.
///
/// # Errors
/// The level cannot be used.
pub fn init(level: Result<Level, ConfigError>) -> Result<(), ConfigError> {
    subscriber(*level.as_ref().unwrap_or(&Level::INFO), std::io::stdout).init();
    level.map(|_| ())
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
