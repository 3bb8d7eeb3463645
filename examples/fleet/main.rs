//! The fleet at a glance: one line a server, problems first.
//!
//! ```text
//! cargo run --example fleet -- --servers-table … --metrics-table …
//! ```
//!
//! It reads AWS with the usual credentials and region, or whatever `AWS_ENDPOINT_URL_DYNAMODB` names.

mod read;
mod server;
mod view;

use aws_sdk_dynamodb::error::DisplayErrorContext;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue, style, terminal};
use read::Tables;
use server::Server;
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Shows every server: whether it is online, what it runs, and how it does.
#[derive(Parser)]
struct Arguments {
    /// The table of servers.
    #[arg(long, env)]
    servers_table: String,
    /// The table of metrics.
    #[arg(long, env)]
    metrics_table: String,
    /// Time without a heartbeat after which a server is offline.
    #[arg(long, default_value = "180s", value_parser = duration)]
    offline_after: TimeDelta,
    /// Refresh in place, every 10 s unless told otherwise.
    #[arg(long, num_args = 0..=1, default_missing_value = "10s", value_name = "INTERVAL", value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
    /// Print JSON: an array of servers.
    #[arg(long, conflicts_with = "watch")]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", DisplayErrorContext(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tables = Tables::connect(arguments.servers_table, arguments.metrics_table).await;
    let fleet = Fleet {
        tables,
        offline_after: arguments.offline_after,
    };
    if let Some(interval) = arguments.watch {
        return tokio::select! {
            watched = fleet.watch(interval) => watched,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        };
    }
    let now = Utc::now();
    let servers = fleet.servers(now).await?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&servers)?
    } else {
        view::paint(&servers, now, columns(), colours())
    };
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

struct Fleet {
    tables: Tables,
    offline_after: TimeDelta,
}

impl Fleet {
    /// Reads all servers, problems first.
    async fn servers(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<Server>, Box<dyn Error + Send + Sync>> {
        let servers = self.tables.servers(now, self.offline_after).await?;
        let mut servers = self.tables.complete(servers, now).await?;
        servers.sort_by_cached_key(Server::rank);
        Ok(servers)
    }

    /// Paints the fleet again and again; at first without the readings, which take longer.
    async fn watch(&self, interval: Duration) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut screen = Screen::enter()?;
        let now = Utc::now();
        let mut servers = self.tables.servers(now, self.offline_after).await?;
        servers.sort_by_cached_key(Server::rank);
        screen.paint(&view::paint(&servers, now, columns(), colours()))?;
        loop {
            let now = Utc::now();
            let servers = self.servers(now).await?;
            screen.paint(&view::paint(&servers, now, columns(), colours()))?;
            tokio::time::sleep(interval).await;
        }
    }
}

/// The terminal's other screen, for as long as this lives.
struct Screen(io::Stdout);

impl Screen {
    fn enter() -> io::Result<Self> {
        let mut screen = Self(io::stdout());
        execute!(screen.0, EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        Ok(screen)
    }

    /// Shows as many lines as fit, over those that were there, so that nothing flickers.
    fn paint(&mut self, text: &str) -> io::Result<()> {
        let rows = terminal::size().map_or(usize::MAX, |(_, rows)| rows.into());
        for (row, line) in (0..).zip(text.lines().take(rows)) {
            queue!(
                self.0,
                MoveTo(0, row),
                style::Print(line),
                Clear(ClearType::UntilNewLine)
            )?;
        }
        queue!(self.0, Clear(ClearType::FromCursorDown))?;
        self.0.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(self.0, Show, LeaveAlternateScreen);
    }
}

fn duration(text: &str) -> Result<TimeDelta, Box<dyn Error + Send + Sync>> {
    Ok(TimeDelta::from_std(humantime::parse_duration(text)?)?)
}

/// The width to fill: the terminal's, or 80 where there is none.
fn columns() -> usize {
    let terminal = io::stdout().is_terminal().then(terminal::size);
    terminal
        .and_then(Result::ok)
        .map_or(80, |(columns, _)| columns.into())
}

/// Whether to use colours: on a terminal, unless `NO_COLOR` is set.
fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
