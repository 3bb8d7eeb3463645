//! The fleet at a glance: one line per server, problems first.

mod read;
mod server;
mod view;

use crate::aws::Aws;
use crate::{Place, print, time};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue, style, terminal};
use read::Tables;
use server::Server;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Show every server: whether it is online, what it runs, and how it does.
///
/// Problems come first: servers that went offline, the latest on top, then those with CPU, memory or disk at
/// 90 % or more. It reads one scan of the servers and one query per server for its last hour.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat fleet --watch")]
pub struct Fleet {
    /// Silence after which a server is shown as offline, even if no watchdog has marked it.
    #[arg(long, default_value = "180s", value_name = "DURATION", value_parser = time::duration)]
    offline_after: TimeDelta,
    /// Refresh in place, every 10 s if no interval is given.
    #[arg(long, num_args = 0..=1, default_missing_value = "10s", value_name = "INTERVAL", value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
}

impl Fleet {
    /// Prints the fleet, once or again and again.
    pub async fn run(self, place: &Place) -> anyhow::Result<()> {
        let aws = Aws::new(place).await;
        let view = View {
            tables: Tables {
                client: aws.dynamodb(),
                servers: aws.servers_table().await?,
                metrics: aws.metrics_table().await?,
            },
            offline_after: self.offline_after,
        };
        if let Some(interval) = self.watch {
            anyhow::ensure!(
                !place.json,
                "--watch draws on the terminal and cannot print JSON"
            );
            return tokio::select! {
                watched = view.watch(interval) => watched,
                interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
            };
        }
        let now = Utc::now();
        let servers = view.servers(now).await?;
        if place.json {
            return print(&serde_json::to_string_pretty(&servers)?);
        }
        print(&view::paint(&servers, now, columns(), colours()))
    }
}

struct View {
    tables: Tables,
    offline_after: TimeDelta,
}

impl View {
    /// Reads all servers, problems first.
    async fn servers(&self, now: DateTime<Utc>) -> anyhow::Result<Vec<Server>> {
        let servers = self.tables.servers(now, self.offline_after).await?;
        let mut servers = self.tables.complete(servers, now).await?;
        servers.sort_by_cached_key(Server::rank);
        Ok(servers)
    }

    /// Paints the fleet again and again; at first without the readings, which take longer.
    async fn watch(&self, interval: Duration) -> anyhow::Result<()> {
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
