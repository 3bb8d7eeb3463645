//! The function that passes announcements on to chats and phones: its cold start.

use heartbeat::notify::{self, Config};
use heartbeat::program;
use heartbeat::settings::environment;
use lambda_runtime::run_concurrent;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(async {
        Ok(run_concurrent(notify::function(Config::from_variables(environment)?)?))
    })
}
