//! Limits for metrics, as `LIMITS` of the watchdog and `limits` of a server's item hold them: `disk_percent=90,load_5m=8`.

use crate::metric;
use crate::metric::{MAX_AMOUNT, METRICS, Metric, Rule};
use std::fmt;
use thiserror::Error;

/// What applies to each metric that a list names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits(Vec<(&'static Metric, Option<f64>)>);

/// [`Limits::standard`] as a list.
pub const DEFAULT_LIMITS: &str = "disk_percent=90";

/// The entry of a list that is invalid, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{entry:?}: {reason}")]
pub struct InvalidLimit {
    entry: String,
    reason: &'static str,
}

impl Limits {
    /// The limits of a watchdog that is not told others: [`DEFAULT_LIMITS`].
    #[must_use]
    pub fn standard() -> Self {
        Self(vec![(metric!("disk_percent"), Some(90.0))])
    }

    /// Parses a list of `<metric>=<limit>`; empty and `none` are lists without an entry.
    ///
    /// # Errors
    /// Returns the first invalid entry.
    pub fn parse(list: &str) -> Result<Self, InvalidLimit> {
        Self::parse_entries(list, false)
    }

    /// Parses a server's list, in which a limit may be `off`.
    ///
    /// # Errors
    /// Returns the first invalid entry.
    pub fn parse_own(list: &str) -> Result<Self, InvalidLimit> {
        Self::parse_entries(list, true)
    }

    fn parse_entries(list: &str, allows_off: bool) -> Result<Self, InvalidLimit> {
        let mut limits = Self::default();
        if list.is_empty() || list == "none" {
            return Ok(limits);
        }
        for entry in list.split(',') {
            let invalid = |reason| InvalidLimit {
                entry: entry.to_owned(),
                reason,
            };
            let (name, value) = entry
                .split_once('=')
                .ok_or_else(|| invalid("it is not <metric>=<limit>"))?;
            let metric = Metric::find(name).ok_or_else(|| invalid("there is no such metric"))?;
            if limits.0.iter().any(|(known, _)| known.name == name) {
                return Err(invalid("the metric is named twice"));
            }
            let limit = match value {
                "off" if allows_off => None,
                value => Some(parse_limit(value, metric.rule).map_err(invalid)?),
            };
            limits.0.push((metric, limit));
        }
        Ok(limits)
    }

    /// The limit of a metric: `Some(None)` if it is off, `None` if the list does not name the metric.
    fn entry(&self, metric: &Metric) -> Option<Option<f64>> {
        let mut entries = self.0.iter();
        entries
            .find(|(known, _)| known.name == metric.name)
            .map(|(_, limit)| *limit)
    }

    /// The limit that applies to a metric of a server: its own, or else this one.
    #[must_use]
    pub fn of(&self, metric: &Metric, own: Option<&Self>) -> Option<f64> {
        let own = own.and_then(|own| own.entry(metric));
        own.unwrap_or_else(|| self.entry(metric).flatten())
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These limits, with those of another list instead for the metrics that it names.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let named = METRICS.iter().filter_map(|metric| {
            let limit = other.entry(metric).or_else(|| self.entry(metric))?;
            Some((metric, limit))
        });
        Self(named.collect())
    }
}

fn parse_limit(text: &str, rule: Rule) -> Result<f64, &'static str> {
    let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    let limit = text
        .bytes()
        .all(is_plain)
        .then(|| text.parse().ok())
        .flatten();
    match limit {
        None => Err("the limit is not a number"),
        // DynamoDB's smallest number.
        Some(limit) if limit < 1e-130 => Err("the limit is not above 0"),
        Some(limit) if rule == Rule::Percent && limit > 100.0 => Err("the limit is above 100"),
        Some(limit) if limit > MAX_AMOUNT => Err("the limit is too large"),
        Some(limit) => Ok(limit),
    }
}

/// The list as it is parsed; `none` if it has no entry.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (metric, limit)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match limit {
                Some(limit) => write!(f, "{comma}{}={limit}", metric.name)?,
                None => write!(f, "{comma}{}=off", metric.name)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C9.1
    #[test]
    fn a_list_names_metrics_with_limits() {
        for list in [
            "disk_percent=90",
            "cpu_percent=99.5,load_5m=8",
            "memory_total_mb=1e3",
            "none",
        ] {
            assert!(Limits::parse(list).is_ok(), "{list}");
        }
        assert_eq!(Limits::parse(""), Ok(Limits::default()));
        assert_eq!(Limits::parse(DEFAULT_LIMITS), Ok(Limits::standard()));
        for (list, reason) in [
            ("disk", "\"disk\": it is not <metric>=<limit>"),
            ("disk_percent=90,", "\"\": it is not <metric>=<limit>"),
            ("disk=90", "\"disk=90\": there is no such metric"),
            (
                " disk_percent=90",
                "\" disk_percent=90\": there is no such metric",
            ),
            (
                "disk_percent=90,disk_percent=91",
                "\"disk_percent=91\": the metric is named twice",
            ),
            (
                "disk_percent=0",
                "\"disk_percent=0\": the limit is not above 0",
            ),
            (
                "disk_percent=-1",
                "\"disk_percent=-1\": the limit is not above 0",
            ),
            (
                "disk_percent=100.1",
                "\"disk_percent=100.1\": the limit is above 100",
            ),
            ("load_1m=1e126", "\"load_1m=1e126\": the limit is too large"),
            ("load_1m=", "\"load_1m=\": the limit is not a number"),
            ("load_1m=inf", "\"load_1m=inf\": the limit is not a number"),
            ("load_1m=NaN", "\"load_1m=NaN\": the limit is not a number"),
            ("load_1m= 8", "\"load_1m= 8\": the limit is not a number"),
            ("load_1m=off", "\"load_1m=off\": the limit is not a number"),
        ] {
            let error = Limits::parse(list).map_err(|error| error.to_string());
            assert_eq!(error, Err(reason.to_owned()), "{list}");
        }
    }

    // C9.1
    #[test]
    fn a_servers_own_limits_replace_those_of_the_metrics_that_they_name() {
        let all = Limits::parse("disk_percent=90,cpu_percent=95").expect("limits");
        let own = Limits::parse_own("disk_percent=off,load_1m=4").expect("limits");
        let applies = |name, own| all.of(Metric::find(name).expect("a metric"), own);
        assert_eq!(applies("disk_percent", Some(&own)), None);
        assert_eq!(applies("cpu_percent", Some(&own)), Some(95.0));
        assert_eq!(applies("load_1m", Some(&own)), Some(4.0));
        assert_eq!(applies("load_1m", None), None);
        assert_eq!(
            all.with(&own).to_string(),
            "cpu_percent=95,disk_percent=off,load_1m=4"
        );
    }
}
