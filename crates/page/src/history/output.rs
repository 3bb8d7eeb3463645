//! Rows and buckets for programs.

use super::series::{Bucket, Summary, Total, mounts};
use crate::json::number;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use tables::metric::Metric;
use tables::row::Recorded;
use tables::time::format;
use tables::{Disk, Number, printable, printable_json};

/// A line per row. What is absent is empty. After the metrics, there is a column for each file system.
pub fn csv_of_rows(
    out: &mut impl Write,
    rows: &[Recorded],
    metrics: &[&'static Metric],
) -> io::Result<()> {
    let mounts = mounts(rows);
    write!(out, "timestamp,received_at")?;
    for metric in metrics {
        write!(out, ",{}", metric.name)?;
    }
    for mount in &mounts {
        write!(out, ",{}", column(mount, ""))?;
    }
    for row in rows {
        write!(out, "\n{},", format(row.timestamp))?;
        if let Some(time) = row.received_at {
            write!(out, "{}", format(time))?;
        }
        let values = metrics.iter().map(|metric| row.metrics.value(metric));
        let percents = mounts.iter().map(|mount| {
            let disk = row.disks.iter().find(|disk| disk.mount == *mount);
            disk.map(|disk| Number::Float(disk.percent))
        });
        for value in values.chain(percents) {
            match value {
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
        let disks = row.disks.iter().map(|disk| (disk.mount.as_str(), disk.percent));
        let disks = (!row.disks.is_empty()).then(|| ("disks", Field::Disks(disks.collect())));
        present_times.chain(values).chain(disks).collect()
    })
}

/// A line per bucket. What is absent is empty.
pub fn csv_of_buckets(
    out: &mut impl Write,
    buckets: &[Bucket],
    metrics: &[&'static Metric],
) -> io::Result<()> {
    let mounts: BTreeSet<_> = buckets.iter().flat_map(|bucket| bucket.disks.keys()).collect();
    let has_total = |metric: &Metric| {
        metric.is_counter && buckets.iter().any(|bucket| !bucket.totals.is_empty())
    };
    write!(out, "time")?;
    for metric in metrics {
        let name = metric.name;
        match has_total(metric) {
            true => write!(out, ",{name}_mean,{name}_total")?,
            false => write!(out, ",{name}_min,{name}_mean,{name}_max")?,
        }
    }
    for mount in &mounts {
        let [min, mean, max] = ["_min", "_mean", "_max"].map(|part| column(mount, part));
        write!(out, ",{min},{mean},{max}")?;
    }
    for bucket in buckets {
        write!(out, "\n{}", format(bucket.time))?;
        for (index, metric) in metrics.iter().enumerate() {
            match bucket.totals.get(index).filter(|_| metric.is_counter) {
                Some(Some(Total { mean, total })) => {
                    write!(out, ",{},{total}", Number::Float(*mean))?
                }
                Some(None) => write!(out, ",,")?,
                None => write!(out, ",{}", cells(bucket.metrics[index].as_ref()))?,
            }
        }
        for mount in &mounts {
            write!(out, ",{}", cells(bucket.disks.get(*mount)))?;
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
        let summaries = metrics.iter().enumerate().filter_map(|(index, metric)| {
            let total = bucket.totals.get(index).copied().flatten().map(Field::Total);
            Some((metric.name, bucket.metrics[index].map(Field::Summary).or(total)?))
        });
        let disks = &bucket.disks;
        let disks = (!disks.is_empty()).then_some(("disks", Field::DiskSummaries(disks)));
        [time].into_iter().chain(summaries).chain(disks).collect()
    })
}

/// The least value, the mean and the greatest.
fn cells(summary: Option<&Summary>) -> String {
    let Some(Summary { min, mean, max }) = summary else {
        return ",,".to_owned();
    };
    let [min, mean, max] = [*min, *mean, *max].map(Number::Float);
    format!("{min},{mean},{max}")
}

/// The name of a file system's column, in quotes if it needs them.
fn column(mount: &str, part: &str) -> String {
    let name = printable(&format!("{}{part}", Disk::name(mount)));
    if name.contains([',', '"']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name }
}

/// A member of an object.
#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    Time(String),
    Value(Value),
    Summary(Summary),
    Total(Total),
    Disks(BTreeMap<&'a str, f64>),
    DiskSummaries(&'a BTreeMap<String, Summary>),
}

/// One entry at a time, because all of them as JSON would need much memory. Members keep their order.
fn array<'a, T>(
    out: &mut impl Write,
    entries: &'a [T],
    members: impl Fn(&'a T) -> Vec<(&'static str, Field<'a>)>,
) -> io::Result<()> {
    write!(out, "[")?;
    let mut json = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        writeln!(out, "{}", if index > 0 { "," } else { "" })?;
        json.clear();
        serde_json::Serializer::new(&mut json).collect_map(members(entry))?;
        match str::from_utf8(&json) {
            // Mount points are the only text that came from an agent.
            Ok(text) if !json.iter().all(|byte| (b' '..=b'~').contains(byte)) => {
                out.write_all(printable_json(text).as_bytes())?;
            }
            _ => out.write_all(&json)?,
        }
    }
    write!(out, "{}]", if entries.is_empty() { "" } else { "\n" })
}
