//! Which charts a server has, one for each question, and what is said in words beside them.

use crate::fleet::{DISK, MEMORY, Server, UPTIME};
use crate::history::series;
use serde::Serialize;
use tables::metric::{self, METRICS, Metric, Rule, View};
use tables::{Disk, printable};
use verdict::forecast;

const MEMORY_TOTAL: &Metric = Metric::named("memory_total_mb");
const MEMORY_USED: &Metric = Metric::named("memory_used_mb");

/// A chart, as the script draws it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    label: String,
    unit: String,
    is_percent: bool,
    /// The last values that have no line.
    words: String,
    series: Vec<Series>,
}

/// A line of a chart.
#[derive(Serialize)]
struct Series {
    /// The name of a metric, or of a file system's share.
    name: String,
    /// What tells it from the others of its chart.
    label: String,
    /// The value from which it is high. A limit on a counter is on its value, and the chart shows its rate.
    limit: Option<f64>,
}

/// What charts show: the metrics with a line, and the uptime, which starts anew with a restart.
pub fn drawn() -> Vec<&'static Metric> {
    let is_drawn = |metric: &&Metric| metric.view != View::Words || metric.name == UPTIME.name;
    METRICS.iter().filter(is_drawn).collect()
}

/// The charts of a server. A metric that has no place gets one of its own if the server sends it.
pub fn of(server: &Server) -> Vec<Chart> {
    let others = METRICS
        .iter()
        .filter(|metric| metric.view == View::Own && server.value(metric).is_some())
        .map(|metric| chart(Some(server), capitalized(&metric.label()), &[metric]));
    usual(Some(server)).chain(others).collect()
}

/// The charts that every server has, also without a server's limits and words.
pub fn usual(server: Option<&Server>) -> impl Iterator<Item = Chart> {
    metric::Chart::ALL.into_iter().map(move |usual| {
        let metrics: Vec<_> = usual.metrics().collect();
        chart(server, usual.label().to_owned(), &metrics)
    })
}

fn chart(server: Option<&Server>, label: String, metrics: &[&'static Metric]) -> Chart {
    let series = metrics.iter().map(|metric| Series {
        name: metric.name.to_owned(),
        label: metric.label(),
        limit: server.and_then(|server| server.limit(metric)).filter(|_| !metric.is_counter),
    });
    let disks = server.filter(|_| metrics == [DISK]);
    let disks = disks.into_iter().flat_map(|server| {
        server.disks().iter().map(|disk| Series {
            name: Disk::name(&disk.mount),
            label: printable(&disk.mount),
            limit: server.disk_limit(&disk.mount),
        })
    });
    let words = match (metrics, server) {
        ([metric], Some(server)) if *metric == MEMORY => memory(server),
        ([metric], Some(server)) if *metric == DISK => disk(server),
        _ => String::new(),
    };
    Chart {
        label,
        unit: series::unit(metrics[0]),
        is_percent: metrics[0].rule == Rule::Percent,
        words,
        series: series.chain(disks).collect(),
    }
}

fn capitalized(label: &str) -> String {
    let mut characters = label.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

fn memory(server: &Server) -> String {
    let value = |metric| server.value(metric).map(|megabytes| gigabytes(megabytes / 1024.0));
    match (value(MEMORY_USED), value(MEMORY_TOTAL)) {
        (Some(used), Some(total)) => format!("{used} of {total} used"),
        (None, Some(total)) => format!("{total} in all"),
        (Some(used), None) => format!("{used} used"),
        (None, None) => String::new(),
    }
}

/// The free space of the file system that `disk_total_gb` describes, and when one is full at this pace.
fn disk(server: &Server) -> String {
    let free = server.free_gb().map(|free| format!("{} free", gigabytes(free)));
    let today = server.at.date_naive();
    let full = server.stored.full_on.iter();
    let full = full.map(|(mount, day)| (mount, (*day - today).num_days()));
    let full = full.filter(|(_, days)| *days >= 0);
    let full = full.map(|(mount, days)| forecast::say(mount, None, days));
    free.into_iter().chain(full).collect::<Vec<_>>().join("; ")
}

/// A size in a few characters.
pub fn gigabytes(value: f64) -> String {
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} GB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Fleet;
    use tables::server::{Reading, Server as StoredServer};
    use tables::{Metrics, Number};

    fn charts(reading: Reading) -> Vec<Chart> {
        charts_of(StoredServer {
            server_id: "web-1".to_owned(),
            reading: Some(reading),
            ..StoredServer::default()
        })
    }

    fn charts_of(stored: StoredServer) -> Vec<Chart> {
        let at = "2026-01-18T10:30:00Z".parse().expect("a time");
        of(&Fleet::new(vec![stored], None, at).servers[0])
    }

    // C13.7
    #[test]
    fn every_metric_has_a_place_once_and_what_is_not_sent_has_no_chart() {
        let labels = |charts: &[Chart]| {
            let labels = charts.iter().map(|chart| chart.label.clone());
            labels.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(&charts(Reading::default())), "CPU Load Memory Disk Network");
        let all = charts(Reading {
            metrics: Metrics::from_fn(|metric| Some(metric.example)),
            ..Reading::default()
        });
        assert!(labels(&all).starts_with("CPU Load Memory Disk Network Temperature"));
        let drawn = all.iter().flat_map(|chart| &chart.series);
        let mut places: Vec<_> = drawn.map(|series| series.name.as_str()).collect();
        let in_words = METRICS.iter().filter(|metric| metric.view == View::Words);
        places.extend(in_words.map(|metric| metric.name));
        places.sort_unstable();
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        assert_eq!(places, names);
    }

    #[test]
    fn sizes_are_words() {
        let value = |metric: &Metric| match metric.name {
            "memory_total_mb" => Some(Number::Whole(16_384)),
            "memory_used_mb" => Some(Number::Whole(1_536)),
            "disk_total_gb" => Some(Number::Float(500.0)),
            "disk_used_gb" => Some(Number::Float(410.5)),
            _ => None,
        };
        let disk = |mount: &str, percent| Disk { mount: mount.to_owned(), percent };
        let charts = charts(Reading {
            metrics: Metrics::from_fn(value),
            disks: Some(vec![disk("/data", 91.0), disk("/", 82.0)]),
            ..Reading::default()
        });
        assert_eq!(charts[2].words, "1.5 GB of 16 GB used");
        assert_eq!(charts[3].words, "90 GB free");
        let lines: Vec<_> = charts[3].series.iter().map(|series| &*series.name).collect();
        assert_eq!(lines, ["disk_percent", "disk_percent:/data", "disk_percent:/"]);
    }

    // C15.4
    #[test]
    fn the_chart_of_the_disk_says_when_it_is_full() {
        let words = |full_on: &[(&str, &str)]| {
            let full_on = full_on.iter();
            let full_on =
                full_on.map(|(mount, day)| ((*mount).to_owned(), day.parse().expect("a day")));
            charts_of(StoredServer { full_on: full_on.collect(), ..StoredServer::default() })
                .swap_remove(3)
                .words
        };
        let said = "disk /data is full in about 12 days at this pace; disk /old is full within a day at this pace";
        assert_eq!(words(&[("/data", "2026-01-30"), ("/old", "2026-01-18")]), said);
        assert_eq!(words(&[("/data", "2026-01-17")]), "");
    }
}
