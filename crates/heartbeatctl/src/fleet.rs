//! The fleet at a glance: one line per server, problems first.

mod read;
mod server;
mod view;

use crate::aws::Aws;
use crate::target::{METRICS, SERVERS, Target};
use crate::terminal::{columns, print, printable};
use crate::{stop, time};
use anyhow::{bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use clap::error::ErrorKind;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue, style, terminal};
pub use read::Tables;
pub use server::{Server, Status};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tables::server::Memory;
pub use view::minute;

/// Show every server: its status, operating system and load.
///
/// Problems come first: servers that went offline, the latest on top, then those with CPU, memory or disk at
/// 90 % or more. It makes one scan of the servers table. On a terminal, it also makes one query for each server that
/// fits, for the sparkline of its last hour.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat fleet --watch")]
pub struct Command {
    /// Silence after which a server is shown as offline, even if no watchdog has marked it. A server's own threshold
    /// precedes it.
    #[arg(long, default_value = "180s", value_name = "DURATION", value_parser = time::duration)]
    offline_after: TimeDelta,
    /// Refresh in place, every 10 s if no interval is given.
    #[arg(long, num_args = 0..=1, default_missing_value = "10s", value_name = "INTERVAL", value_parser = time::positive_duration)]
    watch: Option<TimeDelta>,
}

impl Command {
    /// Prints the fleet once, or repeatedly with `--watch`.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        // Clap sees no conflict between arguments before and after the command.
        if self.watch.is_some() && target.json {
            let conflict = "the argument '--watch' cannot be used with '--json'\n";
            bail!(clap::Error::raw(ErrorKind::ArgumentConflict, conflict));
        }
        let is_terminal = io::stdout().is_terminal();
        ensure!(
            self.watch.is_none() || is_terminal,
            "--watch needs a terminal"
        );
        let aws = Aws::new(target);
        let view = View {
            tables: Tables {
                servers: aws.name(&SERVERS).await?,
                metrics: aws.name(&METRICS).await?,
                client: aws.dynamodb().await,
            },
            offline_after: self.offline_after,
        };
        if let Some(interval) = self.watch {
            return tokio::select! {
                watched = view.watch(interval.to_std()?) => watched,
                stopped = stop::requested() => Ok(stopped?),
            };
        }
        let mut fleet = view.fleet().await?;
        if target.json {
            return Ok(print(&fleet.json()?)?);
        }
        if is_terminal {
            view.add_sparklines(&mut fleet).await?;
        }
        Ok(print(&paint(&fleet))?)
    }
}

/// All servers at one time, problems first, and what the watchdog remembers.
#[derive(Debug)]
pub struct Fleet {
    pub servers: Vec<Server>,
    memory: Option<Memory>,
    pub at: DateTime<Utc>,
}

impl Fleet {
    /// Reads the servers table with one scan. `offline_after` is the silence after which a server counts as offline.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read(
        tables: &Tables,
        at: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> anyhow::Result<Self> {
        let (mut servers, memory) = tables.servers(at, offline_after).await?;
        servers.sort_by_cached_key(Server::rank);
        Ok(Self {
            servers,
            memory,
            at,
        })
    }

    /// The servers for programs.
    ///
    /// # Errors
    /// If a value cannot be encoded.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.servers)
    }

    /// What a person has to know about the watchdog.
    pub fn warning(&self) -> Option<String> {
        view::late_sweep(self.memory.as_ref(), self.at)
    }
}

struct View {
    tables: Tables,
    offline_after: TimeDelta,
}

impl View {
    async fn fleet(&self) -> anyhow::Result<Fleet> {
        Fleet::read(&self.tables, Utc::now(), self.offline_after).await
    }

    /// Adds the sparklines that the terminal has room for.
    async fn add_sparklines(&self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let rows = terminal::size().map_or(24, |(_, rows)| usize::from(rows));
        let servers = &mut fleet.servers;
        let seen = rows.saturating_sub(view::HEADER_ROWS).min(servers.len());
        self.tables
            .add_sparklines(&mut servers[..seen], fleet.at)
            .await
    }

    /// Redraws the fleet at an interval. The first frame has no sparklines, because they take longer to read.
    async fn watch(&self, interval: Duration) -> anyhow::Result<()> {
        let mut frame = paint(&self.fleet().await?);
        let mut screen = Screen::enter()?;
        screen.draw(&frame)?;
        loop {
            let read = async {
                let mut fleet = self.fleet().await?;
                self.add_sparklines(&mut fleet).await?;
                Ok::<_, anyhow::Error>(fleet)
            };
            match read.await {
                Ok(fleet) => {
                    frame = paint(&fleet);
                    screen.draw(&frame)?;
                }
                Err(error) => {
                    let error = printable(&format!("not refreshed: {error:#}"));
                    let error: String = error.chars().take(columns()).collect();
                    screen.draw(&format!("{error}\n\n{frame}"))?;
                }
            }
            tokio::time::sleep(interval).await;
        }
    }
}

/// Renders the fleet for standard output.
fn paint(fleet: &Fleet) -> String {
    view::paint(
        &fleet.servers,
        fleet.memory.as_ref(),
        fleet.at,
        columns(),
        colours(),
    )
}

/// The terminal's alternate screen; dropping it restores the terminal.
struct Screen(io::Stdout);

impl Screen {
    fn enter() -> io::Result<Self> {
        let mut screen = Self(io::stdout());
        execute!(screen.0, EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        Ok(screen)
    }

    /// Draws as many lines as fit over the previous ones, to avoid flicker.
    fn draw(&mut self, text: &str) -> io::Result<()> {
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

/// Whether to use colours: on a terminal, unless `NO_COLOR` is set.
fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
