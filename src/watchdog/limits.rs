//! Which metrics of a server are high, and which no longer are (C9). Pure.

use chrono::{DateTime, TimeDelta, Utc};
use tables::server::{High, HighEntry, Server, Status};
use tables::{Limits, METRICS, Metric, Number};

/// How long before a server's last heartbeat its reading may have been received.
const FRESH: TimeDelta = TimeDelta::seconds(600);

/// A high metric is normal again below this share of its limit, so that one that wavers is announced once.
const END: f64 = 0.95;

/// The metrics of a server that are to be announced.
#[derive(Debug, PartialEq)]
pub struct Judgement {
    pub server: Server,
    /// What has to be written before anything is published, unless it is what the item holds.
    pub ahead: Option<High>,
    /// What has to be written after it was published.
    pub after: High,
    pub high: Vec<Entry>,
    pub normal: Vec<Entry>,
    /// Those of `high` that have just become so.
    pub new: Vec<&'static Metric>,
}

/// A metric of a server in a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub server_id: String,
    pub hostname: Option<String>,
    pub metric: &'static Metric,
    /// The last reading; `None` if it lacks the metric.
    pub value: Option<Number>,
    pub limit: f64,
    pub since: String,
}

impl Entry {
    fn new(server: &Server, high: &HighEntry) -> Self {
        let reading = server.reading.as_ref();
        Self {
            server_id: server.server_id.clone(),
            hostname: server.hostname.clone(),
            metric: high.metric,
            value: reading.and_then(|reading| reading.metrics.value(high.metric)),
            limit: high.limit,
            since: high.since.clone(),
        }
    }
}

/// The metrics that are high according to the item.
pub fn still_high(server: &Server) -> impl Iterator<Item = Entry> {
    let entries = server.high.entries.iter();
    entries.map(|entry| Entry::new(server, entry))
}

/// Judges the reading of a server that is online and not late. `None` if there is nothing to write or to say.
pub fn judge(server: Server, limits: &Limits, now: DateTime<Utc>) -> Option<Judgement> {
    if server.status != Some(Status::Online) || server.is_silenced(now) {
        return None;
    }
    let reading = server.reading.as_ref()?;
    let (received_at, seen) = (reading.received_at?, server.last_seen.as_ref()?.time);
    if seen - received_at > FRESH {
        return None;
    }
    let since = tables::time::format(received_at);
    let (mut ahead, mut after) = (Vec::new(), Vec::new());
    let (mut high, mut normal, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for metric in &METRICS {
        let value = reading.metrics.value(metric).map(Number::as_f64);
        let limit = limits.of(metric, server.limits.as_ref());
        let mut entries = server.high.entries.iter();
        let known = entries.find(|entry| entry.metric == metric).cloned();
        let is_new = known.is_none();
        let entry = known.or_else(|| {
            let reached = limit.filter(|limit| value.is_some_and(|value| value >= *limit))?;
            Some(HighEntry {
                metric,
                since: since.clone(),
                limit: reached,
                is_pending: true,
            })
        });
        let Some(mut entry) = entry else {
            continue;
        };
        let is_over = match (limit, value) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(limit), Some(value)) if limit == entry.limit => value < END * limit,
            (Some(limit), Some(value)) => value < limit,
        };
        if is_over {
            normal.push(Entry::new(&server, &entry));
            entry.is_pending = true;
            ahead.push(entry);
            continue;
        }
        if let (Some(limit), Some(_)) = (limit, value) {
            entry.limit = limit;
        }
        let is_said = entry.is_pending && value.is_some();
        if is_said {
            high.push(Entry::new(&server, &entry));
        }
        if is_new {
            new.push(metric);
        }
        after.push(HighEntry {
            is_pending: entry.is_pending && !is_said,
            ..entry.clone()
        });
        ahead.push(entry);
    }
    let has_changed = ahead != server.high.entries;
    if !has_changed && high.is_empty() && normal.is_empty() {
        return None;
    }
    let ahead = server.high.with(ahead);
    let after = match has_changed {
        true => ahead.written().with(after),
        false => server.high.with(after),
    };
    Some(Judgement {
        ahead: has_changed.then_some(ahead),
        after,
        high,
        normal,
        new,
        server,
    })
}
