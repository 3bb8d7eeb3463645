//! The function that serves the page: its cold start.

use heartbeat::page::{self, Config};
use heartbeat::program;
use heartbeat::settings::environment;
use lambda_runtime::run_concurrent;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(async {
        Ok(run_concurrent(page::function(Config::from_variables(environment)?)?))
    })
}
