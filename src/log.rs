//! The log: one JSON line per event, with the `timestamp` and `level` by which Lambda filters.

use crate::config::ConfigError;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log on standard output. If the level is invalid, the log starts at INFO, so that the error is logged.
///
/// Only the location of a panic is logged, because its message may contain what was sent.
///
/// # Errors
/// If the level is invalid.
pub fn init(level: Result<Level, ConfigError>) -> Result<(), ConfigError> {
    subscriber(*level.as_ref().unwrap_or(&Level::INFO), std::io::stdout).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
    level.map(|_| ())
}

/// Logs this crate's events at `level` and above, but only warnings and errors of the SDK and the runtime, whose lower
/// levels would log requests. Two of their modules are switched off: they report failed attempts and failed
/// invocations without a request id, and our own lines report both with one.
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
