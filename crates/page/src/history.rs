//! What a server has measured: rows of one partition, read in ranges side by side.

pub mod output;
pub mod series;

use crate::explain::explain_in;
use crate::time::Moment;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use series::{Bucket, Buckets};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tables::ServerId;
use tables::day::{Day, Fold};
use tables::metric::Metric;
use tables::row::{Recorded, Row};

/// The maximum number of concurrent queries.
const CONCURRENCY: usize = 8;

/// The least time that a range covers.
const SHORTEST_RANGE: TimeDelta = TimeDelta::hours(6);

/// The longest period that is read from rows if nobody asks for less than a day.
const LONGEST_OF_ROWS: TimeDelta = TimeDelta::days(31);

/// Rows that one page may hold, so that few of them are in memory as DynamoDB returns them.
const MAX_PAGE: i32 = 1_000;

/// How far ahead of DynamoDB's clock a row or an event may be. Rows beyond that come from a wrong clock.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// How many rows in the future are counted at most.
pub const MAX_AHEAD: usize = 1_000;

/// From a time on until before another.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    now: DateTime<Utc>,
}

impl Period {
    /// A period that ends now if no other end is given.
    ///
    /// # Errors
    /// If it ends before it starts.
    pub fn new(since: Moment, until: Option<Moment>, now: DateTime<Utc>) -> Result<Self, String> {
        let period =
            Self { since: since.at(now), until: until.map_or(now, |until| until.at(now)), now };
        if period.since >= period.until {
            return Err("the period ends before it starts".to_owned());
        }
        Ok(period)
    }
}

impl Period {
    /// When it was asked for.
    #[must_use]
    pub const fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Whether it is shown by days, if each part of it is to be so long.
    #[must_use]
    pub fn is_in_days(&self, every: Option<TimeDelta>) -> bool {
        self.until - self.since > LONGEST_OF_ROWS
            && every.is_none_or(|every| every >= TimeDelta::days(1))
    }
}

/// What to read.
pub struct Request {
    pub server: ServerId,
    pub metrics: Vec<&'static Metric>,
    pub period: Period,
}

/// The metrics table.
pub struct Source {
    pub client: Client,
    pub table: String,
}

/// What was read: rows or buckets.
#[derive(Debug, Default)]
pub struct Found<T> {
    /// Oldest first.
    pub found: Vec<T>,
    /// Rows that lie in the future, at most [`MAX_AHEAD`].
    pub ahead: usize,
}

impl Source {
    /// Reads the rows of a period. `progress` gets the size of each page.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn rows(
        &self,
        request: &Request,
        progress: &(impl Fn(usize) + Sync),
    ) -> anyhow::Result<Found<Recorded>> {
        let rows = Mutex::new(Vec::new());
        let add = |row| lock(&rows).push(row);
        let ahead = self.query(request, progress, &add).await?;
        let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Stable, and nearly sorted.
        rows.sort_by_key(|row| row.timestamp);
        Ok(Found { found: rows, ahead })
    }

    /// Reads the rows of a period into buckets of this length, without holding the rows.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn buckets(
        &self,
        request: &Request,
        every: TimeDelta,
        progress: &(impl Fn(usize) + Sync),
    ) -> anyhow::Result<Found<Bucket>> {
        let buckets = Mutex::new(Buckets::new(&request.metrics, every));
        let add = |row| lock(&buckets).add(&row);
        let ahead = self.query(request, progress, &add).await?;
        let buckets = buckets.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Found { found: buckets.finish(), ahead })
    }

    /// Reads the days of a period, without holding their rows. A day that is not there, such as the last ones, is made of its rows.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn days(
        &self,
        request: &Request,
        progress: &(impl Fn(usize) + Sync),
    ) -> anyhow::Result<Found<Bucket>> {
        let Request { server, metrics, period } = request;
        let last = period.until.min(period.now);
        let [first, last] = [period.since, last].map(|time| time.date_naive());
        let query = self.client.query().table_name(&self.table);
        let mut pages = Day::select(query, server, [first, last]).into_paginator().send();
        let mut days = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(explain_in(&self.table))?;
            let known = page.items().iter().filter_map(|item| Day::from_item(item, period.now));
            days.extend(known.map(|day| (day.date, day)));
            progress(page.items().len());
        }
        let first_row = self.first_row(server, period).await?;
        let with_rows = first_row.into_iter().flat_map(|first| first.iter_days());
        let missing = with_rows.take_while(|date| *date <= last);
        let missing: Vec<_> = missing.filter(|date| !days.contains_key(date)).collect();
        let folding = stream::iter(missing)
            .map(|date| self.fold(request, date, progress))
            .buffer_unordered(CONCURRENCY)
            .try_collect::<Vec<_>>();
        days.extend(folding.await?.into_iter().flatten().map(|day| (day.date, day)));
        let found = days.values().map(|day| Bucket::of_day(day, metrics, period.now)).collect();
        Ok(Found { found, ahead: 0 })
    }

    /// The date of the first row of a period.
    async fn first_row(
        &self,
        server: &ServerId,
        period: &Period,
    ) -> anyhow::Result<Option<NaiveDate>> {
        let query = self.client.query().table_name(&self.table);
        let times = [period.since, period.until];
        let first = Row::select(query, server.as_str(), times, &[]).limit(1).send().await;
        let first = first.map_err(explain_in(&self.table))?;
        Ok(first.items().first().and_then(Row::recorded_at).map(|time| time.date_naive()))
    }

    /// Makes a day of its rows; `None` without one.
    async fn fold(
        &self,
        Request { server, metrics, period }: &Request,
        date: NaiveDate,
        progress: &(impl Fn(usize) + Sync),
    ) -> anyhow::Result<Option<Day>> {
        let fold = Mutex::new(Fold::new(date));
        let names: Vec<_> = metrics.iter().map(|metric| metric.name).collect();
        let add = |row: Recorded| lock(&fold).add(&row);
        self.read_range(server.as_str(), &names, Day::period(date), period.now, progress, &add)
            .await?;
        Ok(fold.into_inner().unwrap_or_else(PoisonError::into_inner).finish())
    }

    /// Hands out the rows of a period, in any order, and returns how many lie in the future.
    async fn query(
        &self,
        request: &Request,
        progress: &(impl Fn(usize) + Sync),
        add: &(impl Fn(Recorded) + Sync),
    ) -> anyhow::Result<usize> {
        let server_id = request.server.as_str();
        let names: Vec<_> = request.metrics.iter().map(|metric| metric.name).collect();
        let Period { since, now, .. } = request.period;
        let latest = now + TOLERANCE;
        // A period up to now includes what a clock that is slightly wrong has sent.
        let until = match request.period.until {
            until if until >= now => latest,
            until => until,
        };
        let reading = stream::iter(ranges([since, until]))
            .map(|range| self.read_range(server_id, &names, range, now, progress, add))
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>();
        let counting = async {
            if until < latest {
                return Ok(0);
            }
            self.count_ahead(server_id, latest).await
        };
        let ((), ahead) = tokio::try_join!(reading, counting)?;
        Ok(ahead)
    }

    async fn read_range(
        &self,
        server_id: &str,
        metrics: &[&str],
        range: [DateTime<Utc>; 2],
        now: DateTime<Utc>,
        progress: &(impl Fn(usize) + Sync),
        add: &(impl Fn(Recorded) + Sync),
    ) -> anyhow::Result<()> {
        let query = self.client.query().table_name(&self.table);
        let mut pages =
            Row::select(query, server_id, range, metrics).limit(MAX_PAGE).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(explain_in(&self.table))?;
            progress(page.items().len());
            page.items().iter().filter_map(|item| Row::from_item(item, now)).for_each(add);
        }
        Ok(())
    }

    async fn count_ahead(&self, server_id: &str, from: DateTime<Utc>) -> anyhow::Result<usize> {
        let query = self.client.query().table_name(&self.table);
        let latest = tables::time::parse(tables::time::LATEST);
        let period = [from, latest.unwrap_or(DateTime::<Utc>::MAX_UTC)];
        let page = Row::count(query, server_id, period)
            .limit(MAX_AHEAD as i32)
            .send()
            .await
            .map_err(explain_in(&self.table))?;
        Ok(usize::try_from(page.count()).unwrap_or_default())
    }
}

/// Nothing that is done under this lock can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parts of a period, each at least [`SHORTEST_RANGE`] long.
fn ranges([since, until]: [DateTime<Utc>; 2]) -> Vec<[DateTime<Utc>; 2]> {
    let length = until - since;
    let count = (length.num_seconds() / SHORTEST_RANGE.num_seconds())
        .clamp(1, 2 * CONCURRENCY as i64) as i32;
    let bound = |number: i32| {
        if number == count { until } else { since + length / count * number }
    };
    (0..count).map(|number| [bound(number), bound(number + 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_a_period_without_a_gap_or_an_overlap() {
        let since: DateTime<Utc> = "2026-03-29T00:30:00.123456Z".parse().expect("a time");
        for (seconds, count) in [(1, 1), (21_600, 1), (43_200, 2), (86_401, 4), (2_592_000, 16)] {
            let until = since + TimeDelta::seconds(seconds);
            let ranges = ranges([since, until]);
            assert_eq!(ranges.len(), count, "{seconds}");
            let bounds: Vec<_> = ranges.iter().flatten().copied().collect();
            assert_eq!((bounds[0], bounds[bounds.len() - 1]), (since, until));
            assert!(ranges.windows(2).all(|pair| pair[0][1] == pair[1][0]));
        }
    }
}
