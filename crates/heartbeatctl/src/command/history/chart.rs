//! A chart of one metric for a terminal.

use announcement::words::quantity;
use chrono::{DateTime, Utc};
use page::fleet::DISK;
use page::history::series::{Bucket, Point, Summary, disk_points, gap, mounts, points, unit};
use std::collections::BTreeSet;
use tables::metric::{Metric, Rule};
use tables::row::Recorded;
use tables::{Disk, printable};

/// Rows of characters that a chart is high.
const HEIGHT: usize = 6;

/// Columns for the labels of the vertical axis.
const AXIS: usize = 9;

/// A summary of the values at a time, or since then.
type Column = (DateTime<Utc>, Summary);

/// Draws a chart of a metric by days, from the least value to the greatest; with that of `disk_percent`, one of each file system.
pub fn draw_days(
    days: &[Bucket],
    (index, metric): (usize, &Metric),
    period: [DateTime<Utc>; 2],
    columns: usize,
) -> String {
    let draw = |name: &str, of: &dyn Fn(&Bucket) -> Option<Summary>| {
        let values = days.iter().filter_map(|day| Some((day.time, of(day)?)));
        chart(name, &values.collect::<Vec<_>>(), metric, period, columns)
    };
    let own = draw(metric.name, &|day| day.summary(index));
    let disks = days.iter().flat_map(|day| day.disks.keys()).filter(|_| metric == DISK);
    let disks: BTreeSet<_> = disks.collect();
    let disks = disks
        .into_iter()
        .map(|mount| draw(&printable(&Disk::name(mount)), &|day| day.disks.get(mount).copied()));
    [own].into_iter().chain(disks).collect::<Vec<_>>().join("\n\n")
}

/// Draws a chart of a metric; with that of `disk_percent`, one of each file system.
pub fn draw(
    rows: &[Recorded],
    metric: &Metric,
    period: [DateTime<Utc>; 2],
    columns: usize,
) -> String {
    let exact = |points: Vec<Point>| -> Vec<Column> {
        let columns = points.into_iter();
        columns
            .map(|(time, value)| (time, Summary { min: value, mean: value, max: value }))
            .collect()
    };
    let own = chart(metric.name, &exact(points(rows, metric, gap(rows))), metric, period, columns);
    let mounts = if metric == DISK { mounts(rows) } else { BTreeSet::new() };
    let disks = mounts.into_iter().map(|mount| {
        let name = printable(&Disk::name(mount));
        chart(&name, &exact(disk_points(rows, mount)), metric, period, columns)
    });
    [own].into_iter().chain(disks).collect::<Vec<_>>().join("\n\n")
}

/// A chart `columns` wide: each column is filled up to its mean, and lightly up to its maximum.
fn chart(
    name: &str,
    points: &[Column],
    metric: &Metric,
    [since, until]: [DateTime<Utc>; 2],
    columns: usize,
) -> String {
    let width = columns.saturating_sub(AXIS + 1).max(10);
    let mut values = vec![Vec::new(); width];
    let length = (until - since).as_seconds_f64();
    for (time, value) in points {
        let position = (*time - since).as_seconds_f64() / length;
        let column = (position * width as f64).clamp(0.0, (width - 1) as f64) as usize;
        values[column].push(*value);
    }
    let columns: Vec<_> =
        values.iter().map(|values| (!values.is_empty()).then(|| Summary::of_all(values))).collect();
    let Some(extremes) = extremes(points) else {
        return format!("{name}: no values");
    };
    let top = if metric.rule == Rule::Percent { 100.0 } else { round_up(extremes.1.1) };
    let bottom = match extremes.0.1 {
        below if below < 0.0 => -round_up(-below),
        _ => 0.0,
    };
    let mut lines = vec![title(name, metric, extremes)];
    for row in (0..HEIGHT).rev() {
        let label = match row {
            _ if row == HEIGHT - 1 => short(top, ""),
            0 => short(bottom, ""),
            _ => String::new(),
        };
        let cells = columns.iter().map(|column| cell(column.as_ref(), [bottom, top], row));
        lines.push(format!("{label:>AXIS$}┤{}", cells.collect::<String>()).trim_end().to_owned());
    }
    lines.push(times(since, until, width));
    lines.join("\n")
}

/// The smallest and the largest value.
fn extremes(points: &[Column]) -> Option<(Point, Point)> {
    let least = points.iter().map(|(time, values)| (*time, values.min));
    let greatest = points.iter().map(|(time, values)| (*time, values.max));
    let min = least.min_by(|a, b| a.1.total_cmp(&b.1))?;
    let max = greatest.max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((min, max))
}

fn title(name: &str, metric: &Metric, (min, max): (Point, Point)) -> String {
    let unit = unit(metric);
    let number = |value| match metric.rule {
        Rule::Percent => quantity(metric, value, None),
        _ => short(value, &unit),
    };
    let at = |(time, value): Point| format!("{} ({})", number(value), time.format("%m-%d %H:%M"));
    format!("{name}  min {}  max {}", at(min), at(max))
}

/// One character: full up to the mean, light up to the maximum, in steps of an eighth.
fn cell(column: Option<&Summary>, [bottom, top]: [f64; 2], row: usize) -> char {
    const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(column) = column else {
        return ' ';
    };
    let eighths = |value: f64| {
        let height = (value - bottom) / (top - bottom) * (HEIGHT * 8) as f64;
        (height.round() as usize).saturating_sub(row * 8).min(8)
    };
    match (eighths(column.mean), eighths(column.max)) {
        // A value of nearly nothing is no gap.
        (0, 0) if row == 0 => '▁',
        (0, 0) => ' ',
        (0, _) => '░',
        (mean, _) => LEVELS[mean],
    }
}

/// The horizontal axis: start, middle and end.
fn times(since: DateTime<Utc>, until: DateTime<Utc>, width: usize) -> String {
    let label = |time: DateTime<Utc>| time.format("%m-%d %H:%M").to_string();
    let [start, middle] = [since, since + (until - since) / 2].map(label);
    let end = format!("{} UTC", label(until));
    let spare = width.saturating_sub(start.len() + middle.len() + end.len());
    let pad = " ".repeat(AXIS + 1);
    if spare < 4 {
        return format!("{pad}{start}");
    }
    let left = " ".repeat((width / 2).saturating_sub(start.len() + middle.len() / 2).max(1));
    let right = width.saturating_sub(start.len() + left.len() + middle.len() + end.len());
    format!("{pad}{start}{left}{middle}{}{end}", " ".repeat(right.max(1)))
}

/// The next number of the form 1, 2, 2.5 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0].into_iter().find(|step| value <= step * power * 1.000_001);
    step.unwrap_or(10.0) * power
}

/// A number in at most eight characters and its unit: `12.5 %`, `3.2 kB/s`, `1.5e25`.
fn short(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 5] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
    if value >= 1e15 {
        return format!("{value:.1e} {unit}").trim_end().to_owned();
    }
    let (size, prefix) = PREFIXES.into_iter().find(|(size, _)| value >= *size).unwrap_or((1.0, ""));
    let scaled = value / size;
    let rounded = if scaled < 10.0 {
        (scaled * 100.0).round() / 100.0
    } else {
        (scaled * 10.0).round() / 10.0
    };
    let gap = if unit.is_empty() { "" } else { " " };
    format!("{rounded}{gap}{prefix}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use page::fleet::{CPU, LOAD};
    use tables::{Metrics, Number, metric};

    #[test]
    fn a_chart_has_axes_extremes_and_gaps() {
        let since: DateTime<Utc> = "2026-01-18T00:00:00Z".parse().expect("a time");
        let until = since + TimeDelta::minutes(20);
        let values = [0.0, 50.0, 99.96, f64::NAN, 25.0, 25.0];
        let rows: Vec<_> = values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
            .map(|(minute, value)| Recorded {
                timestamp: since + TimeDelta::minutes(minute as i64 * 2),
                received_at: None,
                metrics: Metrics::from_fn(|metric| {
                    (metric == CPU).then_some(Number::Float(*value))
                }),
                disks: Vec::new(),
            })
            .collect();
        let expected = "\
cpu_percent  min 0 % (01-18 00:00)  max 99.9 % (01-18 00:04)
      100┤  █
         ┤  █
         ┤  █
         ┤ ██
         ┤ ██ ▄▄
        0┤▁██ ██
          01-18 00:00";
        assert_eq!(draw(&rows, CPU, [since, until], 20), expected);
        assert_eq!(draw(&rows, LOAD, [since, until], 20), "load_1m: no values");
    }

    // C3.10
    #[test]
    fn a_chart_of_values_below_zero_begins_below_zero() {
        let since: DateTime<Utc> = "2026-01-18T00:00:00Z".parse().expect("a time");
        let temperature = metric!("temperature_celsius");
        let rows = [-10.0, 0.0, 10.0].iter().zip(0..).map(|(value, minute)| Recorded {
            timestamp: since + TimeDelta::minutes(minute * 2),
            received_at: None,
            metrics: Metrics::from_iter([(temperature, Number::Float(*value))]),
            disks: Vec::new(),
        });
        let rows: Vec<_> = rows.collect();
        let expected = "\
temperature_celsius  min -10 °C (01-18 00:00)  max 10 °C (01-18 00:04)
       10┤  █
         ┤  █
         ┤  █
         ┤ ██
         ┤ ██
      -10┤▁██
          01-18 00:00";
        let period = [since, since + TimeDelta::minutes(20)];
        assert_eq!(draw(&rows, temperature, period, 20), expected);
    }

    #[test]
    fn numbers_are_short_and_axes_end_at_round_ones() {
        for (value, expected) in [
            (0.0, "0"),
            (0.504, "0.5"),
            (12.34, "12.3"),
            (999.9, "999.9"),
            (1_234.0, "1.23k"),
            (5e6, "5M"),
            (9.9e125, "9.9e125"),
        ] {
            assert_eq!(short(value, ""), expected);
        }
        assert_eq!(short(366_100.0, "B/s"), "366.1 kB/s");
        for (value, expected) in [
            (0.0, 1.0),
            (0.3, 0.5),
            (1.0, 1.0),
            (2.2, 2.5),
            (70.0, 100.0),
            (f64::MAX, f64::INFINITY),
        ] {
            let rounded = round_up(value);
            assert!((rounded - expected).abs() < 1e-9 || value == f64::MAX, "{value}: {rounded}");
        }
    }
}
