//! Reads the two tables: a scan of the servers, and one query a server for its last hour.

use crate::server::{Server, Status};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use heartbeat::heartbeat::Timestamp;
use std::collections::HashMap;
use std::error::Error;

/// Queries under way at once.
const CONCURRENCY: usize = 16;

/// How far back a server's metrics are read.
pub const HISTORY: TimeDelta = TimeDelta::hours(1);

type Item = HashMap<String, AttributeValue>;

/// The function's two tables.
pub struct Tables {
    client: Client,
    servers: String,
    metrics: String,
}

impl Tables {
    /// Finds region, credentials and endpoint where every AWS tool finds them.
    pub async fn connect(servers: String, metrics: String) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .load()
            .await;
        Self {
            client: Client::new(&config),
            servers,
            metrics,
        }
    }

    /// Reads all servers as they are now, without their readings.
    pub async fn servers(
        &self,
        now: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> Result<Vec<Server>, Box<dyn Error + Send + Sync>> {
        let mut pages = self
            .client
            .scan()
            .table_name(&self.servers)
            .projection_expression(
                "server_id, hostname, last_seen, os_distribution, os_version, kernel_version, architecture",
            )
            .into_paginator()
            .items()
            .send();
        let mut servers = Vec::new();
        while let Some(item) = pages.try_next().await? {
            servers.push(server(&item, now, offline_after));
        }
        Ok(servers)
    }

    /// Completes servers with what they sent in the last hour.
    pub async fn complete(
        &self,
        servers: Vec<Server>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Server>, Box<dyn Error + Send + Sync>> {
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

    /// Reads what a server has sent in the last hour, by its own clock.
    async fn last_hour(
        &self,
        server_id: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Item>, Box<dyn Error + Send + Sync>> {
        let since = Timestamp::from(now - HISTORY).to_string();
        let rows = self
            .client
            .query()
            .table_name(&self.metrics)
            .key_condition_expression("server_id = :server AND recorded_at >= :since")
            .expression_attribute_values(":server", AttributeValue::S(server_id.into()))
            .expression_attribute_values(":since", AttributeValue::S(since))
            .projection_expression(
                "recorded_at, cpu_percent, memory_percent, disk_percent, load_1m, uptime_seconds",
            )
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await?;
        Ok(rows)
    }
}

fn server(item: &Item, now: DateTime<Utc>, offline_after: TimeDelta) -> Server {
    let last_seen = text(item, "last_seen").and_then(|time| time.parse().ok());
    Server {
        server_id: text(item, "server_id").unwrap_or_default(),
        hostname: text(item, "hostname"),
        status: Status::of(last_seen, now, offline_after),
        last_seen,
        os_distribution: text(item, "os_distribution"),
        os_version: text(item, "os_version"),
        kernel_version: text(item, "kernel_version"),
        architecture: text(item, "architecture"),
        ..Server::default()
    }
}

fn complete(server: &mut Server, rows: &[Item], now: DateTime<Utc>) {
    let newest = |name| rows.last().and_then(|row| number(row, name));
    server.cpu_percent = newest("cpu_percent");
    server.memory_percent = newest("memory_percent");
    server.disk_percent = newest("disk_percent");
    server.load_1m = newest("load_1m");
    server.uptime_seconds = newest("uptime_seconds");
    server.cpu_percent_by_minute = by_minute(rows, now - HISTORY);
}

/// The highest CPU reading of each minute since then; none where nothing was sent.
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
