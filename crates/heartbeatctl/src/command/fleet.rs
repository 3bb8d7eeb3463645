//! The fleet at a glance: one line per server, what is worse first.

mod screen;
mod sparkline;
mod table;

use crate::aws::Aws;
use crate::stop;
use crate::target::{METRICS, SERVERS, Target};
use crate::terminal::{colours, columns, cut, is_dumb, print, printable};
use anyhow::{bail, ensure};
use chrono::TimeDelta;
use clap::Args;
use clap::error::ErrorKind;
use crossterm::terminal::size;
use page::{Fleet, Tables};
use screen::Screen;
use sparkline::Sparkline;
use std::io::{self, IsTerminal};
use std::time::Duration;
use syntax::duration;
use tables::Group;

/// Show every server: its status, operating system and load.
///
/// What is worse comes first: servers that are offline or late, the latest on top, then those with a problem. They are
/// judged as the watchdog does, by the rules that it has written into the servers table. Values that are old are dim. It makes one scan of that table. On a
/// terminal, it also makes one query for each server that fits, for the sparkline of its last hour.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat fleet --watch")]
pub struct Command {
    /// Refresh in place, every 10 s if no interval is given.
    #[arg(long, num_args = 0..=1, default_missing_value = "10s", value_name = "INTERVAL", value_parser = duration::parse_positive)]
    watch: Option<TimeDelta>,
    /// Only the servers of this group.
    #[arg(long, value_name = "NAME")]
    group: Option<Group>,
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
        ensure!(self.watch.is_none() || is_terminal, "--watch needs a terminal");
        ensure!(
            self.watch.is_none() || !is_dumb(),
            "--watch draws over what it has drawn, which this terminal (TERM=dumb) cannot"
        );
        let aws = Aws::new(target);
        let (servers, metrics) = (aws.name(&SERVERS).await?, aws.name(&METRICS).await?);
        let (client, clock) = aws.dynamodb().await?;
        let tables = Tables { client, servers, metrics, clock };
        let view = View { tables, group: self.group };
        if let Some(interval) = self.watch {
            return tokio::select! {
                watched = view.watch(interval.to_std()?) => watched,
                stopped = stop::requested() => Ok(stopped?),
            };
        }
        let fleet = view.fleet().await?;
        if target.json {
            return Ok(print(&fleet.json("")?)?);
        }
        let sparklines = if is_terminal { view.sparklines(&fleet).await? } else { Vec::new() };
        Ok(print(&paint(&fleet, &sparklines))?)
    }
}

/// What is read for the terminal.
struct View {
    tables: Tables,
    group: Option<Group>,
}

impl View {
    async fn fleet(&self) -> anyhow::Result<Fleet> {
        Fleet::scan(&self.tables, self.group.as_ref(), || {}).await
    }

    /// Reads the sparklines that the terminal has room for.
    async fn sparklines(&self, fleet: &Fleet) -> anyhow::Result<Vec<Sparkline>> {
        let rows = size().map_or(24, |(_, rows)| usize::from(rows));
        let seen = rows.saturating_sub(table::HEADER_ROWS);
        let shown = &fleet.servers[..seen.min(fleet.servers.len())];
        let Tables { client, metrics, .. } = &self.tables;
        Sparkline::read_all(client, metrics, shown, fleet.at).await
    }

    /// Redraws the fleet at an interval. The first frame has no sparklines, because they take longer to read.
    async fn watch(&self, interval: Duration) -> anyhow::Result<()> {
        let mut frame = paint(&self.fleet().await?, &[]);
        let mut screen = Screen::enter()?;
        screen.draw(&frame)?;
        loop {
            let read = async {
                let fleet = self.fleet().await?;
                let sparklines = self.sparklines(&fleet).await?;
                Ok::<_, anyhow::Error>(paint(&fleet, &sparklines))
            };
            match read.await {
                Ok(painted) => {
                    frame = painted;
                    screen.draw(&frame)?;
                }
                Err(error) => {
                    let reason = printable(&format!("not refreshed: {error:#}"));
                    let line = cut(&reason, columns());
                    screen.draw(&format!("{line}\n\n{frame}"))?;
                }
            }
            tokio::time::sleep(interval).await;
        }
    }
}

/// Renders the fleet for standard output.
fn paint(fleet: &Fleet, sparklines: &[Sparkline]) -> String {
    table::paint(fleet, sparklines, columns(), colours())
}
