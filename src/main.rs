//! The heartbeat function: its cold start.

use heartbeat::config::{self, Config, ConfigError};
use heartbeat::{client, lambda, log};
use lambda_http::Error;
use std::process::ExitCode;
use tracing::Level;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let level = config::log_level(environment);
    log::subscriber(*level.as_ref().unwrap_or(&Level::INFO), std::io::stdout).init();
    match run(level).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(%reason, "could not start");
            ExitCode::FAILURE
        }
    }
}

/// Serves, unless a setting cannot be used. A level is one of them: until it is known, INFO is logged.
async fn run(level: Result<Level, ConfigError>) -> Result<(), Error> {
    level?;
    let config = Config::read(environment)?;
    let (clients, warm_up) = client::connect(&config.client)?;
    warm_up.run().await;
    let function = lambda::function(config, clients);
    tracing::info!("started");
    lambda_runtime::run_concurrent(function).await
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
