//! The heartbeat function: its cold start.

use heartbeat::endpoint::{self, Config};
use heartbeat::settings::environment;
use heartbeat::{VERSION, aws, log};
use lambda_http::Error;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    log::init(log::level(environment))?;
    let config = Config::from_variables(environment)?;
    let (clients, warm_up) = aws::clients(&config.aws)?;
    warm_up.run().await;
    let function = endpoint::function(config, clients);
    tracing::info!(version = VERSION, "started");
    lambda_runtime::run_concurrent(function).await
}
