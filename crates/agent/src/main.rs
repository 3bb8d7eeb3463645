//! `heartbeat-agent`: reads this machine, sends a heartbeat every minute, and keeps what could not be sent.
//!
//! ```text
//! machine ─▶ agent ─▶ sender ─▶ endpoint
//! readings    │  ▲      one heartbeat, with retries
//!             ▼  │
//!            backlog ─▶ state: a file, from a stop to the next start
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("heartbeat-agent is for Linux: it reads /proc and /sys");

mod agent;
mod backlog;
mod clock;
mod connection;
mod job;
mod key;
mod machine;
mod pace;
mod print;
mod sender;
mod shutdown;
mod state;

use anyhow::Context;
use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tables::ServerId;

/// Send this machine's heartbeat to the endpoint, every minute.
///
/// The key comes from a file, /etc/heartbeat/api-key unless --api-key-file names another, or from HEARTBEAT_API_KEY; never
/// from the command line, where every user of the machine could read it. The file is read again for each heartbeat, so a
/// new key in it needs no restart.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Example:
  heartbeat-agent --url https://…/api/v1/agents/heartbeat --api-key-file /etc/heartbeat/api-key

HTTPS_PROXY, HTTP_PROXY and NO_PROXY name a proxy; SSL_CERT_FILE replaces the system's certificates."
)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// The URL of the endpoint, up to and including /api/v1/agents/heartbeat.
    #[arg(long, env = "HEARTBEAT_URL")]
    url: Option<String>,
    /// The file that holds the API key.
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// The server's id. Default: the host name, with invalid characters replaced by dashes.
    #[arg(long, env = "HEARTBEAT_SERVER_ID")]
    server_id: Option<ServerId>,
    /// Seconds between two heartbeats.
    #[arg(
        long,
        env = "HEARTBEAT_INTERVAL",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    interval: u64,
    /// The mount point of a disk to report, instead of the fullest local one. If given more than once, the fullest of
    /// these is.
    #[arg(long = "disk", value_name = "PATH")]
    disks: Vec<OsString>,
    /// A unit of systemd to report, besides those that have failed; may be given more than once. `.service` may be left
    /// out. In the variable, white space separates them.
    #[arg(long = "service", value_name = "NAME", env = "HEARTBEAT_SERVICES")]
    services: Vec<String>,
    /// A PEM file with further authorities to trust, besides those of the system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long heartbeats that could not be sent are kept, in at most 8 MB of memory; 0 for not at all.
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration)]
    backlog: Duration,
    /// Send one heartbeat, print the answer, and stop.
    #[arg(long)]
    once: bool,
    /// Print the heartbeat that would be sent, and what could not be read and why; send nothing.
    #[arg(long, conflicts_with = "once")]
    print: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Run a command as a job: the agent reports it if it fails, does not end well in time, or runs for too long.
    ///
    /// The command's streams and status are those of this program, and signals are passed on to it.
    #[command(after_help = "\
Example:
  heartbeat-agent run --within 26h --for 4h backup -- restic backup /srv")]
    Run(job::Arguments),
    /// List the jobs, and how their last runs ended. To forget one, remove its file from /var/lib/heartbeat-jobs.
    Jobs,
}

fn duration(text: &str) -> Result<Duration, String> {
    syntax::duration::parse(text)?.to_std().map_err(|error| error.to_string())
}

/// What the command line and the environment say. An empty variable is an absent one.
fn arguments() -> Result<Arguments, clap::Error> {
    // A job may be run with any environment.
    let is_task = env::args_os().nth(1).is_some_and(|first| first == "run" || first == "jobs");
    let command = Arguments::command().mut_args(|argument| {
        let value = argument.get_env().and_then(env::var_os);
        match is_task || value.is_some_and(|value| value.is_empty()) {
            true => argument.env(Resettable::Reset),
            false => argument,
        }
    });
    Arguments::from_arg_matches(&command.get_matches())
}

fn main() -> ExitCode {
    let arguments = arguments().unwrap_or_else(|error| error.exit());
    let ended = match &arguments.task {
        Some(Task::Run(job)) => job::run(job),
        Some(Task::Jobs) => job::print_all().map(|()| ExitCode::SUCCESS),
        None => run(arguments).map(|()| ExitCode::SUCCESS),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            print::message(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    // What this allows is for the agent itself. A thread and a program that it starts would inherit it.
    let _ = rustix::thread::clear_ambient_capability_set();
    let services = arguments.services.iter().flat_map(|names| names.split_whitespace());
    let services = services.map(str::to_owned).collect();
    let mut machine = machine::Machine::new(arguments.server_id, arguments.disks, services);
    if arguments.print {
        let reading = machine.read();
        print::result(format_args!("{:#}", reading.heartbeat));
        reading.problems.iter().for_each(print::message);
        return Ok(());
    }
    let interval = Duration::from_secs(arguments.interval);
    let url = arguments
        .url
        .context("the URL of the endpoint is missing: pass --url, or set HEARTBEAT_URL")?;
    let url = connection::parse_url(&url)?;
    let key = key::Key::new(arguments.api_key_file);
    key.read()?;
    let connection = connection::Connection::new(url.clone(), arguments.ca_file, interval)?;
    let address = url.to_string();
    let sender = Arc::new(sender::Sender::new(connection, url, key));
    if arguments.once {
        on_stop(|| {
            print::message("error: heartbeat not sent: interrupted");
            1
        })?;
        return agent::send_once(machine, &sender, interval);
    }
    let state = agent::Shared::new(state::State {
        backlog: backlog::Backlog::new(arguments.backlog),
        sending: None,
        history: machine::History::default(),
    });
    let server_id = machine.server_id();
    let file = state::StateFile::new(address, &machine).map(Arc::new);
    {
        // A stop waits until the file is read.
        let mut reading = state.lock();
        let (stopped, last_sender, writer) = (state.clone(), sender.clone(), file.clone());
        on_stop(move || {
            let state = stopped.lock();
            tell(writer.as_ref().map_or(Ok(()), |file| file.write(&state)));
            shutdown::announce(&last_sender, &server_id);
            0
        })?;
        tell(file.map_or(Ok(()), |file| file.read(&mut reading)));
    }
    agent::Agent::new(machine, sender, interval, state).run()
}

fn tell(done: anyhow::Result<()>) {
    if let Err(problem) = done {
        print::message(format_args!("{problem:#}"));
    }
}

/// Ends the program with an exit code when it is told to stop.
fn on_stop(mut last: impl FnMut() -> i32 + Send + 'static) -> anyhow::Result<()> {
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM]).context("signals cannot be handled")?;
    let wait = move || {
        if signals.forever().next().is_some() {
            std::process::exit(last());
        }
    };
    thread::Builder::new().spawn(wait).context("signals cannot be handled")?;
    Ok(())
}
