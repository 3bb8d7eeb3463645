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
mod command;
mod key;
mod proxy;
mod remote;
mod server;
mod stop;
mod target;
mod terminal;
mod whom;

use clap::Parser;
use command::Command;
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

fn main() -> ExitCode {
    let Arguments { target, command } = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error.into()),
    };
    let done = runtime.block_on(command.run(&target));
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    const DOCUMENTS: [&str; 3] = [
        include_str!("../../../README.md"),
        include_str!("../../../docs/run.md"),
        include_str!("../../../docs/recover.md"),
    ];

    fn check(command: &mut clap::Command, names: &str) {
        let help = command.render_long_help().to_string();
        let example = format!("heartbeatctl --stack heartbeat {names}");
        assert!(help.contains(example.trim()), "no example: {help}");
        let about = command.get_about().is_some();
        assert!(about, "`{names}` does not say what it does");
        let subcommands: Vec<_> = command
            .get_subcommands_mut()
            .filter(|subcommand| subcommand.get_name() != "help")
            .collect();
        if subcommands.is_empty() {
            let line = format!("heartbeatctl {names}");
            let is_documented = DOCUMENTS.iter().any(|document| document.contains(&line));
            assert!(is_documented, "no document has `{line}`");
        }
        for subcommand in subcommands {
            let name = subcommand.get_name();
            let names = format!("{names} {name}");
            check(subcommand, names.trim());
        }
    }

    #[test]
    fn every_command_has_an_example_in_its_help_and_in_a_document() {
        check(&mut Arguments::command(), "");
    }
}
