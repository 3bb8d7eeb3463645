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
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use tables::metric::{METRICS, Metric};
use tables::server::Reading;
use tables::{Service, ServiceStatus, printable};

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
        let mut families = Families { encoder: &mut encoder, servers: &self.0.servers };
        families.add(
            ("server_standing", "How the server is: one sample of value 1 for each", None),
            MetricType::Gauge,
            |server| {
                let standing = ("standing", server.standing().as_str().into());
                [(vec![standing], ONE)]
            },
        )?;
        families.add(
            ("server_online", "Whether the server still sends heartbeats", None),
            MetricType::Gauge,
            |server| [(Vec::new(), Value::Gauge(f64::from(server.is_online)))],
        )?;
        families.add(
            ("last_seen_timestamp", "When the last heartbeat was received", Some(&Unit::Seconds)),
            MetricType::Gauge,
            |server| {
                let seen = server.last_seen()?.timestamp_micros() as f64 / 1e6;
                Some((Vec::new(), Value::Gauge(seen)))
            },
        )?;
        families.add(
            ("agent_info", "The agent of the server", None),
            MetricType::Gauge,
            |server| {
                let version = server.stored.agent_version.as_deref()?;
                Some((vec![("agent_version", sent(version))], ONE))
            },
        )?;
        let ratio = Unit::Other("ratio".to_owned());
        families.add(
            ("filesystem_used", "How full a file system is, at the last heartbeat", Some(&ratio)),
            MetricType::Gauge,
            |server| {
                let disks = present(server).and_then(|reading| reading.disks.as_deref());
                disks.unwrap_or_default().iter().map(|disk| {
                    (vec![("mount", sent(&disk.mount))], Value::Gauge(disk.percent / 100.0))
                })
            },
        )?;
        families.add(
            ("service_failed", "Whether a service has failed, of those that do not run", None),
            MetricType::Gauge,
            |server| {
                not_running(server).filter(|service| service.status != ServiceStatus::Unknown).map(
                    |service| {
                        let has_failed = service.status == ServiceStatus::Failed;
                        let name = ("service", sent(&service.name));
                        (vec![name], Value::Gauge(f64::from(has_failed)))
                    },
                )
            },
        )?;
        families.add(
            ("service_info", "A service that does not run, and why", None),
            MetricType::Gauge,
            |server| {
                not_running(server).map(|service| {
                    let reason = service.reason.as_deref().unwrap_or_default();
                    let labels = vec![
                        ("service", sent(&service.name)),
                        ("status", service.status.as_str().into()),
                        ("reason", sent(reason)),
                    ];
                    (labels, ONE)
                })
            },
        )?;
        for metric in &METRICS {
            let (name, unit, divisor) = naming(metric);
            let kind = if metric.is_counter { MetricType::Counter } else { MetricType::Gauge };
            // Without its unit, because it is the base unit here.
            let description = metric.description.trim_end_matches('.').split(", ").next();
            let help = format!("{}, at the last heartbeat", description.unwrap_or_default());
            families.add((&name, &help, unit.as_ref()), kind, |server| {
                let value = present(server)?.metrics.value(metric)?;
                let value = match (metric.is_counter, value) {
                    (true, tables::Number::Whole(value)) => Value::Counter(value),
                    (_, value) => Value::Gauge(value.as_f64() / divisor),
                };
                Some((Vec::new(), value))
            })?;
        }
        Ok(())
    }
}

/// What the samples of a server are told apart by.
type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

enum Value {
    Gauge(f64),
    Counter(u64),
}

/// Everything is in the labels. This is no `info`, which parsers of the older text format do not know.
const ONE: Value = Value::Gauge(1.0);

/// Writes family after family.
struct Families<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    servers: &'a [Server],
}

impl<'a> Families<'a, '_> {
    /// Adds one, given its name without the unit, what it is, and its unit, with the samples of each server.
    fn add<I: IntoIterator<Item = (Labels<'a>, Value)>>(
        &mut self,
        (name, help, unit): (&str, &str, Option<&Unit>),
        kind: MetricType,
        samples: impl Fn(&'a Server) -> I,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, unit, kind)?;
        for server in self.servers {
            let group = server.stored.group.as_ref().map(|group| ("group", group.as_str().into()));
            let own = [("server_id", server.id().into())].into_iter().chain(group);
            for (labels, value) in samples(server) {
                let labels: Labels = own.clone().chain(labels).collect();
                match value {
                    Value::Gauge(value) => {
                        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                    }
                    Value::Counter(value) => {
                        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The last reading of a server, unless it is too old to be the present.
fn present(server: &Server) -> Option<&Reading> {
    server.stored.reading.as_ref().filter(|_| !server.verdict.is_old)
}

fn not_running(server: &Server) -> impl Iterator<Item = &Service> {
    let services = present(server).and_then(|reading| reading.services.as_ref());
    services.into_iter().flat_map(|services| &services.not_running)
}

/// A text that an agent sent, as the value of a label, which the encoder does not escape. A line break is not printable.
fn sent(text: &str) -> Cow<'static, str> {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"").into()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Body, Coding};
    use chrono::{DateTime, Utc};
    use tables::metric::Rule;
    use tables::server::{Server as StoredServer, Status};
    use tables::time::{Stored, format};
    use tables::{Disk, Metrics, Number, Services};

    /// A server of usual size in a group: its id as an autoscaling group gives it, every metric, three file systems.
    fn usual(random: &mut fastrand::Rng, now: DateTime<Utc>) -> StoredServer {
        let id = format!("web-i-0{:08x}{:08x}", random.u32(..), random.u32(..));
        let disks = ["/", "/data", "/var/lib/postgresql"].map(|mount| {
            let percent = f64::from(random.u32(..1_000)) / 10.0;
            Disk { mount: mount.to_owned(), percent }
        });
        let metrics = Metrics::from_fn(|metric| {
            Some(match metric.rule {
                Rule::Percent | Rule::Temperature => {
                    Number::Float(f64::from(random.u32(..1_000)) / 10.0)
                }
                Rule::Amount => Number::Float(f64::from(random.u32(..10_000)) / 100.0),
                Rule::Count if metric.is_counter => Number::Whole(random.u64(..1 << 40)),
                Rule::Count => Number::Whole(random.u64(..30_000)),
                Rule::Flag => Number::Whole(0),
            })
        });
        StoredServer {
            hostname: Some(format!("{id}.example.com")),
            server_id: id,
            status: Some(Status::Online),
            last_seen: Stored::parse(format(now)),
            group: "web".parse().ok(),
            agent_version: Some("2.0.0".to_owned()),
            reading: Some(Reading {
                metrics,
                received_at: Some(now),
                disks: Some(disks.into()),
                services: Some(Services::default()),
                ..Reading::default()
            }),
            ..StoredServer::default()
        }
    }

    // C13.10
    #[test]
    fn ten_thousand_servers_of_usual_size_fit_if_they_are_compressed() {
        let (now, mut random) = (Utc::now(), fastrand::Rng::with_seed(1));
        let servers = (0..10_000).map(|_| usual(&mut random, now)).collect();
        let fleet = Arc::new(Fleet::new(servers, None, now));
        let sent = |coding| {
            let mut body = Body::new(coding, Some(6_000_000));
            encode(fleet.clone(), &mut body).expect("encoded");
            body.finish().expect("in memory").map(|bytes| bytes.len())
        };
        let (raw, compressed) = (sent(Coding::Identity), sent(Coding::Gzip));
        println!("{raw:?} bytes as Lambda sends them, {compressed:?} compressed");
        assert!(raw.is_err() && compressed.is_ok(), "{raw:?}, {compressed:?}");
    }
}
