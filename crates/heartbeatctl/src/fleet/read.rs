//! Reads the two tables: a scan of the servers, and one query per server for its last hour.

use super::server::{Server, Status};
use crate::aws::explain_in;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use tables::row::Row;
use tables::{Item, Metrics, Number, server};

/// Maximum number of concurrent queries.
const CONCURRENCY: usize = 16;

/// How far back a server's metrics are read.
pub const HISTORY: TimeDelta = TimeDelta::hours(1);

/// Rows of metrics that are read per server, so that neither a server that sends too often nor one whose clock
/// is ahead makes a view expensive.
const MAX_ROWS: i32 = 500;

/// The metrics that the view shows.
const SHOWN: [&str; 5] = [
    "cpu_percent",
    "memory_percent",
    "disk_percent",
    "load_1m",
    "uptime_seconds",
];

/// The two tables that the view reads.
pub struct Tables {
    /// A client for both.
    pub client: Client,
    /// The servers table.
    pub servers: String,
    /// The metrics table.
    pub metrics: String,
}

impl Tables {
    /// Reads all servers as they are now, without their metrics.
    pub async fn servers(
        &self,
        now: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> anyhow::Result<Vec<Server>> {
        let pages = self.client.scan().table_name(&self.servers);
        let mut pages = server::scan(pages).into_paginator().items().send();
        let mut servers = Vec::new();
        while let Some(item) = pages.try_next().await.map_err(explain_in(&self.servers))? {
            servers.extend(self::server(&item, now, offline_after));
        }
        Ok(servers)
    }

    /// Adds the metrics of the last hour to each server.
    pub async fn complete(
        &self,
        servers: Vec<Server>,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<Server>> {
        stream::iter(servers)
            .map(|mut server| async move {
                let rows = self.last_hour(&server.server_id, now).await?;
                complete(&mut server, &rows, now);
                Ok(server)
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Reads the metrics that a server has sent in the last hour, by its own clock: the newest rows, newest
    /// first.
    async fn last_hour(&self, server_id: &str, now: DateTime<Utc>) -> anyhow::Result<Vec<Item>> {
        // A row may be ahead by as much as a clock.
        let period = [
            now - HISTORY,
            DateTime::<Utc>::MAX_UTC.min(now + TimeDelta::days(36_525)),
        ];
        let query = self.client.query().table_name(&self.metrics);
        let page = Row::select(query, server_id, period, &SHOWN)
            .scan_index_forward(false)
            .limit(MAX_ROWS)
            .send()
            .await
            .map_err(explain_in(&self.metrics))?;
        Ok(page.items.unwrap_or_default())
    }
}

fn server(item: &Item, now: DateTime<Utc>, offline_after: TimeDelta) -> Option<Server> {
    let stored = server::Server::read(item)?;
    let is_marked = stored.status == Some(server::Status::Offline);
    let last_seen = stored.last_seen.map(|seen| seen.time);
    Some(Server {
        server_id: stored.server_id,
        hostname: stored.hostname,
        status: Status::of(is_marked, last_seen, now, offline_after),
        last_seen,
        offline_since: stored
            .offline_since
            .map(|since| since.time)
            .filter(|_| is_marked),
        silenced_until: stored.silenced_until.filter(|until| *until > now),
        os_distribution: stored.os.distribution,
        os_version: stored.os.version,
        kernel_version: stored.os.kernel,
        architecture: stored.os.architecture,
        ..Server::default()
    })
}

fn complete(server: &mut Server, rows: &[Item], now: DateTime<Utc>) {
    let newest = |name| rows.first().and_then(|row| number(row, name));
    server.cpu_percent = newest("cpu_percent");
    server.memory_percent = newest("memory_percent");
    server.disk_percent = newest("disk_percent");
    server.load_1m = newest("load_1m");
    server.uptime_seconds = newest("uptime_seconds");
    server.cpu_percent_by_minute = by_minute(rows, now - HISTORY);
}

/// The highest CPU reading of each minute since then; `None` for a minute without a reading.
fn by_minute(rows: &[Item], since: DateTime<Utc>) -> Vec<Option<f64>> {
    let mut minutes = vec![None; HISTORY.num_minutes() as usize];
    for row in rows {
        let time = Row::recorded_at(row);
        let minute = time.and_then(|time| usize::try_from((time - since).num_minutes()).ok());
        if let Some(peak) = minute.and_then(|minute| minutes.get_mut(minute)) {
            *peak = (*peak)
                .into_iter()
                .chain(number(row, "cpu_percent"))
                .reduce(f64::max);
        }
    }
    minutes
}

fn number(row: &Item, name: &str) -> Option<f64> {
    Metrics::read(row).get(name).map(Number::as_f64)
}
