//! Fleets in the servers table, as the pages of a scan.

use crate::dynamodb::{READING, project};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

/// The most bytes that DynamoDB reads for a page.
const PAGE: usize = 1024 * 1024;

/// The rules of the watchdog, by which the greatest items have as many problems as an item holds.
pub const LIMITS: &str = "disk_percent=90,cpu_percent=90,memory_percent=90,load_1m=8";

/// When the watchdog's digest is due.
pub const DIGEST_AT: &str = "10:00/always";

/// A fleet.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    pub servers: usize,
    pub items: Items,
    /// So many of them are silent, since so many seconds.
    pub silent: (usize, i64),
}

/// How large the items are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Items {
    /// A reading of every metric, three file systems and a list of services; a problem on one in a hundred.
    Usual,
    /// The greatest that is accepted (C3.3, C3.10, C5.9), with as many problems as an item holds.
    Greatest,
}

impl Items {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Greatest => "greatest",
        }
    }
}

impl Fleet {
    /// The pages of a scan at this time, as if sweeps had been running: all of each item, or what this projection expression reads of
    /// it.
    pub fn pages(&self, now: DateTime<Utc>, projection: Option<&str>) -> Vec<Bytes> {
        let own = json!({
            "server_id": { "S": "#watchdog" },
            "swept_at": { "S": stored(now, 60) },
            "offline_after": { "N": "180" },
            "limits": { "S": LIMITS },
            "digest_at": { "S": stored(now, 86_400) },
            "digest_times": { "S": DIGEST_AT },
            "time_zone": { "S": "UTC" },
        });
        let servers = (0..self.servers).map(|server| self.item(server, now));
        let (mut pages, mut items, mut bytes) = (Vec::new(), Vec::new(), 0);
        for item in servers.chain([own]) {
            bytes += size(&item);
            if bytes > PAGE {
                bytes = size(&item);
                let next = (pages.len() + 1).to_string();
                pages.push(page(&std::mem::take(&mut items), Some(&next)));
            }
            items.push(projection.map_or_else(|| item.clone(), |read| project(&item, read)));
        }
        pages.push(page(&items, None));
        pages
    }

    fn item(&self, server: usize, now: DateTime<Utc>) -> Value {
        let silent_for = if server < self.silent.0 { self.silent.1 } else { 30 };
        let seen = stored(now, silent_for);
        match self.items {
            Items::Usual => usual(server, &seen),
            Items::Greatest => greatest(server, &seen),
        }
    }
}

fn stored(now: DateTime<Utc>, ago: i64) -> String {
    tables::time::format(now - TimeDelta::seconds(ago))
}

fn page(items: &[Value], next: Option<&str>) -> Bytes {
    let mut page = json!({ "Items": items, "Count": items.len(), "ScannedCount": items.len() });
    if let Some(next) = next {
        page["LastEvaluatedKey"] = json!({ "server_id": { "S": next } });
    }
    page.to_string().into()
}

fn usual(server: usize, seen: &str) -> Value {
    let mut item = json!({
        "server_id": { "S": format!("server-{server:06}") },
        "hostname": { "S": format!("server-{server:06}.eu-central.example.com") },
        "status": { "S": "online" },
        "last_seen": { "S": seen },
        "registered_at": { "S": "2026-01-02T08:00:41.000312Z" },
        "reading": *READING,
    });
    let reading = &mut item["reading"]["M"];
    reading["received_at"] = json!({ "S": seen });
    reading["disks"] = json!({ "M": {
        "/": { "N": "82.1" }, "/data": { "N": "40.5" }, "/var": { "N": "20" },
    } });
    reading["services"] = json!({ "M": {} });
    // One in a hundred has a problem, which has been said.
    if server % 100 == 99 {
        reading["disks"]["M"]["/data"] = json!({ "N": "95.5" });
        item["problems"] = json!({ "M": { "disk_percent:/data": problem(Some("90")) } });
    }
    item
}

/// A problem that has been said.
fn problem(limit: Option<&str>) -> Value {
    let mut problem = json!({ "since": { "S": "2026-01-17T10:30:00.000000Z" } });
    if let Some(limit) = limit {
        problem["limit"] = json!({ "N": limit });
    }
    json!({ "M": problem })
}

fn greatest(server: usize, seen: &str) -> Value {
    let id = format!("server-{server:06}");
    let mut reading = json!({ "timestamp": { "S": seen }, "received_at": { "S": seen } });
    for metric in &tables::METRICS {
        reading[metric.name] = match metric.rule {
            tables::metric::Rule::Percent => json!({ "N": "97.123456789012345" }),
            tables::metric::Rule::Count => json!({ "N": "12345678901234567890" }),
            tables::metric::Rule::Flag => json!({ "N": "1" }),
            tables::metric::Rule::Amount => json!({ "N": "1234567.8901234567" }),
            tables::metric::Rule::Temperature => json!({ "N": "99.123456789012345" }),
        };
    }
    let of = |count, bytes, value: Value| -> Map<String, Value> {
        (0..count).map(|number| (filled(&format!("/{number}"), bytes), value.clone())).collect()
    };
    let disks = of(3, 64, json!({ "N": "97.1" }));
    let services = of(6, 40, json!({ "S": "failed" }));
    let reasons: Map<_, _> =
        services.keys().map(|name| (name.clone(), json!({ "S": filled("exit", 33) }))).collect();
    let disk_problems = disks.keys().map(|mount| (format!("disk_percent:{mount}"), Some("90")));
    let service_problems = services.keys().map(|name| (format!("service:{name}"), None));
    let metrics = [("cpu_percent", "90"), ("memory_percent", "90"), ("load_1m", "8")];
    let metrics = metrics.map(|(name, limit)| (name.to_owned(), Some(limit)));
    let problems: Map<_, _> = disk_problems
        .chain(service_problems)
        .chain(metrics)
        .map(|(key, limit)| (key, problem(limit)))
        .collect();
    reading["disks"] = json!({ "M": disks });
    reading["services"] = json!({ "M": services });
    reading["services_cut"] = json!({ "BOOL": true });
    reading["reasons"] = json!({ "M": reasons });
    let mut item = json!({
        "server_id": { "S": filled(&id, 100) },
        "hostname": { "S": filled(&id, 255) },
        "status": { "S": "online" },
        "last_seen": { "S": seen },
        "registered_at": { "S": "2026-01-02T08:00:41.000312Z" },
        "agent_version": { "S": "🦀".repeat(20) },
        "reading": { "M": reading },
        "problems": { "M": problems },
    });
    for name in ["os_distribution", "os_version", "kernel_version"] {
        item[name] = json!({ "S": filled("os", 100) });
    }
    item["architecture"] = json!({ "S": filled("x", 20) });
    item
}

/// Text of so many bytes.
fn filled(start: &str, bytes: usize) -> String {
    format!("{start:-<bytes$}")
}

/// The bytes of an item as DynamoDB counts them, nearly.
fn size(item: &Value) -> usize {
    match item {
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + size(value)).sum()
        }
        Value::String(text) => text.len(),
        _ => 1,
    }
}
