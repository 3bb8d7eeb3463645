//! The function that serves the page: its cold start.

use heartbeat::page::{self, Config};
use heartbeat::settings::environment;
use heartbeat::{VERSION, log};
use lambda_http::Error;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    log::init(log::level(environment))?;
    let function = page::function(Config::from_variables(environment)?)?;
    tracing::info!(version = VERSION, "started");
    lambda_runtime::run_concurrent(function).await
}
