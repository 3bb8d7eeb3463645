//! The fleet for Prometheus, in OpenMetrics. Names and units are derived from the table of metrics: base units, counters
//! with `_total`.

use crate::fleet::{Fleet, Server};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use tables::metric::{METRICS, Metric};

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the text of a scrape.
///
/// # Errors
/// If a value cannot be encoded.
pub fn encode(fleet: Arc<Fleet>, text: &mut impl fmt::Write) -> fmt::Result {
    let mut registry = Registry::with_prefix("heartbeat");
    registry.register_collector(Box::new(LastReadings(fleet)));
    encode_text(text, &registry)
}

#[derive(Debug)]
struct LastReadings(Arc<Fleet>);

impl Collector for LastReadings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        standings(&mut encoder, &self.0)?;
        let mut family = |name: &str,
                          help: &str,
                          unit: Option<&Unit>,
                          kind,
                          value: &dyn Fn(&Server) -> Option<Value>| {
            let mut family = encoder.encode_descriptor(name, help, unit, kind)?;
            for server in &self.0.servers {
                let Some(value) = value(server) else {
                    continue;
                };
                let labels = labels(server);
                let sample = family.encode_family(&labels)?;
                match value {
                    Value::Gauge(value) => ConstGauge::new(value).encode(sample)?,
                    Value::Counter(value) => ConstCounter::new(value).encode(sample)?,
                }
            }
            Ok::<(), fmt::Error>(())
        };
        family(
            "server_online",
            "Whether the server still sends heartbeats",
            None,
            MetricType::Gauge,
            &|server| Some(Value::Gauge(f64::from(server.is_online))),
        )?;
        family(
            "last_seen_timestamp",
            "When the last heartbeat was received",
            Some(&Unit::Seconds),
            MetricType::Gauge,
            &|server| {
                let seen = server.last_seen()?.timestamp_micros() as f64 / 1e6;
                Some(Value::Gauge(seen))
            },
        )?;
        for metric in &METRICS {
            let (name, unit, divisor) = naming(metric);
            let kind = if metric.is_counter { MetricType::Counter } else { MetricType::Gauge };
            // Without its unit, because it is the base unit here.
            let description = metric.description.trim_end_matches('.').split(", ").next();
            let help = format!("{}, at the last heartbeat", description.unwrap_or_default());
            let value = |server: &Server| {
                let reading = server.stored.reading.as_ref().filter(|_| !server.verdict.is_old);
                let value = reading?.metrics.value(metric)?;
                Some(match (metric.is_counter, value) {
                    (true, tables::Number::Whole(value)) => Value::Counter(value),
                    (_, value) => Value::Gauge(value.as_f64() / divisor),
                })
            };
            family(&name, &help, unit.as_ref(), kind, &value)?;
        }
        Ok(())
    }
}

/// One sample for each server.
fn standings(encoder: &mut DescriptorEncoder, fleet: &Fleet) -> Result<(), fmt::Error> {
    let help = "How the server is: one sample of value 1 for each";
    let mut family = encoder.encode_descriptor("server_standing", help, None, MetricType::Gauge)?;
    for server in &fleet.servers {
        let mut labels = labels(server);
        labels.push(("standing", server.standing().as_str()));
        ConstGauge::new(1.0).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// The labels of a server's samples.
fn labels(server: &Server) -> Vec<(&str, &str)> {
    let group = server.stored.group.as_ref().map(|group| ("group", group.as_str()));
    [("server_id", server.id())].into_iter().chain(group).collect()
}

enum Value {
    Gauge(f64),
    Counter(u64),
}

/// The name of a metric without its unit, its base unit, and how many of its own make one of those.
fn naming(metric: &Metric) -> (String, Option<Unit>, f64) {
    use tables::metric::Unit::{
        Bytes, Celsius, Gigabytes, Megabytes, None as Nothing, Percent, Seconds,
    };
    let label = metric.label().replace(' ', "_");
    // `_total` is for counters.
    let size = || label.replace("_total", "_size");
    match metric.unit {
        Percent => (format!("{label}_usage"), Some(Unit::Other("ratio".to_owned())), 100.0),
        Megabytes => (size(), Some(Unit::Bytes), 1.0 / 1_048_576.0),
        Gigabytes => (size(), Some(Unit::Bytes), 1.0 / 1_073_741_824.0),
        Bytes => (label, Some(Unit::Bytes), 1.0),
        Seconds => (label, Some(Unit::Seconds), 1.0),
        Celsius => (label, Some(Unit::Other("celsius".to_owned())), 1.0),
        Nothing => (label, None, 1.0),
    }
}
