//! The heartbeat function: its cold start.

use heartbeat::config::{self, Config};
use heartbeat::{client, lambda, log};
use lambda_http::Error;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(%reason, "could not start");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    log::init(config::log_level(config::environment))?;
    let config = Config::read(config::environment)?;
    let (clients, warm_up) = client::connect(&config.client)?;
    warm_up.run().await;
    let function = lambda::function(config, clients);
    tracing::info!("started");
    lambda_runtime::run_concurrent(function).await
}
