//! How each function starts and ends.

use crate::settings::environment;
use crate::{VERSION, log};
use lambda_runtime::Error;
use std::process::ExitCode;

/// Runs a function: its log, then what it needs, then events until Lambda ends it. `start` returns what handles them, and nothing
/// of it runs before the log does.
#[tokio::main(flavor = "current_thread")]
pub async fn run<F: Future<Output = Result<(), Error>>>(
    start: impl Future<Output = Result<F, Error>>,
) -> ExitCode {
    let run = async {
        log::init(log::level(environment))?;
        let handle_events = start.await?;
        tracing::info!(version = VERSION, "started");
        handle_events.await
    };
    match run.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(%reason, "could not start");
            ExitCode::FAILURE
        }
    }
}
