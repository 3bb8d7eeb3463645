//! Rows and buckets for programs.

use super::series::{Bucket, Summary};
use crate::json::number;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::io::{self, Write};
use tables::Number;
use tables::metric::Metric;
use tables::row::Recorded;
use tables::time::format;

/// A line per row. What is absent is empty. No value needs quotes.
pub fn csv_of_rows(
    out: &mut impl Write,
    rows: &[Recorded],
    metrics: &[&'static Metric],
) -> io::Result<()> {
    write!(out, "timestamp,received_at")?;
    for metric in metrics {
        write!(out, ",{}", metric.name)?;
    }
    for row in rows {
        write!(out, "\n{},", format(row.timestamp))?;
        if let Some(time) = row.received_at {
            write!(out, "{}", format(time))?;
        }
        for metric in metrics {
            match row.metrics.value(metric) {
                Some(value) => write!(out, ",{value}")?,
                None => write!(out, ",")?,
            }
        }
    }
    Ok(())
}

/// An object per row, on a line of its own. What is absent is missing.
pub fn json_of_rows(
    out: &mut impl Write,
    rows: &[Recorded],
    metrics: &[&'static Metric],
) -> io::Result<()> {
    array(out, rows, |row| {
        let times = [("timestamp", Some(row.timestamp)), ("received_at", row.received_at)];
        let present_times =
            times.into_iter().filter_map(|(name, time)| Some((name, Field::Time(format(time?)))));
        let values = metrics.iter().filter_map(|metric| {
            Some((metric.name, Field::Value(number(row.metrics.value(metric)?))))
        });
        present_times.chain(values).collect()
    })
}

/// A line per bucket. What is absent is empty.
pub fn csv_of_buckets(
    out: &mut impl Write,
    buckets: &[Bucket],
    metrics: &[&'static Metric],
) -> io::Result<()> {
    write!(out, "time")?;
    for metric in metrics {
        let name = metric.name;
        write!(out, ",{name}_min,{name}_mean,{name}_max")?;
    }
    for bucket in buckets {
        write!(out, "\n{}", format(bucket.time))?;
        for summary in &bucket.metrics {
            match summary {
                Some(Summary { min, mean, max }) => {
                    let [min, mean, max] = [*min, *mean, *max].map(Number::Float);
                    write!(out, ",{min},{mean},{max}")?;
                }
                None => write!(out, ",,,")?,
            }
        }
    }
    Ok(())
}

/// An object per bucket, on a line of its own. What is absent is missing.
pub fn json_of_buckets(
    out: &mut impl Write,
    buckets: &[Bucket],
    metrics: &[&'static Metric],
) -> io::Result<()> {
    array(out, buckets, |bucket| {
        let time = ("time", Field::Time(format(bucket.time)));
        let summaries = metrics
            .iter()
            .zip(&bucket.metrics)
            .filter_map(|(metric, summary)| Some((metric.name, Field::Summary((*summary)?))));
        [time].into_iter().chain(summaries).collect()
    })
}

/// A member of an object.
#[derive(Serialize)]
#[serde(untagged)]
enum Field {
    Time(String),
    Value(Value),
    Summary(Summary),
}

/// One entry at a time, because all of them as JSON would need much memory. Members keep their order.
fn array<T>(
    out: &mut impl Write,
    entries: &[T],
    members: impl Fn(&T) -> Vec<(&'static str, Field)>,
) -> io::Result<()> {
    write!(out, "[")?;
    for (index, entry) in entries.iter().enumerate() {
        writeln!(out, "{}", if index > 0 { "," } else { "" })?;
        let mut object = serde_json::Serializer::new(&mut *out);
        object.collect_map(members(entry))?;
    }
    write!(out, "{}]", if entries.is_empty() { "" } else { "\n" })
}
