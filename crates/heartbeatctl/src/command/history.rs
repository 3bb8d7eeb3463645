//! What a server has measured: charts for people, rows and buckets for programs.

mod chart;

use crate::aws::Aws;
use crate::server::Servers;
use crate::target::{METRICS, SERVERS, Target};
use crate::terminal::{chart_columns, is_dumb, print, print_bytes};
use anyhow::{anyhow, bail, ensure};
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use clap::Args;
use clap::error::ErrorKind;
use page::history::series::Bucket;
use page::history::{Found, MAX_AHEAD, Period, Request, Source, output};
use page::{Tables, explain_in, time, uptime};
use std::io::{self, IsTerminal};
use std::time::Duration;
use syntax::duration;
use tables::event::Subject;
use tables::metric::{METRICS as ALL, Metric};
use tables::row::Recorded;
use tables::{ServerId, server};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Show what a server has measured.
///
/// On its own, it draws charts of CPU, memory, disk, network rate and load, each column from its mean to its maximum. With
/// --csv or --json, it prints every row, oldest first, or buckets with minimum, mean and maximum. Times are in UTC, and by
/// the server's own clock. Counters become rates per second in charts and buckets.
///
/// It reads one partition of the metrics table, only the time that it shows: half a read unit for 4 KB, which is about 90
/// units for a day of heartbeats, and 2,600 for 30 days. More than 31 days are shown by days, with the least and the greatest
/// value of each, unless --every is shorter: about 35 units for a year, and the rows of the last days.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat history web-1
  heartbeatctl --stack heartbeat history web-1 --since 7d --metric disk_percent
  heartbeatctl --stack heartbeat history web-1 --since 1y
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
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    every: Option<chrono::TimeDelta>,
}

fn metric(name: &str) -> Result<&'static Metric, String> {
    Metric::find(name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        format!("it is none of {}", names.join(", "))
    })
}

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Charts,
    Csv,
    Json,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let format = self.format(target)?;
        let every = self.every;
        let aws = Aws::new(target);
        let (client, clock) = aws.dynamodb().await?;
        let source = Source { client: client.clone(), table: aws.name(&METRICS).await? };
        let request = self.request(format, clock.ask(&client, &source.table).await?)?;
        let metrics_table = source.table.clone();
        let measured = measure(source, &request, every).await?;
        if measured.is_empty() {
            say_that_nothing_was_found(&client, &aws.name(&SERVERS).await?, &request).await?;
        }
        measured.show(&request, format)?;
        if format == Format::Charts {
            let tables = Tables::new(&client, aws.name(&SERVERS).await?, metrics_table);
            say_uptime(&tables, &Servers::new(&aws).await?, &request).await?;
        }
        Ok(())
    }

    /// Clap sees no conflict between arguments before and after the command.
    fn format(&self, target: &Target) -> anyhow::Result<Format> {
        let (kind, reason) = match (self.csv, target.json) {
            (true, false) => return Ok(Format::Csv),
            (false, true) => return Ok(Format::Json),
            (false, false) if self.every.is_none() => return Ok(Format::Charts),
            (false, false) => (
                ErrorKind::MissingRequiredArgument,
                "the argument '--every' needs '--csv' or '--json'\n",
            ),
            (true, true) => {
                (ErrorKind::ArgumentConflict, "the argument '--csv' cannot be used with '--json'\n")
            }
        };
        bail!(clap::Error::raw(kind, reason))
    }

    fn request(self, format: Format, now: DateTime<Utc>) -> anyhow::Result<Request> {
        let period = Period::new(self.since, self.until, now);
        Ok(Request {
            server: self.server,
            metrics: match (self.metrics.is_empty(), format) {
                (false, _) => self.metrics,
                (true, Format::Charts) => Metric::usual().collect(),
                (true, Format::Csv | Format::Json) => ALL.iter().collect(),
            },
            period: period.map_err(|reason| anyhow!(reason))?,
        })
    }
}

/// Reads what was measured, and says what is left out.
async fn measure(
    source: Source,
    request: &Request,
    every: Option<chrono::TimeDelta>,
) -> anyhow::Result<Measured> {
    let (sender, receiver) = watch::channel(0);
    let progress = |rows| sender.send_modify(|sum| *sum += rows);
    let reading = async {
        Ok(match every {
            every if request.period.is_in_days(every) => {
                let Found { found, ahead } = source.days(request, &progress).await?;
                (Measured::Buckets(found), ahead)
            }
            Some(every) => {
                let Found { found, ahead } = source.buckets(request, every, &progress).await?;
                (Measured::Buckets(found), ahead)
            }
            None => {
                let Found { found, ahead } = source.rows(request, &progress).await?;
                (Measured::Rows(found), ahead)
            }
        })
    };
    let (measured, ahead) = with_progress(receiver, reading).await?;
    if ahead > 0 {
        let or_more = if ahead == MAX_AHEAD { " or more" } else { "" };
        eprintln!(
            "{ahead}{or_more} rows lie in the future, because the clock of {} was wrong; they are left out.",
            request.server
        );
    }
    Ok(measured)
}

/// Says that there are no rows, or fails because there is no such server.
async fn say_that_nothing_was_found(
    client: &Client,
    servers: &str,
    request: &Request,
) -> anyhow::Result<()> {
    let Request { server, period, .. } = request;
    let get = client.get_item().table_name(servers);
    let found = server::find(get, server).send().await.map_err(explain_in(servers))?;
    ensure!(found.item.is_some(), "there is no server {server}, and no rows of it");
    let [since, until] = [period.since, period.until].map(tables::time::format);
    eprintln!("{server} has no rows from {since} to {until}.");
    Ok(())
}

/// Says how much of the time the server was there, if it is known.
async fn say_uptime(tables: &Tables, servers: &Servers, request: &Request) -> anyhow::Result<()> {
    let Some(stored) = servers.find(&request.server).await? else { return Ok(()) };
    let events_since = servers.memory().await?.and_then(|watchdog| watchdog.events_since);
    let subject = Subject::Server { id: &request.server, events_since };
    match uptime::say(tables, &stored, subject, request.period.now()).await? {
        Some(uptime) => Ok(print(&format!("\n{uptime}"))?),
        None => Ok(()),
    }
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

    fn show(&self, request: &Request, format: Format) -> anyhow::Result<()> {
        let metrics = &request.metrics;
        let mut printed = Vec::new();
        match (self, format) {
            (Self::Rows(rows), Format::Charts) => return draw(rows, request),
            (Self::Buckets(days), Format::Charts) => return draw_days(days, request),
            (Self::Rows(rows), Format::Csv) => output::csv_of_rows(&mut printed, rows, metrics)?,
            (Self::Rows(rows), Format::Json) => output::json_of_rows(&mut printed, rows, metrics)?,
            (Self::Buckets(buckets), Format::Csv) => {
                output::csv_of_buckets(&mut printed, buckets, metrics)?;
            }
            (Self::Buckets(buckets), Format::Json) => {
                output::json_of_buckets(&mut printed, buckets, metrics)?;
            }
        }
        Ok(print_bytes(&printed)?)
    }
}

fn draw(rows: &[Recorded], request: &Request) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let period = [request.period.since, request.period.until];
    let charts = request.metrics.iter();
    let charts = charts.map(|metric| chart::draw(rows, metric, period, chart_columns()));
    Ok(print(&charts.collect::<Vec<_>>().join("\n\n"))?)
}

fn draw_days(days: &[Bucket], request: &Request) -> anyhow::Result<()> {
    if days.is_empty() {
        return Ok(());
    }
    let period = [request.period.since, request.period.until];
    let charts = request.metrics.iter().enumerate();
    let charts = charts
        .map(|(index, metric)| chart::draw_days(days, (index, metric), period, chart_columns()));
    Ok(print(&charts.collect::<Vec<_>>().join("\n\n"))?)
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
