//! Limits and what else is watched, as `LIMITS` of the watchdog and `limits` of a server's item hold them:
//! `disk_percent=90,load_5m=8/10m,service:cups=off`.

use crate::metric;
use crate::metric::{MAX_AMOUNT, Metric, Rule};
use crate::problem::{Key, Kind, Urgency};
use chrono::TimeDelta;
use std::cmp::Ordering;
use std::fmt;
use syntax::duration;
use thiserror::Error;

/// What applies to each problem that a list names. Metrics that it does not name have no limit; services and duplicates are
/// watched.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    entries: Vec<Entry>,
    /// Whether services and duplicates are not watched either.
    is_off: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    scope: Scope,
    /// `None` is off.
    limit: Option<Limit>,
    /// Whether it is not the server's own, although it is in its list.
    is_inherited: bool,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq)]
enum Scope {
    One(Key),
    /// Every service.
    Services,
}

/// From which value on something is a problem, and how long it has to last until it is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    pub value: f64,
    /// Zero: no time.
    pub lasts: TimeDelta,
}

/// [`Limits::standard`] as a list.
pub const DEFAULT_LIMITS: &str = "disk_percent=90";

/// How long a value can be required to last.
const SHORTEST: TimeDelta = TimeDelta::minutes(1);
const LONGEST: TimeDelta = TimeDelta::hours(24);

/// The entry of a list that is invalid, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{entry:?}: {reason}")]
pub struct InvalidLimit {
    entry: String,
    reason: &'static str,
}

impl Scope {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "service" => Some(Self::Services),
            _ => Key::parse(text).map(Self::One),
        }
    }

    /// In the order of the keys, with all services before one.
    fn order(&self, other: &Self) -> Ordering {
        let kind = |scope: &Self| match scope {
            Self::One(key) => key.kind(),
            Self::Services => Kind::Service,
        };
        match (self, other) {
            (Self::One(one), Self::One(other)) => one.order(other),
            _ => kind(self)
                .cmp(&kind(other))
                .then_with(|| matches!(self, Self::One(_)).cmp(&matches!(other, Self::One(_)))),
        }
    }

    /// The metric whose rule a limit has to keep, if it is about values.
    fn metric(&self) -> Option<&'static Metric> {
        match self {
            Self::One(key) => key.metric(),
            Self::Services => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(key) => key.fmt(f),
            Self::Services => f.write_str("service"),
        }
    }
}

impl Limits {
    /// The limits of a watchdog that is not told others: [`DEFAULT_LIMITS`].
    #[must_use]
    pub fn standard() -> Self {
        let disk = Entry {
            scope: Scope::One(Key::Metric(metric!("disk_percent"), Urgency::Usual)),
            limit: Some(Limit { value: 90.0, lasts: TimeDelta::zero() }),
            is_inherited: false,
        };
        Self { entries: vec![disk], is_off: false }
    }

    /// Parses the watchdog's list; empty and `none` switch everything off.
    ///
    /// # Errors
    /// Returns the first invalid entry.
    pub fn parse(list: &str) -> Result<Self, InvalidLimit> {
        if list.is_empty() || list == "none" {
            return Ok(Self { entries: Vec::new(), is_off: true });
        }
        Self::parse_entries(list, |scope| !matches!(scope, Scope::One(Key::Metric(..))))
    }

    /// Parses a server's list, in which the limit of a metric may be `off`; empty and `none` are lists without an entry.
    ///
    /// # Errors
    /// Returns the first invalid entry.
    pub fn parse_own(list: &str) -> Result<Self, InvalidLimit> {
        if list.is_empty() || list == "none" {
            return Ok(Self::default());
        }
        Self::parse_entries(list, |_| true)
    }

    fn parse_entries(
        list: &str,
        allows_off: impl Fn(&Scope) -> bool,
    ) -> Result<Self, InvalidLimit> {
        let mut limits = Self::default();
        for entry in list.split(',') {
            let invalid = |reason| InvalidLimit { entry: entry.to_owned(), reason };
            // The name of a file system may contain the sign.
            let (name, limit) =
                entry.rsplit_once('=').ok_or_else(|| invalid("it is not <metric>=<limit>"))?;
            let scope = Scope::parse(name).ok_or_else(|| invalid("there is no such metric"))?;
            if limits.entries.iter().any(|known| known.scope == scope) {
                return Err(invalid("it is named twice"));
            }
            let limit = match (limit, scope.metric()) {
                ("off", _) if allows_off(&scope) => None,
                (_, None) => return Err(invalid("it can only be off")),
                (limit, Some(metric)) => Some(Limit::parse(limit, metric.rule).map_err(invalid)?),
            };
            limits.entries.push(Entry { scope, limit, is_inherited: false });
        }
        Ok(limits)
    }

    /// What a server's own list says, or else this one: `Some(None)` is off, `None` is nothing.
    fn entry(&self, own: Option<&Self>, is_it: impl Fn(&Scope) -> bool) -> Option<Option<Limit>> {
        let find = |list: &Self| {
            let mut entries = list.entries.iter();
            entries.find(|entry| is_it(&entry.scope)).map(|entry| entry.limit)
        };
        own.and_then(find).or_else(|| find(self))
    }

    /// The limit of a metric of a server: its own, or else this one.
    #[must_use]
    pub fn metric(&self, metric: &Metric, own: Option<&Self>) -> Option<Limit> {
        self.entry(own, is_metric(metric, Urgency::Usual)).flatten()
    }

    /// The limit of a file system of a server. What is said of one precedes what is said of all.
    #[must_use]
    pub fn disk(&self, mount: &str, own: Option<&Self>) -> Option<Limit> {
        let all = || self.metric(metric!("disk_percent"), own);
        self.entry(own, is_disk(mount, Urgency::Usual)).unwrap_or_else(all)
    }

    /// The limit from which a metric of a server is urgent. One that is inherited has to be above the other limit.
    #[must_use]
    pub fn urgent_metric(&self, metric: &Metric, own: Option<&Self>) -> Option<Limit> {
        let lesser = self.entry(own, is_metric(metric, Urgency::Usual));
        let is_it = is_metric(metric, Urgency::Urgent);
        if lesser == Some(None) {
            return None;
        }
        self.urgent(own, is_it, lesser.flatten()).flatten()
    }

    /// The limit from which a file system of a server is urgent, likewise.
    #[must_use]
    pub fn urgent_disk(&self, mount: &str, own: Option<&Self>) -> Option<Limit> {
        let lesser = self.disk(mount, own);
        if lesser.is_none() && self.entry(own, is_disk(mount, Urgency::Usual)).is_some() {
            return None;
        }
        let all = || self.urgent_metric(metric!("disk_percent"), own);
        self.urgent(own, is_disk(mount, Urgency::Urgent), lesser)
            .unwrap_or_else(|| all().filter(|limit| limit.is_above(lesser)))
    }

    /// What a server's own list says, or else this one, without an inherited limit that is not above the other one.
    fn urgent(
        &self,
        own: Option<&Self>,
        is_it: impl Fn(&Scope) -> bool,
        lesser: Option<Limit>,
    ) -> Option<Option<Limit>> {
        let find = |list: &Self| list.entries.iter().find(|entry| is_it(&entry.scope)).cloned();
        let inherited = find(self).map(|entry| Entry { is_inherited: true, ..entry });
        let counts = |entry: &Entry| {
            !entry.is_inherited || entry.limit.is_none_or(|limit| limit.is_above(lesser))
        };
        let named = [own.and_then(find), inherited].into_iter().flatten();
        named.filter(counts).map(|entry| entry.limit).next()
    }

    /// The limit of a metric or a file system of a server that a problem is about.
    #[must_use]
    pub fn of_key(&self, key: &Key, own: Option<&Self>) -> Option<Limit> {
        match key {
            Key::Metric(metric, Urgency::Usual) => self.metric(metric, own),
            Key::Metric(metric, Urgency::Urgent) => self.urgent_metric(metric, own),
            Key::Disk(mount, Urgency::Usual) => self.disk(mount, own),
            Key::Disk(mount, Urgency::Urgent) => self.urgent_disk(mount, own),
            Key::Service(_) | Key::Duplicate => None,
        }
    }

    /// The metrics that it names, also those of file systems.
    pub fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        self.entries.iter().filter_map(|entry| entry.scope.metric())
    }

    /// Whether there is an urgent limit for anything.
    #[must_use]
    pub fn has_urgent(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| matches!(&entry.scope, Scope::One(key) if key.is_urgent()))
    }

    /// Whether a problem of a server that has no limit is watched.
    #[must_use]
    pub fn watches(&self, key: &Key, own: Option<&Self>) -> bool {
        let is_it = |scope: &Scope| match scope {
            Scope::Services => key.kind() == Kind::Service,
            Scope::One(known) => known == key,
        };
        !self.is_off && self.entry(own, is_it).is_none()
    }

    /// The value from which a metric of a server is at its limit.
    #[must_use]
    pub fn of(&self, metric: &Metric, own: Option<&Self>) -> Option<f64> {
        self.metric(metric, own).map(|limit| limit.value)
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The same as a server's list that has them from its group.
    #[must_use]
    pub fn inherited(&self) -> Self {
        let entries = self.entries.iter().cloned();
        let entries = entries.map(|entry| Entry { is_inherited: true, ..entry }).collect();
        Self { entries, is_off: self.is_off }
    }

    /// These limits, with those of another list instead for what it names.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let is_named = |entry: &&Entry| {
            let mut named = other.entries.iter();
            named.any(|named| named.scope == entry.scope)
        };
        let rest = self.entries.iter().filter(|entry| !is_named(entry));
        let mut entries: Vec<_> = rest.chain(&other.entries).cloned().collect();
        entries.sort_by(|one, other| one.scope.order(&other.scope));
        Self { entries, is_off: self.is_off }
    }
}

fn is_metric(metric: &Metric, urgency: Urgency) -> impl Fn(&Scope) -> bool {
    move |scope| match scope {
        Scope::One(Key::Metric(known, of)) => known.name == metric.name && *of == urgency,
        _ => false,
    }
}

fn is_disk(mount: &str, urgency: Urgency) -> impl Fn(&Scope) -> bool {
    move |scope| match scope {
        Scope::One(Key::Disk(known, of)) => known == mount && *of == urgency,
        _ => false,
    }
}

impl Limit {
    fn is_above(&self, lesser: Option<Self>) -> bool {
        lesser.is_none_or(|lesser| self.value > lesser.value)
    }

    /// `<value>`, or `<value>/<how long>`.
    fn parse(text: &str, rule: Rule) -> Result<Self, &'static str> {
        let (value, lasts) = match text.split_once('/') {
            Some((value, lasts)) => (value, parse_time(lasts)?),
            None => (text, TimeDelta::zero()),
        };
        let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
        let value = value.bytes().all(is_plain).then(|| value.parse().ok()).flatten();
        match value {
            None => Err("the limit is not a number"),
            // DynamoDB's smallest number.
            Some(value) if value < 1e-130 => Err("the limit is not above 0"),
            Some(value) if rule == Rule::Percent && value > 100.0 => Err("the limit is above 100"),
            Some(value) if value > MAX_AMOUNT => Err("the limit is too large"),
            Some(value) => Ok(Self { value, lasts }),
        }
    }
}

/// A whole number with its unit: `90s`, `10m`, `2h`.
fn parse_time(text: &str) -> Result<TimeDelta, &'static str> {
    let number = text.strip_suffix(['s', 'm', 'h']);
    let is_plain = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    duration::parse(text)
        .ok()
        .filter(|time| is_plain && (SHORTEST..=LONGEST).contains(time))
        .ok_or("the time after / is not a whole number with s, m or h, from 1m to 24h")
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)?;
        if self.lasts.is_zero() { Ok(()) } else { write!(f, "/{}", duration::exact(self.lasts)) }
    }
}

/// The list as it is parsed; `none` if it has no entry.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return f.write_str("none");
        }
        for (index, Entry { scope, limit, .. }) in self.entries.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match limit {
                Some(limit) => write!(f, "{comma}{scope}={limit}")?,
                None => write!(f, "{comma}{scope}=off")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C9.6
    #[test]
    fn a_list_names_metrics_with_limits() {
        for list in [
            "disk_percent=90",
            "cpu_percent=99.5,load_5m=8",
            "memory_total_mb=1e3",
            "cpu_percent=90/10m,load_5m=8/60s,load_1m=9/24h",
            "disk_percent:/backup=97,disk_percent:/a=b=95/1h,disk_percent:/iso=off",
            "disk_percent=90,disk_percent!=97,disk_percent!:/data=99/10m,disk_percent!:/iso=off",
            "service=off,duplicate=off",
            "service:fwupd-refresh=off",
            "none",
        ] {
            assert!(Limits::parse(list).is_ok(), "{list}");
        }
        assert_eq!(Limits::parse(""), Limits::parse("none"));
        assert_eq!(Limits::parse(DEFAULT_LIMITS), Ok(Limits::standard()));
        for (list, reason) in [
            ("disk", "\"disk\": it is not <metric>=<limit>"),
            ("disk_percent=90,", "\"\": it is not <metric>=<limit>"),
            ("disk=90", "\"disk=90\": there is no such metric"),
            (" disk_percent=90", "\" disk_percent=90\": there is no such metric"),
            ("disk_percent=90,disk_percent=91", "\"disk_percent=91\": it is named twice"),
            ("disk_percent=0", "\"disk_percent=0\": the limit is not above 0"),
            ("disk_percent=-1", "\"disk_percent=-1\": the limit is not above 0"),
            ("disk_percent=100.1", "\"disk_percent=100.1\": the limit is above 100"),
            ("load_1m=1e126", "\"load_1m=1e126\": the limit is too large"),
            ("load_1m=", "\"load_1m=\": the limit is not a number"),
            ("load_1m=inf", "\"load_1m=inf\": the limit is not a number"),
            ("load_1m=NaN", "\"load_1m=NaN\": the limit is not a number"),
            ("load_1m= 8", "\"load_1m= 8\": the limit is not a number"),
            ("load_1m=off", "\"load_1m=off\": the limit is not a number"),
            ("service:nginx=off,service:nginx=off", "\"service:nginx=off\": it is named twice"),
            ("service=90", "\"service=90\": it can only be off"),
            ("duplicate=on", "\"duplicate=on\": it can only be off"),
            ("service:=off", "\"service:=off\": there is no such metric"),
            ("disk_percent:/a=101", "\"disk_percent:/a=101\": the limit is above 100"),
        ] {
            let error = Limits::parse(list).map_err(|error| error.to_string());
            assert_eq!(error, Err(reason.to_owned()), "{list}");
        }
    }

    // C9.4 C9.6
    #[test]
    fn a_limit_lasts_from_one_minute_to_a_day() {
        for (text, expected) in [
            ("90/1m", Some("90/1m")),
            ("90/60m", Some("90/1h")),
            ("90/90s", Some("90/90s")),
            ("90/24h", Some("90/24h")),
            ("90/1440m", Some("90/24h")),
            ("90/59s", None),
            ("90/1441m", None),
            ("90/25h", None),
            ("90/", None),
            ("90/m", None),
            ("90/10", None),
            ("90/+10m", None),
            ("90/1.5h", None),
            ("90/10m/10m", None),
            ("90/99999999999h", None),
        ] {
            let limit = Limit::parse(text, Rule::Percent);
            let limit = limit.ok().map(|limit| limit.to_string());
            assert_eq!(limit.as_deref(), expected, "{text}");
        }
    }

    // C9.6
    #[test]
    fn services_and_duplicates_are_watched_unless_they_are_off_or_all_is() {
        for (all, own, [nginx, cron, duplicate]) in [
            ("disk_percent=90", "none", [true, true, true]),
            ("none", "none", [false, false, false]),
            ("none", "disk_percent:/iso=off", [false, false, false]),
            ("", "none", [false, false, false]),
            ("service=off", "none", [false, false, true]),
            ("service:nginx=off", "none", [false, true, true]),
            ("cpu_percent=90", "service:cron=off", [true, false, true]),
            ("cpu_percent=90", "service=off", [false, false, true]),
            ("cpu_percent=90", "duplicate=off", [true, true, false]),
        ] {
            let own = Limits::parse_own(own).expect("limits");
            let watched = |limits: &Limits, own| {
                [
                    limits.watches(&Key::Service("nginx".to_owned()), own),
                    limits.watches(&Key::Service("cron".to_owned()), own),
                    limits.watches(&Key::Duplicate, own),
                ]
            };
            let limits = Limits::parse(all).expect("limits");
            let expected = [nginx, cron, duplicate];
            assert_eq!(watched(&limits, Some(&own)), expected, "{all} {own}");
            let applies = limits.with(&own);
            assert_eq!(watched(&applies, None), expected, "{applies}");
        }
    }

    // C9.6
    #[test]
    fn an_urgent_limit_stands_beside_the_other() {
        for (all, own, mount, expected) in [
            ("disk_percent=90,disk_percent!=97", "none", "/", Some("97")),
            ("disk_percent!=97", "none", "/", Some("97")),
            ("disk_percent=90,disk_percent!=97", "disk_percent!=95/10m", "/", Some("95/10m")),
            ("disk_percent=90,disk_percent!=97", "disk_percent!:/=80", "/", Some("80")),
            ("disk_percent=90,disk_percent!=97", "disk_percent!:/=off", "/", None),
            // Off for the one is off for both.
            ("disk_percent=90,disk_percent!=97", "disk_percent:/=off", "/", None),
            ("disk_percent=90,disk_percent!=97", "disk_percent=off", "/", None),
            ("disk_percent=90,disk_percent!=97,disk_percent:/snap=off", "none", "/snap", None),
            ("disk_percent=90,disk_percent!=97,disk_percent:/snap=off", "none", "/", Some("97")),
            // What is inherited has to be above.
            ("disk_percent=90,disk_percent!=97", "disk_percent=97", "/", None),
            ("disk_percent=90,disk_percent!=97", "disk_percent:/=98", "/", None),
            ("disk_percent=90,disk_percent!=97,disk_percent:/=97", "none", "/", None),
            ("disk_percent=90,disk_percent!=97,disk_percent:/=96", "none", "/", Some("97")),
            ("none", "none", "/", None),
        ] {
            let all = Limits::parse(all).expect("limits");
            let own = Limits::parse_own(own).expect("limits");
            let limit =
                |all: &Limits, own| all.urgent_disk(mount, own).map(|limit| limit.to_string());
            assert_eq!(limit(&all, Some(&own)).as_deref(), expected, "{all} {own} {mount}");
        }
    }

    // C9.6: so is what a group says, once it has become a server's own.
    #[test]
    fn an_urgent_limit_of_a_group_is_inherited() {
        let all = Limits::parse("disk_percent=90,disk_percent!=97").expect("limits");
        for (of_group, own, expected) in [
            ("disk_percent!=96", "none", Some(96.0)),
            ("disk_percent!=96", "disk_percent=95", Some(96.0)),
            ("disk_percent!=96", "disk_percent=96", Some(97.0)),
            ("disk_percent!=96", "disk_percent=97", None),
            ("disk_percent!=90", "none", Some(97.0)),
            ("disk_percent!=off", "none", None),
            ("disk_percent!=96", "disk_percent!:/=80", Some(80.0)),
            ("disk_percent!:/=89", "disk_percent!=99", Some(99.0)),
            ("disk_percent=95,disk_percent!=95", "none", Some(97.0)),
        ] {
            let group = Limits::parse_own(of_group).expect("limits").inherited();
            let list = group.with(&Limits::parse_own(own).expect("limits"));
            let limit = all.urgent_disk("/", Some(&list));
            assert_eq!(limit.map(|limit| limit.value), expected, "{of_group} {own}");
        }
    }

    // C9.6
    #[test]
    fn the_limit_of_one_file_system_precedes_that_of_all() {
        let all = Limits::parse("disk_percent=90/10m,disk_percent:/backup=97").expect("limits");
        let own = Limits::parse_own("disk_percent=80,disk_percent:/iso=off").expect("limits");
        let applies = |mount, own| all.disk(mount, own).map(|limit| limit.to_string());
        for (mount, without, with) in [
            ("/", Some("90/10m"), Some("80")),
            ("/backup", Some("97"), Some("97")),
            ("/iso", Some("90/10m"), None),
        ] {
            assert_eq!(applies(mount, None).as_deref(), without, "{mount}");
            assert_eq!(applies(mount, Some(&own)).as_deref(), with, "{mount}");
            let merged = all.with(&own).disk(mount, None);
            assert_eq!(merged.map(|limit| limit.to_string()).as_deref(), with);
        }
        assert_eq!(
            all.with(&own).to_string(),
            "disk_percent=80,disk_percent:/backup=97,disk_percent:/iso=off"
        );
    }

    // C9.6
    #[test]
    fn a_servers_own_limits_replace_those_of_the_metrics_that_they_name() {
        let all = Limits::parse("disk_percent=90,cpu_percent=95").expect("limits");
        let own = Limits::parse_own("disk_percent=off,load_1m=4").expect("limits");
        let applies = |name, own| all.of(Metric::find(name).expect("a metric"), own);
        assert_eq!(applies("disk_percent", Some(&own)), None);
        assert_eq!(applies("cpu_percent", Some(&own)), Some(95.0));
        assert_eq!(applies("load_1m", Some(&own)), Some(4.0));
        assert_eq!(applies("load_1m", None), None);
        assert_eq!(all.with(&own).to_string(), "cpu_percent=95,disk_percent=off,load_1m=4");
    }
}
