//! Rows as values over time: counters become rates, and missing minutes gaps.

use crate::fleet::DISK;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tables::Number;
use tables::day::{Day, Extent, Sum};
use tables::metric::Metric;
use tables::row::Recorded;

/// The least time without a row that is a gap: two missing minutes.
const SHORTEST_GAP: TimeDelta = TimeDelta::seconds(180);

/// One value at a time.
pub type Point = (DateTime<Utc>, f64);

/// All values of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub min: f64,
    pub mean: f64,
    pub max: f64,
}

/// A part of the time, with a summary of each metric that it has, in the order that was asked for.
#[derive(Debug, PartialEq)]
pub struct Bucket {
    /// Its start, a multiple of its length since 1970.
    pub time: DateTime<Utc>,
    pub metrics: Vec<Option<Summary>>,
    /// Of each file system that it has, by its mount point.
    pub disks: BTreeMap<String, Summary>,
    /// Of a day: how much each counter grew, in the order of `metrics`, which has none of it. Empty for any other time.
    pub totals: Vec<Option<Total>>,
}

/// How much a counter grew in a day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Total {
    /// Per second of the day, as far as it has passed.
    pub mean: f64,
    pub total: u64,
}

impl Bucket {
    /// Of a day, as of a time.
    pub fn of_day(day: &Day, metrics: &[&'static Metric], now: DateTime<Utc>) -> Self {
        let [time, end] = Day::period(day.date);
        let seconds = (end.min(now) - time).as_seconds_f64().max(1.0);
        let total = |total: u64| Total { mean: total as f64 / seconds, total };
        Self {
            time,
            metrics: metrics.iter().map(|metric| day.gauge(metric).map(Summary::from)).collect(),
            disks: match metrics.contains(&DISK) {
                true => {
                    day.disks.iter().map(|(mount, all)| (mount.clone(), (*all).into())).collect()
                }
                false => BTreeMap::new(),
            },
            totals: metrics.iter().map(|metric| day.total(metric).map(total)).collect(),
        }
    }

    /// Of a metric: a counter of a day has its mean only.
    #[must_use]
    pub fn summary(&self, index: usize) -> Option<Summary> {
        let total = self.totals.get(index).copied().flatten();
        self.metrics[index].or(total.map(|Total { mean, .. }| Summary {
            min: mean,
            mean,
            max: mean,
        }))
    }
}

impl From<Extent> for Summary {
    fn from(Extent { least, mean, greatest }: Extent) -> Self {
        Self { min: least, mean, max: greatest }
    }
}

impl Summary {
    /// Of at least one summary.
    pub fn of_all(parts: &[Self]) -> Self {
        let count = parts.len() as f64;
        Self {
            min: parts.iter().map(|part| part.min).fold(f64::INFINITY, f64::min),
            // Divided first, so that no sum is infinite.
            mean: parts.iter().map(|part| part.mean / count).sum(),
            max: parts.iter().map(|part| part.max).fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// The time between two rows from which readings are missing: three times what is usual.
pub fn gap(rows: &[Recorded]) -> TimeDelta {
    gap_between(rows.iter().map(|row| row.timestamp).collect())
}

fn gap_between(mut times: Vec<DateTime<Utc>>) -> TimeDelta {
    times.sort_unstable();
    let mut steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    let median = steps.get(steps.len() / 2).copied();
    SHORTEST_GAP.max(median.unwrap_or_default() * 3)
}

/// The values of a gauge, or the rates of a counter per second, oldest first. A rate stands at its end; there is none across a
/// gap, or when the counter has fallen because the machine was restarted.
pub fn points(rows: &[Recorded], metric: &Metric, gap: TimeDelta) -> Vec<Point> {
    let values = rows.iter().filter_map(|row| Some((row, row.metrics.value(metric)?)));
    if metric.is_counter {
        let readings = values.map(|(row, value)| Reading::new(row, value));
        return rates(readings.collect(), gap);
    }
    values.map(|(row, value)| (row.timestamp, value.as_f64())).collect()
}

/// How full a file system was, oldest first.
pub fn disk_points(rows: &[Recorded], mount: &str) -> Vec<Point> {
    let disk = |row: &Recorded| {
        let disk = row.disks.iter().find(|disk| disk.mount == mount)?;
        Some((row.timestamp, disk.percent))
    };
    rows.iter().filter_map(disk).collect()
}

/// The mount points of all file systems in these rows.
pub fn mounts(rows: &[Recorded]) -> BTreeSet<&str> {
    rows.iter().flat_map(|row| &row.disks).map(|disk| disk.mount.as_str()).collect()
}

/// A reading of a counter.
#[derive(Clone, Copy)]
struct Reading {
    received_at: DateTime<Utc>,
    timestamp: DateTime<Utc>,
    value: Number,
}

impl Reading {
    fn new(row: &Recorded, value: Number) -> Self {
        Self {
            received_at: row.received_at.unwrap_or(row.timestamp),
            timestamp: row.timestamp,
            value,
        }
    }
}

/// The growth per second between readings that were received one after another. After the agent's clock was set back, the rows
/// of two times lie between each other, and neighbours by timestamp have nothing to do with each other.
fn rates(mut readings: Vec<Reading>, gap: TimeDelta) -> Vec<Point> {
    readings.sort_by_key(|reading| (reading.received_at, reading.timestamp));
    let rates = readings.windows(2).filter_map(|pair| {
        let [first, second] = [pair[0], pair[1]];
        // What was kept may have been sent newest first.
        let [before, after] =
            if first.timestamp <= second.timestamp { [first, second] } else { [second, first] };
        let length = after.timestamp - before.timestamp;
        let growth = match (before.value, after.value) {
            // Exact, however large.
            (Number::Whole(base), Number::Whole(value)) => value.checked_sub(base)? as f64,
            (base, value) => value.as_f64() - base.as_f64(),
        };
        let seconds = length.as_seconds_f64();
        (seconds > 0.0 && length < gap && growth >= 0.0)
            .then(|| (after.timestamp, growth / seconds))
    });
    let mut points: Vec<_> = rates.collect();
    points.sort_by_key(|(time, _)| *time);
    points
}

/// The unit of a metric's points.
#[must_use]
pub fn unit(metric: &Metric) -> String {
    let per_second = if metric.is_counter { "/s" } else { "" };
    format!("{}{per_second}", metric.unit.symbol())
}

/// Summaries of each length of time that has a value. Rows are added one at a time, and only what rates need is kept of them.
pub struct Buckets {
    metrics: Vec<&'static Metric>,
    /// The length, milliseconds.
    every: i64,
    /// The sums of each metric and of each file system, by the start of their bucket.
    sums: BTreeMap<i64, Sums>,
    /// The readings of each metric that is a counter.
    counters: Vec<Vec<Reading>>,
    times: Vec<DateTime<Utc>>,
}

struct Sums {
    metrics: Vec<Option<Sum>>,
    disks: BTreeMap<String, Sum>,
}

impl Buckets {
    pub fn new(metrics: &[&'static Metric], every: TimeDelta) -> Self {
        Self {
            metrics: metrics.to_vec(),
            every: every.num_milliseconds().max(1),
            sums: BTreeMap::new(),
            counters: vec![Vec::new(); metrics.len()],
            times: Vec::new(),
        }
    }

    pub fn add(&mut self, row: &Recorded) {
        self.times.push(row.timestamp);
        for index in 0..self.metrics.len() {
            let metric = self.metrics[index];
            match row.metrics.value(metric) {
                None => {}
                Some(value) if metric.is_counter => {
                    self.counters[index].push(Reading::new(row, value));
                }
                Some(value) => self.add_point(index, (row.timestamp, value.as_f64())),
            }
        }
        for disk in &row.disks {
            let disks = &mut self.sums_at(row.timestamp).disks;
            match disks.get_mut(&disk.mount) {
                Some(sum) => sum.add(disk.percent),
                None => disks.entry(disk.mount.clone()).or_default().add(disk.percent),
            }
        }
    }

    fn sums_at(&mut self, time: DateTime<Utc>) -> &mut Sums {
        let start = time.timestamp_millis().div_euclid(self.every) * self.every;
        let none = || Sums { metrics: vec![None; self.metrics.len()], disks: BTreeMap::new() };
        self.sums.entry(start).or_insert_with(none)
    }

    fn add_point(&mut self, index: usize, (time, value): Point) {
        self.sums_at(time).metrics[index].get_or_insert_default().add(value);
    }

    /// The buckets, oldest first.
    pub fn finish(mut self) -> Vec<Bucket> {
        let gap = gap_between(std::mem::take(&mut self.times));
        for index in 0..self.metrics.len() {
            let readings = std::mem::take(&mut self.counters[index]);
            for point in rates(readings, gap) {
                self.add_point(index, point);
            }
        }
        let buckets = self.sums.into_iter().filter_map(|(start, sums)| {
            Some(Bucket {
                time: DateTime::from_timestamp_millis(start)?,
                metrics: sums.metrics.into_iter().map(|sum| Some(sum?.extent().into())).collect(),
                disks: sums
                    .disks
                    .into_iter()
                    .map(|(mount, sum)| (mount, sum.extent().into()))
                    .collect(),
                totals: Vec::new(),
            })
        });
        buckets.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::Metrics;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_768_732_200 + seconds, 0).expect("a time")
    }

    fn rows(values: &[(i64, u64)], name: &str) -> Vec<Recorded> {
        let row = |(seconds, value): &(i64, u64)| Recorded {
            timestamp: at(*seconds),
            received_at: None,
            metrics: Metrics::from_fn(|metric| {
                (metric.name == name).then_some(Number::Whole(*value))
            }),
            disks: Vec::new(),
        };
        values.iter().map(row).collect()
    }

    fn rates(values: &[(i64, u64)]) -> Vec<(i64, f64)> {
        let rows = rows(values, "network_rx_bytes");
        let metric = Metric::find("network_rx_bytes").expect("a metric");
        let points = points(&rows, metric, gap(&rows));
        points.into_iter().map(|(time, rate)| ((time - at(0)).num_seconds(), rate)).collect()
    }

    #[test]
    fn counters_become_rates_and_a_fall_is_a_gap() {
        let restarted = [(0, 600), (60, 1200), (120, 30), (180, 90), (180, 95)];
        assert_eq!(rates(&restarted), [(60, 10.0), (180, 1.0)]);
        // Ten missing minutes.
        let gap = [(0, 0), (60, 60), (660, 660), (720, 720)];
        assert_eq!(rates(&gap), [(60, 1.0), (720, 1.0)]);
        // One missing minute, and a server that reports each quarter of an hour.
        assert_eq!(rates(&[(0, 0), (120, 240)]), [(120, 2.0)]);
        let rare = [(0, 0), (900, 900), (1800, 1800)];
        assert_eq!(rates(&rare), [(900, 1.0), (1800, 1.0)]);
        assert_eq!(rates(&[(0, u64::MAX - 60), (60, u64::MAX)]), [(60, 1.0)]);
        assert!(rates(&[]).is_empty());
    }

    // C13.9
    #[test]
    fn a_clock_that_is_set_back_changes_no_rate() {
        // Ten bytes per second, by a clock that after two hours of readings shows the second one again.
        let row = |minute: i64| Recorded {
            timestamp: at(60 * if minute < 120 { minute } else { minute - 60 }),
            received_at: Some(at(60 * minute)),
            metrics: Metrics::from_fn(|metric| {
                (metric.name == "network_rx_bytes").then_some(Number::Whole(600 * minute as u64))
            }),
            disks: Vec::new(),
        };
        let mut rows: Vec<_> = (0..180).map(row).collect();
        rows.sort_by_key(|row| row.timestamp);
        let metric = Metric::find("network_rx_bytes").expect("a metric");
        let rates = points(&rows, metric, gap(&rows));
        assert_eq!(rates.len(), 178);
        assert!(rates.iter().all(|(_, rate)| *rate == 10.0), "{rates:?}");
        assert!(rates.is_sorted_by_key(|(time, _)| *time));
    }

    // C13.9
    #[test]
    fn what_was_kept_and_sent_later_has_its_rates() {
        for is_newest_first in [false, true] {
            let row = |minute: i64| Recorded {
                timestamp: at(60 * minute),
                // From the tenth minute to the twentieth, nothing could be sent.
                received_at: Some(match (minute, is_newest_first) {
                    (10..20, false) => at(1201 + minute),
                    (10..20, true) => at(1230 - minute),
                    _ => at(60 * minute),
                }),
                metrics: Metrics::from_fn(|metric| {
                    (metric.name == "network_rx_bytes")
                        .then_some(Number::Whole(600 * minute as u64))
                }),
                disks: Vec::new(),
            };
            let rows: Vec<_> = (0..30).map(row).collect();
            let metric = Metric::find("network_rx_bytes").expect("a metric");
            let rates = points(&rows, metric, gap(&rows));
            assert!(rates.len() > 25, "{rates:?}");
            assert!(rates.iter().all(|(_, rate)| *rate == 10.0), "{rates:?}");
        }
    }

    #[test]
    fn buckets_start_at_multiples_and_keep_the_peak() {
        let rows = rows(&[(0, 1), (60, 99), (120, 2), (86_400 * 2, 7)], "cpu_percent");
        let metrics = ["cpu_percent", "load_1m"].map(|name| Metric::find(name).expect("a metric"));
        let mut collected = Buckets::new(&metrics, TimeDelta::days(1));
        rows.iter().for_each(|row| collected.add(row));
        let buckets = collected.finish();
        // 10:30 on 18 January.
        let [first, second] = &buckets[..] else { panic!("{buckets:?}") };
        assert_eq!(first.time.to_rfc3339(), "2026-01-18T00:00:00+00:00");
        assert_eq!(second.time.to_rfc3339(), "2026-01-20T00:00:00+00:00");
        let summary = first.metrics[0].expect("values");
        assert_eq!((summary.min, summary.mean, summary.max), (1.0, 34.0, 99.0));
        assert_eq!(first.metrics[1], None);
    }
}
