//! Reads the two tables: a scan of the servers, and one query per server for its last hour.

use super::server::{Server, Status};
use crate::aws::explain_in;
use crate::time;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;

/// Maximum number of concurrent queries.
const CONCURRENCY: usize = 16;

/// How far back a server's metrics are read.
pub const HISTORY: TimeDelta = TimeDelta::hours(1);

/// Rows of metrics that are read per server, so that neither a server that sends too often nor one whose clock
/// is ahead makes a view expensive.
const MAX_ROWS: i32 = 500;

type Item = HashMap<String, AttributeValue>;

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
        let mut pages = self
            .client
            .scan()
            .table_name(&self.servers)
            .projection_expression(
                "server_id, hostname, #status, last_seen, offline_since, silenced_until, \
                 os_distribution, os_version, kernel_version, architecture",
            )
            .expression_attribute_names("#status", "status")
            .into_paginator()
            .items()
            .send();
        let mut servers = Vec::new();
        while let Some(item) = pages.try_next().await.map_err(explain_in(&self.servers))? {
            servers.push(server(&item, now, offline_after));
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
        let since = time::stored(now - HISTORY);
        let page = self
            .client
            .query()
            .table_name(&self.metrics)
            .key_condition_expression("server_id = :server AND recorded_at >= :since")
            .expression_attribute_values(":server", AttributeValue::S(server_id.into()))
            .expression_attribute_values(":since", AttributeValue::S(since))
            .projection_expression(
                "recorded_at, cpu_percent, memory_percent, disk_percent, load_1m, uptime_seconds",
            )
            .scan_index_forward(false)
            .limit(MAX_ROWS)
            .send()
            .await
            .map_err(explain_in(&self.metrics))?;
        Ok(page.items.unwrap_or_default())
    }
}

fn server(item: &Item, now: DateTime<Utc>, offline_after: TimeDelta) -> Server {
    let time = |name| text(item, name).and_then(|time| time.parse().ok());
    let last_seen = time("last_seen");
    let is_marked = text(item, "status").is_some_and(|status| status == "offline");
    Server {
        server_id: text(item, "server_id").unwrap_or_default(),
        hostname: text(item, "hostname"),
        status: Status::of(is_marked, last_seen, now, offline_after),
        last_seen,
        offline_since: time("offline_since").filter(|_| is_marked),
        silenced_until: time("silenced_until").filter(|until| *until > now),
        os_distribution: text(item, "os_distribution"),
        os_version: text(item, "os_version"),
        kernel_version: text(item, "kernel_version"),
        architecture: text(item, "architecture"),
        ..Server::default()
    }
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
        let recorded_at = text(row, "recorded_at").unwrap_or_default();
        let time = recorded_at
            .split('#')
            .next()
            .and_then(|time| time.parse::<DateTime<Utc>>().ok());
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

fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

fn number(item: &Item, name: &str) -> Option<f64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}
