//! The log: one JSON line per event, with the `timestamp` and `level` by which Lambda filters.

use crate::settings::{InvalidSetting, Settings};
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
pub fn init(level: Result<Level, InvalidSetting>) -> Result<(), InvalidSetting> {
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
        .with_target("heartbeat", level)
        // Who signed in, and who tried to, is written at any level (C13.4).
        .with_target("heartbeat::page::session", level.max(Level::INFO))
        .with_target("aws_smithy_http_client", LevelFilter::OFF)
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        // Otherwise, a line that cannot be written is reported on standard error, and a panic ends the function if that
        // cannot be written either.
        .log_internal_errors(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(lines).with(levels)
}

/// Reads `AWS_LAMBDA_LOG_LEVEL` (default INFO): the lowest level that is logged. Lambda sets it to one of
/// its six levels. `tracing` has no FATAL, which is read as ERROR.
///
/// # Errors
/// If it is not one of Lambda's levels.
pub fn level(variable: impl Fn(&str) -> Option<String>) -> Result<Level, InvalidSetting> {
    const NAME: &str = "AWS_LAMBDA_LOG_LEVEL";
    let Some(level) = Settings(variable).optional(NAME) else {
        return Ok(Level::INFO);
    };
    match level.to_ascii_uppercase().as_str() {
        "TRACE" => Ok(Level::TRACE),
        "DEBUG" => Ok(Level::DEBUG),
        "INFO" => Ok(Level::INFO),
        "WARN" => Ok(Level::WARN),
        "ERROR" | "FATAL" => Ok(Level::ERROR),
        _ => Err(InvalidSetting::new(NAME, "it is not TRACE, DEBUG, INFO, WARN, ERROR or FATAL")),
    }
}
