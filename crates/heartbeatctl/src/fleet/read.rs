//! Reads the two tables: a scan of the servers, and, for the servers whose sparkline is seen, one query for the last hour.

use super::server::{SHOWN, Server};
use crate::aws::explain_in;
use crate::history::read::TOLERANCE;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{TryStreamExt, stream};
use tables::row::Row;
use tables::server::Memory;
use tables::{Item, Metrics, Number, server};

/// Maximum number of concurrent queries.
const CONCURRENCY: usize = 16;

/// How far back a sparkline goes.
pub const HISTORY: TimeDelta = TimeDelta::hours(1);

/// Rows of metrics that are read per server, so that a server that sends too often does not make a view expensive.
const MAX_ROWS: i32 = 500;

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
    /// Reads all servers as they are now, and what the watchdog remembers.
    pub async fn servers(
        &self,
        now: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> anyhow::Result<(Vec<Server>, Option<Memory>)> {
        let scan = self.client.scan().table_name(&self.servers);
        let mut pages = server::scan(scan).into_paginator().items().send();
        let (mut servers, mut memory) = (Vec::new(), None);
        while let Some(item) = pages.try_next().await.map_err(explain_in(&self.servers))? {
            memory = memory.or_else(|| Memory::read(&item));
            let stored = server::Server::read(&item);
            servers.extend(stored.map(|stored| Server::new(stored, now, offline_after)));
        }
        Ok((servers, memory))
    }

    /// Adds the CPU readings of the last hour to each server.
    pub async fn add_sparklines(
        &self,
        servers: &mut [Server],
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        stream::iter(servers.iter_mut().map(Ok))
            .try_for_each_concurrent(CONCURRENCY, async |server| {
                let rows = self.last_hour(&server.server_id, now).await?;
                server.cpu_percent_by_minute = by_minute(&rows, now - HISTORY);
                Ok(())
            })
            .await
    }

    /// Reads what a server has measured in the last hour, by its own clock: the newest rows, newest first.
    async fn last_hour(&self, server_id: &str, now: DateTime<Utc>) -> anyhow::Result<Vec<Item>> {
        let query = self.client.query().table_name(&self.metrics);
        let period = [now - HISTORY, now + TOLERANCE];
        let page = Row::select(query, server_id, period, &SHOWN[..1])
            .scan_index_forward(false)
            .limit(MAX_ROWS)
            .send()
            .await
            .map_err(explain_in(&self.metrics))?;
        Ok(page.items.unwrap_or_default())
    }
}

/// The highest CPU reading of each minute since then; `None` for a minute without a reading.
fn by_minute(rows: &[Item], since: DateTime<Utc>) -> Vec<Option<f64>> {
    let mut minutes = vec![None; HISTORY.num_minutes() as usize];
    for row in rows {
        let time = Row::recorded_at(row);
        let minute = time.and_then(|time| usize::try_from((time - since).num_minutes()).ok());
        if let Some(peak) = minute.and_then(|minute| minutes.get_mut(minute)) {
            let reading = Metrics::read(row).get(SHOWN[0]).map(Number::as_f64);
            *peak = (*peak).into_iter().chain(reading).reduce(f64::max);
        }
    }
    minutes
}
