//! The heartbeat function: its cold start.

use heartbeat::endpoint::{self, Config};
use heartbeat::settings::environment;
use heartbeat::{aws, program};
use lambda_runtime::run_concurrent;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(async {
        let config = Config::from_variables(environment)?;
        let (clients, warm_up) = aws::clients(&config.aws)?;
        warm_up.run().await;
        Ok(run_concurrent(endpoint::function(config, clients)))
    })
}
