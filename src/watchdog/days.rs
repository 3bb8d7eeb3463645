//! Writes the days of servers (C15): one query of a day's rows, folded as they are read, and one write.

use super::config::DaysConfig;
use crate::aws;
use crate::fault::Fault;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, NaiveDate};
use futures_util::{StreamExt, stream};
use std::collections::HashSet;
use tables::day::{Day, Fold};
use tables::row::Row;
use tables::server::{self, FullOn};
use tables::{METRICS, ServerId, condition_failed};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};
use verdict::forecast::{DAYS, forecast};
use verdict::{Due, DueServer};

/// The maximum number of servers whose days are written at the same time.
const CONCURRENCY: usize = 4;

/// The most rows of a page, so that few of them are in memory as DynamoDB returns them.
const MAX_PAGE: i32 = 500;

/// Writes days into the table of metrics.
pub struct Days {
    /// What can wait is patient.
    dynamodb: Client,
    servers_table: String,
    config: DaysConfig,
}

/// The days of one server.
#[derive(Default)]
struct Outcome {
    written: usize,
    /// Whether there was no time to begin all of them.
    is_cut: bool,
    fault: Option<Fault>,
}

impl Days {
    pub fn new(config: DaysConfig, servers_table: String, dynamodb: &Client) -> Self {
        Self { dynamodb: aws::patient(dynamodb), servers_table, config }
    }

    /// Writes the days that these servers lack. None is begun after `begin_until`, and none goes on after the deadline.
    ///
    /// # Errors
    /// If one was rejected for good. What else failed is logged, and made up for.
    pub async fn write(
        &self,
        due: &Due,
        begin_until: Instant,
        deadline: Instant,
        request_id: &str,
    ) -> Result<(), String> {
        let started = Instant::now();
        let dates = due.dates(self.config.retention.min(self.config.keep));
        let outcomes = stream::iter(due.servers.iter().cloned())
            .map(|server| self.write_missing(server, &dates, due.today(), begin_until, deadline))
            .buffer_unordered(CONCURRENCY);
        let outcomes: Vec<_> = outcomes.collect().await;
        let written = outcomes.iter().map(|outcome| outcome.written).sum::<usize>();
        let cut = outcomes.iter().filter(|outcome| outcome.is_cut).count();
        let servers = due.servers.len();
        if servers > 0 {
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(request_id, servers, written, cut, milliseconds, "days");
        }
        let mut faults: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.fault).collect();
        faults.sort_by_key(|fault| !fault.is_permanent());
        let Some(first) = faults.first() else { return Ok(()) };
        let reason = first.to_string();
        warn!(request_id, servers = faults.len(), reason, "days not written");
        if first.is_permanent() {
            return Err(format!("days were not written: {reason}"));
        }
        Ok(())
    }

    /// Writes those of these days that a server lacks, in this order, as far as there is time; then, when its file systems are
    /// full, if that has changed.
    async fn write_missing(
        &self,
        DueServer { id, full_on }: DueServer,
        dates: &[NaiveDate],
        today: NaiveDate,
        begin_until: Instant,
        deadline: Instant,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let writing = async {
            if Instant::now() >= begin_until {
                outcome.is_cut = true;
                return Ok(());
            }
            let mut days = self.days(&id, today).await?;
            let known: HashSet<_> = days.iter().map(|day| day.date).collect();
            for date in dates.iter().filter(|date| !known.contains(date)) {
                if Instant::now() >= begin_until {
                    outcome.is_cut = true;
                    break;
                }
                if let Some(day) = self.fold(&id, *date).await? {
                    outcome.written += usize::from(self.put(&id, &day).await?);
                    days.push(day);
                }
            }
            let now_full_on = forecast(&days, today);
            if now_full_on != full_on {
                self.write_full_on(&id, &now_full_on).await?;
            }
            Ok(())
        };
        match timeout_at(deadline, writing).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => outcome.fault = Some(fault),
            Err(_) => outcome.is_cut = true,
        }
        outcome
    }

    /// Which days are there, as far as they say how fast something fills.
    async fn days(&self, server: &ServerId, today: NaiveDate) -> Result<Vec<Day>, Fault> {
        let query = self.dynamodb.query().table_name(&self.config.table);
        let query = Day::select(query, server, [today - DAYS, today]);
        let items = Day::only_disks(query).into_paginator().items().send();
        let items = items.collect::<Result<Vec<_>, _>>().await.map_err(Fault::of)?;
        Ok(items.iter().filter_map(|item| Day::from_item(item, DateTime::UNIX_EPOCH)).collect())
    }

    /// Reads the rows of a day; `None` without one.
    async fn fold(&self, server: &ServerId, date: NaiveDate) -> Result<Option<Day>, Fault> {
        let query = self.dynamodb.query().table_name(&self.config.table);
        let names = METRICS.each_ref().map(|metric| metric.name);
        let [start, end] = Day::period(date);
        let rows = Row::select(query, server.as_str(), [start, end], &names);
        let mut pages = rows.limit(MAX_PAGE).into_paginator().send();
        let mut fold = Fold::new(date);
        while let Some(page) = pages.next().await {
            let page = page.map_err(Fault::of)?;
            page.items()
                .iter()
                .filter_map(|item| Row::from_item(item, start))
                .for_each(|row| fold.add(&row));
        }
        Ok(fold.finish())
    }

    /// Writes a day. Returns whether it was not there.
    async fn put(&self, server: &ServerId, day: &Day) -> Result<bool, Fault> {
        let put = self.dynamodb.put_item().table_name(&self.config.table);
        match day.put(put, server, self.config.keep).send().await {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Fault::of(error)),
        }
    }

    /// Writes when the file systems of a server are full.
    async fn write_full_on(&self, server: &ServerId, full_on: &FullOn) -> Result<(), Fault> {
        let update = self.dynamodb.update_item().table_name(&self.servers_table);
        match server::write_full_on(server, full_on).request(update).send().await {
            Err(error) if !condition_failed(&error) => Err(Fault::of(error)),
            // Whoever is forgotten in between has no file systems.
            _ => Ok(()),
        }
    }
}
