//! What a server has measured: charts for people, rows and buckets for programs.

mod chart;

use crate::aws::Aws;
use crate::target::{METRICS, SERVERS, Target};
use crate::terminal::{chart_columns, is_dumb, print, print_bytes};
use anyhow::{anyhow, bail, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use clap::error::ErrorKind;
use page::history::series::Bucket;
use page::history::{Found, MAX_AHEAD, Period, Request, Source, output};
use page::{explain_in, time};
use std::io::{self, IsTerminal};
use std::time::Duration;
use tables::metric::{METRICS as ALL, Metric};
use tables::row::Recorded;
use tables::{ServerId, server};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The metrics that are shown unless others are asked for.
const SHOWN: [&Metric; 6] = [
    Metric::named("cpu_percent"),
    Metric::named("memory_percent"),
    Metric::named("disk_percent"),
    Metric::named("load_1m"),
    Metric::named("network_rx_bytes"),
    Metric::named("network_tx_bytes"),
];

/// Show what a server has measured.
///
/// On its own, it draws charts of CPU, memory, disk, load and network rate, each column from its mean to its maximum. With
/// --csv or --json, it prints every row, oldest first, or buckets with minimum, mean and maximum. Times are in UTC, and by
/// the server's own clock. Counters become rates per second in charts and buckets.
///
/// It reads one partition of the metrics table, only the time that it shows: half a read unit for 4 KB, which is about 90
/// units for a day of heartbeats, and 2,600 for 30 days.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat history web-1
  heartbeatctl --stack heartbeat history web-1 --since 7d --metric disk_percent
  heartbeatctl --stack heartbeat history web-1 --since 2026-01-18 --until 2026-01-19 --csv --every 5m")]
pub struct Command {
    /// The server.
    server: ServerId,
    /// From when: a duration before now, or a time in UTC (2026-01-18, 2026-01-18T10:30).
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = time::moment)]
    since: time::Moment,
    /// Until when, likewise; now if it is not given.
    #[arg(long, value_name = "TIME", value_parser = time::moment)]
    until: Option<time::Moment>,
    /// Only this metric; may be repeated.
    #[arg(long = "metric", value_name = "NAME", value_parser = metric)]
    metrics: Vec<&'static Metric>,
    /// Print CSV.
    #[arg(long)]
    csv: bool,
    /// Print the minimum, mean and maximum of each such time instead of every row.
    #[arg(long, value_name = "DURATION", value_parser = time::positive_duration)]
    every: Option<chrono::TimeDelta>,
}

fn metric(name: &str) -> Result<&'static Metric, String> {
    Metric::find(name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        format!("it is none of {}", names.join(", "))
    })
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        // Clap sees no conflict between arguments before and after the command.
        if self.csv && target.json {
            let conflict = "the argument '--csv' cannot be used with '--json'\n";
            bail!(clap::Error::raw(ErrorKind::ArgumentConflict, conflict));
        }
        let is_for_programs = self.csv || target.json;
        if self.every.is_some() && !is_for_programs {
            let missing = "the argument '--every' needs '--csv' or '--json'\n";
            bail!(clap::Error::raw(ErrorKind::MissingRequiredArgument, missing));
        }
        let metrics: Vec<_> = match (self.metrics.is_empty(), is_for_programs) {
            (false, _) => self.metrics,
            (true, true) => ALL.iter().collect(),
            (true, false) => SHOWN.to_vec(),
        };

        let aws = Aws::new(target);
        let (client, clock) = aws.dynamodb().await?;
        let table = aws.name(&METRICS).await?;
        let now = clock.ask(&client, &table).await?;
        let period = Period::new(self.since, self.until, now).map_err(|reason| anyhow!(reason))?;
        let request = Request { server: self.server, metrics, period };
        let Request { server, metrics, .. } = &request;
        let source = Source { client: client.clone(), table };
        let (sender, receiver) = watch::channel(0);
        let progress = |rows| sender.send_modify(|sum| *sum += rows);
        let reading = async {
            Ok(match self.every {
                Some(every) => {
                    let Found { found, ahead } = source.buckets(&request, every, &progress).await?;
                    (Measured::Buckets(found), ahead)
                }
                None => {
                    let Found { found, ahead } = source.rows(&request, &progress).await?;
                    (Measured::Rows(found), ahead)
                }
            })
        };
        let (measured, ahead) = with_progress(receiver, reading).await?;
        if ahead > 0 {
            let or_more = if ahead == MAX_AHEAD { " or more" } else { "" };
            eprintln!(
                "{ahead}{or_more} rows lie in the future, because the clock of {} was wrong; they are left out.",
                server
            );
        }
        if measured.is_empty() {
            let servers = aws.name(&SERVERS).await?;
            let get = client.get_item().table_name(&servers);
            let found = server::find(get, server).send().await.map_err(explain_in(&servers))?;
            ensure!(found.item.is_some(), "there is no server {}, and no rows of it", server);
            eprintln!(
                "{} has no rows from {} to {}.",
                server,
                tables::time::format(period.since),
                tables::time::format(period.until)
            );
        }
        let mut printed = Vec::new();
        match (&measured, self.csv) {
            (Measured::Rows(rows), _) if !is_for_programs => {
                let shown = [period.since, period.until];
                return draw(rows, metrics, shown);
            }
            (Measured::Rows(rows), true) => output::csv_of_rows(&mut printed, rows, metrics)?,
            (Measured::Rows(rows), false) => output::json_of_rows(&mut printed, rows, metrics)?,
            (Measured::Buckets(buckets), true) => {
                output::csv_of_buckets(&mut printed, buckets, metrics)?;
            }
            (Measured::Buckets(buckets), false) => {
                output::json_of_buckets(&mut printed, buckets, metrics)?;
            }
        }
        Ok(print_bytes(&printed)?)
    }
}

fn draw(
    rows: &[Recorded],
    metrics: &[&'static Metric],
    period: [DateTime<Utc>; 2],
) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let charts = metrics.iter().map(|metric| chart::draw(rows, metric, period, chart_columns()));
    Ok(print(&charts.collect::<Vec<_>>().join("\n\n"))?)
}

/// What was read.
enum Measured {
    Rows(Vec<Recorded>),
    Buckets(Vec<Bucket>),
}

impl Measured {
    const fn is_empty(&self) -> bool {
        match self {
            Self::Rows(rows) => rows.is_empty(),
            Self::Buckets(buckets) => buckets.is_empty(),
        }
    }
}

/// Reads, and says on a terminal how far it is when it takes longer than a second.
async fn with_progress<T>(
    rows_read: watch::Receiver<usize>,
    reading: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    if !io::stderr().is_terminal() || is_dumb() {
        return reading.await;
    }
    tokio::pin!(reading);
    let mut next = Instant::now() + Duration::from_secs(1);
    let mut is_shown = false;
    loop {
        tokio::select! {
            rows = &mut reading => {
                if is_shown {
                    eprint!("\r\x1b[K");
                }
                return rows;
            }
            () = sleep_until(next) => {
                eprint!("\r\x1b[K{} rows read …", *rows_read.borrow());
                is_shown = true;
                next += Duration::from_millis(200);
            }
        }
    }
}
