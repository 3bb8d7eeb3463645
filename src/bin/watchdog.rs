//! The watchdog function: its cold start.

use heartbeat::program;
use heartbeat::settings::environment;
use heartbeat::watchdog::{self, Config};
use lambda_runtime::run_concurrent;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(async {
        Ok(run_concurrent(watchdog::function(Config::from_variables(environment)?)?))
    })
}
