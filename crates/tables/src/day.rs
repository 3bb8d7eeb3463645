//! A day of a server: an item of the metrics table, under an id that no server can have (C15). Rows are folded into it while they
//! are read, so it needs no memory for them.

use crate::metric::METRICS;
use crate::row::{EXPIRES_AT, RECORDED_AT, Recorded, is_expired};
use crate::{Disk, Item, Metric, Number, SERVER_ID, ServerId, text};
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, L, M, N, S};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// The id of a server's days: this and its own. No agent can send it.
const DAY: &str = "#day:";

/// How many rows a day has.
const ROWS: &str = "rows";

const DISKS: &str = crate::disk::items::DISKS;

/// The most file systems of a day: those that were seen first.
const MAX_DISKS: usize = 24;

/// What a server measured on one day, by its own clock, in UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    pub date: NaiveDate,
    /// How many rows it is made of.
    pub rows: u64,
    /// In the order of [`METRICS`]. A counter has none.
    gauges: [Option<Extent>; METRICS.len()],
    /// In the order of [`METRICS`]: how much each counter grew, from the day's first row to its last. A gauge has none.
    totals: [Option<u64>; METRICS.len()],
    /// By mount point.
    pub disks: BTreeMap<String, Extent>,
}

/// All values of a gauge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    pub least: f64,
    pub mean: f64,
    pub greatest: f64,
}

impl Day {
    /// Of no row.
    const fn empty(date: NaiveDate) -> Self {
        let (gauges, totals) = ([None; METRICS.len()], [None; METRICS.len()]);
        Self { date, rows: 0, gauges, totals, disks: BTreeMap::new() }
    }

    /// When it began, and when it ended.
    #[must_use]
    pub fn period(date: NaiveDate) -> [DateTime<Utc>; 2] {
        [date, date + Days::new(1)].map(|date| date.and_time(NaiveTime::MIN).and_utc())
    }

    #[must_use]
    pub fn gauge(&self, metric: &Metric) -> Option<Extent> {
        self.gauges[place(metric)]
    }

    #[must_use]
    pub fn total(&self, metric: &Metric) -> Option<u64> {
        self.totals[place(metric)]
    }

    /// Writes the day, unless it is there. It expires so long after its end.
    #[must_use]
    pub fn put(
        &self,
        put: PutItemFluentBuilder,
        server_id: &ServerId,
        keep: TimeDelta,
    ) -> PutItemFluentBuilder {
        let item = self.item(server_id, keep);
        put.set_item(Some(item)).condition_expression("attribute_not_exists(server_id)")
    }

    fn item(&self, server_id: &ServerId, keep: TimeDelta) -> Item {
        let [_, end] = Self::period(self.date);
        let mut item = Item::from([
            (SERVER_ID.to_owned(), id(server_id)),
            (RECORDED_AT.to_owned(), S(self.date.to_string())),
            (EXPIRES_AT.to_owned(), N((end.timestamp() + keep.num_seconds()).to_string())),
            (ROWS.to_owned(), N(self.rows.to_string())),
        ]);
        for (index, metric) in METRICS.iter().enumerate() {
            let total = self.totals[index].map(|total| N(total.to_string()));
            let value = self.gauges[index].map(Extent::value).or(total);
            item.extend(value.map(|value| (metric.name.to_owned(), value)));
        }
        if !self.disks.is_empty() {
            let disks = self.disks.iter().map(|(mount, extent)| (mount.clone(), extent.value()));
            item.insert(DISKS.to_owned(), M(disks.collect()));
        }
        item
    }

    /// Selects the days of a server from one to another, both included.
    #[must_use]
    pub fn select(
        query: QueryFluentBuilder,
        server_id: &ServerId,
        [first, last]: [NaiveDate; 2],
    ) -> QueryFluentBuilder {
        query
            .key_condition_expression("server_id = :days AND recorded_at BETWEEN :first AND :last")
            .expression_attribute_values(":days", id(server_id))
            .expression_attribute_values(":first", S(first.to_string()))
            .expression_attribute_values(":last", S(last.to_string()))
    }

    /// Of the days that are selected, reads how full file systems were. Sixty whole days would take as long as the rows
    /// of one.
    #[must_use]
    pub fn only_disks(query: QueryFluentBuilder) -> QueryFluentBuilder {
        query
            .projection_expression(format!("{RECORDED_AT}, #{ROWS}, {DISKS}"))
            .expression_attribute_names(format!("#{ROWS}"), ROWS)
    }

    /// Reads a day that [`Self::select`] found, unless it has expired. What cannot be read is left out.
    #[must_use]
    pub fn from_item(item: &Item, now: DateTime<Utc>) -> Option<Self> {
        let date = text(item, RECORDED_AT)?.parse().ok().filter(|_| !is_expired(item, now))?;
        let mut day = Self { rows: whole(item.get(ROWS))?, ..Self::empty(date) };
        for (index, metric) in METRICS.iter().enumerate() {
            let value = item.get(metric.name);
            if metric.is_counter {
                day.totals[index] = whole(value);
            } else {
                day.gauges[index] = value.and_then(Extent::from_value);
            }
        }
        let disks = item.get(DISKS).and_then(|disks| disks.as_m().ok()).into_iter().flatten();
        let disks =
            disks.filter_map(|(mount, value)| Some((mount.clone(), Extent::from_value(value)?)));
        day.disks = disks.collect();
        Some(day)
    }
}

fn id(server_id: &ServerId) -> AttributeValue {
    S(format!("{DAY}{}", server_id.as_str()))
}

/// The place of a metric in [`METRICS`].
fn place(metric: &Metric) -> usize {
    METRICS.iter().position(|known| known.name == metric.name).unwrap_or_default()
}

fn whole(value: Option<&AttributeValue>) -> Option<u64> {
    value?.as_n().ok()?.parse().ok()
}

impl Extent {
    /// As a list of the least value, the mean with six digits, and the greatest: every digit is paid for.
    fn value(self) -> AttributeValue {
        let mean = format!("{:.5e}", self.mean).parse().unwrap_or(self.mean);
        let values = [self.least, mean, self.greatest];
        L(values.map(|value| N(Number::Float(value).to_string())).to_vec())
    }

    fn from_value(value: &AttributeValue) -> Option<Self> {
        let [least, mean, greatest] = value.as_l().ok()?.as_slice() else { return None };
        let number = |value: &AttributeValue| Some(Number::parse(value.as_n().ok()?)?.as_f64());
        Some(Self { least: number(least)?, mean: number(mean)?, greatest: number(greatest)? })
    }
}

/// Values, as far as they have been added.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    least: f64,
    greatest: f64,
    sum: f64,
    count: u64,
}

impl Sum {
    pub fn add(&mut self, value: f64) {
        let is_first = self.count == 0;
        self.least = if is_first { value } else { self.least.min(value) };
        self.greatest = if is_first { value } else { self.greatest.max(value) };
        self.sum += value;
        self.count += 1;
    }

    /// Of at least one value.
    #[must_use]
    pub fn extent(self) -> Extent {
        let Self { least, greatest, sum, count } = self;
        Extent { least, mean: sum / count as f64, greatest }
    }
}

/// A counter, as the row said that was received last.
#[derive(Debug, Clone, Copy)]
struct Counter {
    received_at: DateTime<Utc>,
    value: u64,
    total: u64,
}

impl Counter {
    /// Goes on to the value of the next row. A fall is a reset: the machine was started anew, and has counted from 0 since then. What
    /// was received before the last value is left out: after the agent's clock was set back, the rows of two times lie between each
    /// other, and what they say is in the later ones, too.
    fn next(self, received_at: DateTime<Utc>, value: u64) -> Self {
        if received_at < self.received_at {
            return self;
        }
        let growth = value.checked_sub(self.value).unwrap_or(value);
        Self { received_at, value, total: self.total.saturating_add(growth) }
    }
}

/// The rows of a day, as far as they have been read: the oldest first.
pub struct Fold {
    date: NaiveDate,
    rows: u64,
    gauges: [Option<Sum>; METRICS.len()],
    counters: [Option<Counter>; METRICS.len()],
    disks: BTreeMap<String, Sum>,
}

impl Fold {
    /// Of a day.
    #[must_use]
    pub const fn new(date: NaiveDate) -> Self {
        let (gauges, counters) = ([None; METRICS.len()], [None; METRICS.len()]);
        Self { date, rows: 0, gauges, counters, disks: BTreeMap::new() }
    }

    /// Adds the next row of this day.
    pub fn add(&mut self, row: &Recorded) {
        self.rows += 1;
        let received_at = row.received_at.unwrap_or(row.timestamp);
        for (index, (metric, value)) in METRICS.iter().zip(row.metrics.values()).enumerate() {
            match value {
                Some(Number::Whole(value)) if metric.is_counter => {
                    let first = Counter { received_at, value: *value, total: 0 };
                    let counter = self.counters[index].unwrap_or(first);
                    self.counters[index] = Some(counter.next(received_at, *value));
                }
                Some(value) if !metric.is_counter => {
                    self.gauges[index].get_or_insert_default().add(value.as_f64());
                }
                _ => {}
            }
        }
        for Disk { mount, percent } in &row.disks {
            if let Some(sum) = self.disks.get_mut(mount) {
                sum.add(*percent);
            } else if self.disks.len() < MAX_DISKS {
                self.disks.entry(mount.clone()).or_default().add(*percent);
            }
        }
    }

    /// The day; `None` if it has no row.
    #[must_use]
    pub fn finish(self) -> Option<Day> {
        let disks = self.disks.into_iter().map(|(mount, sum)| (mount, sum.extent()));
        let day = Day {
            rows: self.rows,
            gauges: self.gauges.map(|sum| sum.map(Sum::extent)),
            totals: self.counters.map(|counter| counter.map(|counter| counter.total)),
            disks: disks.collect(),
            ..Day::empty(self.date)
        };
        (self.rows > 0).then_some(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metrics, metric};

    const CPU: &Metric = metric!("cpu_percent");
    const BYTES: &Metric = metric!("network_rx_bytes");

    fn date() -> NaiveDate {
        "2026-01-18".parse().expect("a date")
    }

    /// The total of a counter over rows: the minute of each by the agent's clock and by the function's, and its value.
    fn total(rows: &[(i64, i64, u64)]) -> Option<u64> {
        let [midnight, _] = Day::period(date());
        let at = |minute: i64| midnight + TimeDelta::minutes(minute);
        let mut rows = rows.to_vec();
        rows.sort_unstable_by_key(|row| row.0);
        let mut fold = Fold::new(date());
        for (taken, received, value) in rows {
            fold.add(&Recorded {
                timestamp: at(taken),
                received_at: Some(at(received)),
                metrics: Metrics::from_iter([(BYTES, Number::Whole(value))]),
                disks: Vec::new(),
            });
        }
        fold.finish()?.total(BYTES)
    }

    // C15.1
    #[test]
    fn a_total_is_right_over_resets() {
        assert_eq!(total(&[]), None);
        assert_eq!(total(&[(1, 1, 500)]), Some(0));
        assert_eq!(total(&[(1, 1, 500), (2, 2, 560)]), Some(60));
        // 60, then a reset and 30, 70 more, another reset and 5.
        let resets = [(1, 1, 500), (2, 2, 560), (3, 3, 30), (4, 4, 100), (9, 9, 5)];
        assert_eq!(total(&resets), Some(60 + 30 + 70 + 5));
        let greatest = [(1, 1, 0), (2, 2, u64::MAX), (3, 3, u64::MAX - 1)];
        assert_eq!(total(&greatest), Some(u64::MAX));
    }

    // C15.1: ten per minute, by a clock that after two hours shows the second one again.
    #[test]
    fn a_clock_that_is_set_back_changes_no_total() {
        let taken = |minute: i64| if minute < 120 { minute } else { minute - 60 };
        let rows: Vec<_> =
            (0..180).map(|minute| (taken(minute), minute, 10 * minute as u64)).collect();
        assert_eq!(total(&rows), Some(1790));
    }

    // C15.1: what was kept may be sent newest first, beside what is measured meanwhile.
    #[test]
    fn what_was_kept_and_sent_later_is_in_the_total() {
        for is_newest_first in [false, true] {
            let received = |minute: i64| match (minute, is_newest_first) {
                (10..20, false) => 20 + minute,
                (10..20, true) => 50 - minute,
                _ => minute,
            };
            let rows: Vec<_> =
                (0..60).map(|minute| (minute, received(minute), 10 * minute as u64)).collect();
            assert_eq!(total(&rows), Some(590), "{is_newest_first}");
        }
    }

    // C15.1: a sender of ever new mount points makes no day large.
    #[test]
    fn a_day_is_read_as_it_was_written_and_has_a_bound() {
        let mut fold = Fold::new(date());
        let [midnight, _] = Day::period(date());
        for minute in 0..1_440 {
            fold.add(&Recorded {
                timestamp: midnight + TimeDelta::minutes(minute),
                received_at: None,
                metrics: Metrics::from_fn(|metric| {
                    Some(match metric.is_counter {
                        true => Number::Whole(1_000 * minute as u64),
                        false => Number::Float(minute as f64 / 3.0),
                    })
                }),
                disks: vec![
                    Disk { mount: "/".to_owned(), percent: 80.1 },
                    Disk { mount: format!("/{minute}"), percent: 1.0 },
                ],
            });
        }
        let day = fold.finish().expect("rows");
        assert_eq!((day.rows, day.disks.len()), (1_440, MAX_DISKS));
        let extent = day.gauge(CPU).expect("values");
        let [least, mean, greatest] = [0.0, 1_439.0 / 6.0, 1_439.0 / 3.0];
        assert_eq!((extent.least, extent.greatest), (least, greatest));
        assert!((extent.mean - mean).abs() < 1e-9, "{extent:?}");
        assert_eq!((day.gauge(BYTES), day.total(CPU)), (None, None));
        let item = day.item(&ServerId::new("web-1").expect("an id"), TimeDelta::days(400));
        let read = |now: &str| Day::from_item(&item, now.parse().expect("a time"));
        let known = read("2027-02-22T23:59:59Z").expect("a day");
        assert!((known.gauge(CPU).expect("values").mean - mean).abs() < 1e-3);
        let values = |day: &Day| (day.rows, day.totals, day.disks.len());
        assert_eq!(values(&known), values(&day));
        assert_eq!(known.disks["/"], Extent { least: 80.1, mean: 80.1, greatest: 80.1 });
        assert_eq!(read("2027-02-23T00:00:00Z"), None, "it has expired");
    }
}
