//! A metric is at its limit.

use super::{Facts, Finding, Level, disk, level_of};
use tables::problem::{DISK_PERCENT, Key, Urgency};
use tables::{Metric, Number};

pub fn high(facts: &Facts<'_>) -> Vec<Key> {
    let Some(reading) = &facts.reading else {
        return Vec::new();
    };
    // `disk_percent` is judged under the name of its file system, if that is listed.
    let is_listed =
        |metric: &Metric| metric.name == DISK_PERCENT && disk::of_disk_percent(reading).is_some();
    let metrics = reading.metrics.iter().filter(|(metric, _)| !is_listed(metric));
    let keys = metrics.flat_map(|(metric, value)| {
        Urgency::ALL.map(|urgency| (Key::Metric(metric, urgency), value))
    });
    let high = keys.filter(|(key, value)| {
        let limit = facts.limits.of_key(key, facts.own);
        limit.is_some_and(|limit| value.as_f64() >= limit.value)
    });
    high.map(|(key, _)| key).collect()
}

pub fn find(
    facts: &Facts<'_>,
    key: &Key,
    metric: &Metric,
    reached: Option<f64>,
) -> Option<Finding> {
    let reading = facts.reading?;
    let limit = facts.limits.of_key(key, facts.own);
    let value = reading.metrics.value(metric).map(Number::as_f64);
    let level = |limit| value.map_or(Level::Unknown, |value| level_of(value, limit, reached));
    Some(reading.against(limit, level))
}
