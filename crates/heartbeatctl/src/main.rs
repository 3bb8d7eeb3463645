//! `heartbeatctl`: the fleet view, and the operators' commands for servers and keys.

/// Prints a message. One that cannot be printed is lost; with the macro of the standard library, it would be the end.
macro_rules! eprint {
    ($($message:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!($($message)*));
    }};
}

/// Prints a message, and a line break.
macro_rules! eprintln {
    ($($message:tt)*) => {
        eprint!("{}\n", format_args!($($message)*))
    };
}

mod aws;
mod fleet;
mod history;
mod keys;
mod notify;
mod servers;
mod stop;
mod target;
mod terminal;
mod time;
mod web;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The fleet view, and the management of servers and keys for a heartbeat endpoint.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Exit codes: 0 success, 1 failure, 2 wrong usage.

Tables are named by flags, by the environment, or by a stack's outputs:
  heartbeatctl --stack heartbeat fleet
Flags precede the environment, and a name precedes the stack.
Credentials, profiles, regions and single sign-on are those of the AWS CLI."
)]
struct Arguments {
    #[command(flatten)]
    target: target::Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Fleet(fleet::Command),
    History(history::History),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Notify(notify::Notify),
    Silence(servers::Silence),
    Expect(servers::Expect),
    Limit(servers::Limit),
    Forget(servers::Forget),
    Web(web::Web),
}

fn main() -> ExitCode {
    let Arguments { target, command } = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error.into()),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Fleet(fleet) => fleet.run(&target).await,
            Command::History(history) => history.run(&target).await,
            Command::Keys(keys) => keys.run(&target).await,
            Command::Notify(notify) => notify.run(&target).await,
            Command::Silence(silence) => silence.run(&target).await,
            Command::Expect(expect) => expect.run(&target).await,
            Command::Limit(limit) => limit.run(&target).await,
            Command::Forget(forget) => forget.run(&target).await,
            Command::Web(web) => web.run(&target).await,
        }
    });
    // A name that is being resolved does not hold up the end.
    runtime.shutdown_background();
    done.map_or_else(fail, |()| ExitCode::SUCCESS)
}

fn fail(error: anyhow::Error) -> ExitCode {
    match error.downcast::<clap::Error>() {
        Ok(wrong_usage) => wrong_usage.exit(),
        Err(error) => {
            eprintln!("error: {}", terminal::printable(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
