//! Rows as values over time: counters become rates, and missing minutes gaps.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use tables::Number;
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
}

impl Summary {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        Self {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            // Divided first, so that no sum is infinite.
            mean: values.iter().map(|value| value / count).sum(),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// The time between two rows from which readings are missing: three times what is usual.
pub fn gap(rows: &[Recorded]) -> TimeDelta {
    let mut steps: Vec<_> = rows
        .windows(2)
        .map(|pair| pair[1].timestamp - pair[0].timestamp)
        .collect();
    steps.sort_unstable();
    let median = steps.get(steps.len() / 2).copied();
    SHORTEST_GAP.max(median.unwrap_or_default() * 3)
}

/// The values of a gauge, or the rates of a counter per second. A rate stands at its end; there is none across a gap, or
/// when the counter has fallen because the machine was restarted.
pub fn points(rows: &[Recorded], metric: &Metric, gap: TimeDelta) -> Vec<Point> {
    let values = rows.iter().filter_map(|row| {
        let value = row.metrics.value(metric)?;
        Some((row.timestamp, value))
    });
    if !metric.is_counter {
        return values.map(|(time, value)| (time, value.as_f64())).collect();
    }
    let mut last: Option<(DateTime<Utc>, Number)> = None;
    let rates = values.filter_map(|(time, value)| {
        let (before, base) = last.replace((time, value))?;
        let seconds = (time - before).as_seconds_f64();
        let growth = match (base, value) {
            // Exact, however large.
            (Number::Whole(base), Number::Whole(value)) => value.checked_sub(base)? as f64,
            (base, value) => value.as_f64() - base.as_f64(),
        };
        (seconds > 0.0 && time - before < gap && growth >= 0.0).then(|| (time, growth / seconds))
    });
    rates.collect()
}

/// The unit of a metric's points.
#[must_use]
pub fn unit(metric: &Metric) -> String {
    let per_second = if metric.is_counter { "/s" } else { "" };
    format!("{}{per_second}", metric.unit.symbol())
}

/// Summaries of each length of time that has a value, oldest first.
pub fn buckets(rows: &[Recorded], metrics: &[&Metric], every: TimeDelta) -> Vec<Bucket> {
    let gap = gap(rows);
    let every = every.num_milliseconds().max(1);
    let mut values: BTreeMap<i64, Vec<Vec<f64>>> = BTreeMap::new();
    for (index, metric) in metrics.iter().enumerate() {
        for (time, value) in points(rows, metric, gap) {
            let start = time.timestamp_millis().div_euclid(every) * every;
            let bucket = values
                .entry(start)
                .or_insert_with(|| vec![Vec::new(); metrics.len()]);
            bucket[index].push(value);
        }
    }
    let buckets = values.into_iter().filter_map(|(start, values)| {
        let summary = |values: &Vec<f64>| (!values.is_empty()).then(|| Summary::of(values));
        Some(Bucket {
            time: DateTime::from_timestamp_millis(start)?,
            metrics: values.iter().map(summary).collect(),
        })
    });
    buckets.collect()
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
        };
        values.iter().map(row).collect()
    }

    fn rates(values: &[(i64, u64)]) -> Vec<(i64, f64)> {
        let rows = rows(values, "network_rx_bytes");
        let metric = Metric::find("network_rx_bytes").expect("a metric");
        let points = points(&rows, metric, gap(&rows));
        points
            .into_iter()
            .map(|(time, rate)| ((time - at(0)).num_seconds(), rate))
            .collect()
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

    #[test]
    fn buckets_start_at_multiples_and_keep_the_peak() {
        let rows = rows(
            &[(0, 1), (60, 99), (120, 2), (86_400 * 2, 7)],
            "cpu_percent",
        );
        let metrics = ["cpu_percent", "load_1m"].map(|name| Metric::find(name).expect("a metric"));
        let buckets = buckets(&rows, &metrics, TimeDelta::days(1));
        // 10:30 on 18 January.
        let [first, second] = &buckets[..] else {
            panic!("{buckets:?}")
        };
        assert_eq!(first.time.to_rfc3339(), "2026-01-18T00:00:00+00:00");
        assert_eq!(second.time.to_rfc3339(), "2026-01-20T00:00:00+00:00");
        let summary = first.metrics[0].expect("values");
        assert_eq!((summary.min, summary.mean, summary.max), (1.0, 34.0, 99.0));
        assert_eq!(first.metrics[1], None);
    }
}
