//! The log: one JSON line per event, with the `timestamp` and `level` by which Lambda filters.

use crate::config::ConfigError;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log on standard output, at INFO if the level cannot be used, so that the reason is logged too.
///
/// A panic is logged by its place alone, because its message may contain what was sent.
///
/// # Errors
/// The level cannot be used.
pub fn init(level: Result<Level, ConfigError>) -> Result<(), ConfigError> {
    subscriber(*level.as_ref().unwrap_or(&Level::INFO), std::io::stdout).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    level.map(|_| ())
}

/// Writes this crate's events from a level up, and warnings of the SDK and the runtime: below, they would print
/// requests. Two of their modules are silent, because they say without a request id what is in a line of ours:
/// how an invocation failed, and how an attempt did.
pub fn subscriber(
    level: Level,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> impl Subscriber {
    let levels = Targets::new()
        .with_default(Level::WARN)
        .with_targets([("heartbeat", level), ("watchdog", level)])
        .with_target("aws_smithy_http_client", LevelFilter::OFF)
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(lines).with(levels)
}
