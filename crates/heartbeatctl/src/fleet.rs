//! The fleet at a glance: one line per server, problems first.

mod read;
mod server;
mod view;

use crate::aws::Aws;
use crate::target::{METRICS, SERVERS, Target};
use crate::terminal::{print, printable};
use crate::{stop, time};
use anyhow::{bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use clap::error::ErrorKind;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue, style, terminal};
use read::Tables;
use server::Server;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tables::server::Memory;

/// Show every server: its status, operating system and load.
///
/// Problems come first: servers that went offline, the latest on top, then those with CPU, memory or disk at
/// 90 % or more. It makes one scan of the servers table. On a terminal, it also makes one query for each server that
/// fits, for the sparkline of its last hour.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat fleet --watch")]
pub struct Fleet {
    /// Silence after which a server is shown as offline, even if no watchdog has marked it. A server's own threshold
    /// precedes it.
    #[arg(long, default_value = "180s", value_name = "DURATION", value_parser = time::duration)]
    offline_after: TimeDelta,
    /// Refresh in place, every 10 s if no interval is given.
    #[arg(long, num_args = 0..=1, default_missing_value = "10s", value_name = "INTERVAL", value_parser = time::positive_duration)]
    watch: Option<TimeDelta>,
}

impl Fleet {
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
        let now = Utc::now();
        let (mut servers, memory) = view.servers(now).await?;
        if is_terminal && !target.json {
            view.add_sparklines(&mut servers, now).await?;
        }
        if target.json {
            return Ok(print(&serde_json::to_string_pretty(&servers)?)?);
        }
        Ok(print(&paint(&servers, memory.as_ref(), now))?)
    }
}

struct View {
    tables: Tables,
    offline_after: TimeDelta,
}

impl View {
    /// Reads all servers, problems first, and what the watchdog remembers.
    async fn servers(&self, now: DateTime<Utc>) -> anyhow::Result<(Vec<Server>, Option<Memory>)> {
        let (mut servers, memory) = self.tables.servers(now, self.offline_after).await?;
        servers.sort_by_cached_key(Server::rank);
        Ok((servers, memory))
    }

    /// Adds the sparklines that the terminal has room for.
    async fn add_sparklines(
        &self,
        servers: &mut [Server],
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let rows = terminal::size().map_or(24, |(_, rows)| usize::from(rows));
        let seen = rows.saturating_sub(view::HEADER_ROWS).min(servers.len());
        self.tables.add_sparklines(&mut servers[..seen], now).await
    }

    /// Redraws the fleet at an interval. The first frame has no sparklines, because they take longer to read.
    async fn watch(&self, interval: Duration) -> anyhow::Result<()> {
        let now = Utc::now();
        let (servers, memory) = self.servers(now).await?;
        let mut frame = paint(&servers, memory.as_ref(), now);
        let mut screen = Screen::enter()?;
        screen.draw(&frame)?;
        loop {
            let now = Utc::now();
            let read = async {
                let (mut servers, memory) = self.servers(now).await?;
                self.add_sparklines(&mut servers, now).await?;
                Ok::<_, anyhow::Error>((servers, memory))
            };
            match read.await {
                Ok((servers, memory)) => {
                    frame = paint(&servers, memory.as_ref(), now);
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
fn paint(servers: &[Server], memory: Option<&Memory>, now: DateTime<Utc>) -> String {
    view::paint(servers, memory, now, columns(), colours())
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

/// The width to fill: the terminal's, or 80 if it has none.
fn columns() -> usize {
    let terminal = io::stdout().is_terminal().then(terminal::size);
    match terminal {
        Some(Ok((columns @ 1.., _))) => columns.into(),
        _ => 80,
    }
}

/// Whether to use colours: on a terminal, unless `NO_COLOR` is set.
fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
