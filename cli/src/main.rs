//! `heartbeatctl`: the agent, the fleet at a glance, and what its operators do to servers and keys.

mod agent;
mod aws;
mod fleet;
mod keys;
mod server_id;
mod servers;
mod time;

use clap::{Args, Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// The agent, the fleet at a glance, and the keys of a heartbeat endpoint.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Exit codes: 0 if all went well, 1 for what went wrong, 2 for wrong usage.

Tables and URL are named by flags, by the environment, or by a stack's outputs:
  heartbeatctl --stack heartbeat fleet
Credentials, profiles, regions and single sign-on are those of the AWS CLI."
)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where the endpoint and its tables are.
#[derive(Args)]
struct Place {
    /// The CloudFormation stack whose outputs name what is not named otherwise.
    #[arg(long, env = "HEARTBEAT_STACK", global = true)]
    stack: Option<String>,
    /// The table of servers.
    #[arg(long, env = "SERVERS_TABLE", global = true)]
    servers_table: Option<String>,
    /// The table of metrics.
    #[arg(long, env = "METRICS_TABLE", global = true)]
    metrics_table: Option<String>,
    /// The table of keys.
    #[arg(long, env = "KEYS_TABLE", global = true)]
    keys_table: Option<String>,
    /// The endpoint, up to and including /api/v1/agents/heartbeat.
    #[arg(long, env = "HEARTBEAT_URL", global = true)]
    url: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Agent(agent::Agent),
    Fleet(fleet::Fleet),
    #[command(subcommand)]
    Keys(keys::Keys),
    Silence(servers::Silence),
    Forget(servers::Forget),
}

fn main() -> ExitCode {
    let Arguments { place, command } = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Agent(agent) => agent.run(&place).await,
            Command::Fleet(fleet) => fleet.run(&place).await,
            Command::Keys(keys) => keys.run(&place).await,
            Command::Silence(silence) => silence.run(&place).await,
            Command::Forget(forget) => forget.run(&place).await,
        }
    });
    // A request that is still under way must not hold up an agent that was told to stop.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// Prints data. A reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Asks whether to go on, unless that was answered on the command line.
fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let is_answered = io::stdin().read_line(&mut answer)? > 0;
    anyhow::ensure!(is_answered, "there is no answer: pass --yes");
    let is_yes = ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    anyhow::ensure!(is_yes, "nothing was changed");
    Ok(())
}
