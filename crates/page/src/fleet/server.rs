//! One server with its verdict, and what is said of it.

use crate::json::number;
use announcement::words::plural;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use syntax::duration::rounded;
use tables::problem::Key;
use tables::server::{Os, Reading, Rules, Server as StoredServer, Status};
use tables::time::format;
use tables::{Disk, Group, Limits, Metric, Number, Service, Zone};
use verdict::{Remark, Standing, Verdict, announce};

/// How much an agent's clock may differ from the endpoint's, and a heartbeat take, before the clock counts as wrong.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// A server as it is stored, without what no longer holds, and what follows from that now.
#[derive(Debug, Clone)]
pub struct Server {
    pub stored: StoredServer,
    pub verdict: Verdict,
    /// Whether it still sends heartbeats, by the clock alone.
    pub is_online: bool,
    pub(crate) at: DateTime<Utc>,
    /// Those of its own, and else the watchdog's.
    limits: Limits,
    zone: Zone,
}

/// The metrics that a line about a server shows.
pub const CPU: &Metric = Metric::named("cpu_percent");
pub const MEMORY: &Metric = Metric::named("memory_percent");
pub const DISK: &Metric = Metric::named("disk_percent");
pub const LOAD: &Metric = Metric::named("load_1m");
pub const UPTIME: &Metric = Metric::named("uptime_seconds");
const DISK_TOTAL: &Metric = Metric::named("disk_total_gb");
const DISK_USED: &Metric = Metric::named("disk_used_gb");
const REBOOT: &Metric = Metric::named("reboot_required");
const SECURITY_UPDATES: &Metric = Metric::named("security_updates");

impl Server {
    /// A server as it is now.
    pub(super) fn new(
        mut stored: StoredServer,
        verdict: Verdict,
        rules: &Rules,
        now: DateTime<Utc>,
    ) -> Self {
        let is_marked = stored.status == Some(Status::Offline);
        if is_marked || stored.announced.is_none() {
            stored.returned_at = None;
        }
        if !is_marked {
            stored.offline_since = None;
        }
        if stored.silenced_until.is_some_and(|until| until <= now) {
            stored.silenced_until = None;
        }
        let own = stored.limits.as_ref();
        Self {
            is_online: is_online(&stored, rules, now),
            limits: own.map_or_else(|| rules.limits.clone(), |own| rules.limits.with(own)),
            stored,
            verdict,
            at: now,
            zone: rules.zone.clone(),
        }
    }

    /// The server with its verdict.
    pub(super) const fn judged(&self) -> (&StoredServer, &Verdict) {
        (&self.stored, &self.verdict)
    }

    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.verdict.standing
    }

    /// Everything that is wrong; nothing of one that is silenced or well.
    pub(crate) fn wrong(&self) -> Vec<Remark> {
        match self.standing() {
            Standing::Silenced | Standing::Well | Standing::Gone => Vec::new(),
            _ => self.verdict.remarks(&self.stored),
        }
    }

    /// What is remarkable besides, with a time.
    pub(crate) fn besides(&self) -> Vec<Remark> {
        let standing = match self.standing() {
            Standing::Silenced | Standing::Gone => self.verdict.remarks(&self.stored),
            _ => Vec::new(),
        };
        standing.into_iter().chain(self.verdict.remarks_besides(&self.stored)).collect()
    }

    /// Everything that there is to say.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = self.verdict.say(&self.stored, self.at, &self.zone);
        remarks.extend(self.verdict.say_besides(&self.stored, self.at, &self.zone));
        remarks.extend(self.remarks_of_reading());
        remarks
    }

    /// What the last reading says besides.
    pub(crate) fn remarks_of_reading(&self) -> Vec<String> {
        let clock = self.clock_error_seconds().map(|seconds| {
            let direction = if seconds > 0 { "ahead" } else { "behind" };
            format!("clock {} {direction}", rounded(TimeDelta::seconds(seconds)))
        });
        let positive = |metric| {
            let value = self.value(metric).filter(|_| !self.verdict.is_old);
            value.filter(|value| *value > 0.0)
        };
        let reboot = positive(REBOOT).map(|_| "needs a reboot".to_owned());
        let updates =
            positive(SECURITY_UPDATES).map(|count| plural(count as usize, "security update"));
        let quiet = self.stored.quiet.as_ref().map(|quiet| format!("quiet each week: {quiet}"));
        clock.into_iter().chain(reboot).chain(updates).chain(quiet).collect()
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.stored.server_id
    }

    #[must_use]
    pub fn last_seen(&self) -> Option<DateTime<Utc>> {
        self.stored.last_seen.as_ref().map(|seen| seen.time)
    }

    /// The status to show: [`Status::Offline`] also if no watchdog has marked it.
    #[must_use]
    pub const fn status(&self) -> Status {
        if self.is_online { Status::Online } else { Status::Offline }
    }

    /// The value of a metric in the last reading.
    #[must_use]
    pub fn value(&self, metric: &Metric) -> Option<f64> {
        let reading = self.stored.reading.as_ref()?;
        reading.metrics.value(metric).map(Number::as_f64)
    }

    /// The value from which a metric is high.
    #[must_use]
    pub fn limit(&self, metric: &Metric) -> Option<f64> {
        self.limits.of(metric, None)
    }

    /// The same for a file system.
    pub(crate) fn disk_limit(&self, mount: &str) -> Option<f64> {
        self.limits.disk(mount, None).map(|limit| limit.value)
    }

    /// Whether a metric has reached its limit, or has been high and has not recovered.
    #[must_use]
    pub fn is_high(&self, metric: &Metric) -> bool {
        let mut problems = self.verdict.problems.iter();
        let is_problem = problems.any(|problem| problem.key.metric() == Some(metric));
        let reached = self.value(metric).zip(self.limit(metric));
        is_problem || reached.is_some_and(|(value, limit)| value >= limit && !self.verdict.is_old)
    }

    /// The fullest file system that its reading names, and whether it is too full.
    pub(crate) fn fullest_disk(&self) -> Option<(&Disk, bool)> {
        let disks = self.disks().iter().min_by(|one, other| one.order(other));
        disks.map(|disk| (disk, self.is_full(disk)))
    }

    /// The file systems that its reading names.
    pub(crate) fn disks(&self) -> &[Disk] {
        let reading = self.stored.reading.as_ref();
        reading.and_then(|reading| reading.disks.as_deref()).unwrap_or_default()
    }

    /// Whether a file system has reached its limit, or has been too full and has not recovered.
    pub(crate) fn is_full(&self, disk: &Disk) -> bool {
        let is_problem = |key: &Key| matches!(key, Key::Disk(mount, _) if *mount == disk.mount);
        let reached = self.disk_limit(&disk.mount).is_some_and(|limit| disk.percent >= limit);
        self.verdict.problems.iter().any(|problem| is_problem(&problem.key))
            || reached && !self.verdict.is_old
    }

    /// How far the agent's clock is ahead of the endpoint's, if that is more than a minute; negative if it is behind.
    #[must_use]
    pub fn clock_error_seconds(&self) -> Option<i64> {
        let reading = self.stored.reading.as_ref()?;
        let error = reading.timestamp? - reading.received_at?;
        (error.abs() > CLOCK_TOLERANCE).then(|| error.as_seconds_f64().round() as i64)
    }

    /// Whether each of these words, in lower case, is in what is known of it.
    pub(super) fn has_words(&self, words: &[String]) -> bool {
        if words.is_empty() {
            return true;
        }
        let Os { distribution, version, .. } = &self.stored.os;
        let names = [&self.stored.hostname, distribution, version].into_iter().flatten();
        let mut text: Vec<_> = names.cloned().collect();
        let states = [self.status().as_str(), self.standing().as_str()];
        let group = self.stored.group.as_ref().map(Group::as_str);
        text.extend([self.id()].into_iter().chain(group).chain(states).map(str::to_owned));
        text.extend(self.remarks());
        let text = text.join(" ").to_lowercase();
        words.iter().all(|word| text.contains(word))
    }

    /// The free space of the disk that `disk_total_gb` describes, GB.
    #[must_use]
    pub fn free_gb(&self) -> Option<f64> {
        let [total, used] = [DISK_TOTAL, DISK_USED].map(|metric| self.value(metric));
        Some((total? - used?).max(0.0))
    }
}

/// Whether a server is neither marked as offline nor late; zero means never late.
fn is_online(stored: &StoredServer, rules: &Rules, now: DateTime<Utc>) -> bool {
    let is_marked = stored.status == Some(Status::Offline);
    let offline_after = stored.offline_after.unwrap_or(rules.offline_after);
    stored.last_seen.as_ref().is_some_and(|seen| {
        !is_marked && (offline_after.is_zero() || now - seen.time <= offline_after)
    })
}

impl Serialize for Server {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = &self.stored;
        let time =
            |time: &Option<tables::time::Stored>| time.as_ref().map(|time| rfc3339(time.time));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("server_id", &stored.server_id)?;
        map.serialize_entry("hostname", &stored.hostname)?;
        map.serialize_entry("group", &stored.group.as_ref().map(Group::as_str))?;
        map.serialize_entry("status", self.status().as_str())?;
        map.serialize_entry("standing", self.standing().as_str())?;
        map.serialize_entry("last_seen", &time(&stored.last_seen))?;
        map.serialize_entry("offline_since", &time(&stored.offline_since))?;
        map.serialize_entry("returned_at", &time(&stored.returned_at))?;
        // Seconds, if it has a threshold of its own; 0 is never.
        let offline_after = stored.offline_after.map(|after| after.num_seconds());
        map.serialize_entry("offline_after", &offline_after)?;
        let problems = self.verdict.problems.iter().map(|problem| {
            let announced = announce::problem(stored, problem);
            json!({
                "kind": announced.kind,
                "name": announced.name,
                "value": announced.value,
                "limit": problem.limit,
                "since": rfc3339(problem.since),
                "reason": announced.reason,
                "urgent": announced.urgent,
            })
        });
        map.serialize_entry("problems", &problems.collect::<Vec<_>>())?;
        map.serialize_entry("silenced_until", &stored.silenced_until.map(rfc3339))?;
        let quiet = stored.quiet.as_ref().map(ToString::to_string);
        map.serialize_entry("quiet", &quiet)?;
        map.serialize_entry("os_distribution", &stored.os.distribution)?;
        map.serialize_entry("os_version", &stored.os.version)?;
        map.serialize_entry("kernel_version", &stored.os.kernel)?;
        map.serialize_entry("architecture", &stored.os.architecture)?;
        map.serialize_entry("agent_version", &stored.agent_version)?;
        for metric in [CPU, MEMORY, DISK, LOAD, UPTIME] {
            map.serialize_entry(metric.name, &self.value(metric))?;
        }
        let reading = stored.reading.as_ref().map(|known| reading(known, !self.verdict.is_old));
        map.serialize_entry("reading", &reading)?;
        map.serialize_entry("clock_error_seconds", &self.clock_error_seconds())?;
        map.end()
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A reading as JSON: when it was taken and received, whether it is the present, its metrics, and what it has of file systems and
/// services.
fn reading(reading: &Reading, is_fresh: bool) -> Map<String, Value> {
    let times = [("timestamp", reading.timestamp), ("received_at", reading.received_at)];
    let present_times =
        times.into_iter().filter_map(|(name, at)| Some((name.to_owned(), json!(format(at?)))));
    let metrics =
        reading.metrics.iter().map(|(metric, value)| (metric.name.to_owned(), number(value)));
    let is_fresh = ("is_fresh".to_owned(), json!(is_fresh));
    let disks = reading.disks.as_ref().map(|disks| {
        Value::Object(disks.iter().map(|disk| (disk.mount.clone(), json!(disk.percent))).collect())
    });
    let not_running = reading.services.iter().flat_map(|services| &services.not_running);
    let of_services = |value: &dyn Fn(&Service) -> Option<Value>| -> Map<_, _> {
        let known = not_running.clone();
        known.filter_map(|service| Some((service.name.clone(), value(service)?))).collect()
    };
    let statuses = of_services(&|service| Some(json!(service.status.as_str())));
    let reasons = of_services(&|service| service.reason.as_ref().map(|reason| json!(reason)));
    let is_cut = reading.services.as_ref().is_some_and(|services| services.is_cut);
    let lists = [
        ("disks", disks),
        ("services", reading.services.as_ref().map(|_| Value::Object(statuses))),
        ("services_cut", is_cut.then_some(Value::Bool(true))),
        ("reasons", (!reasons.is_empty()).then_some(Value::Object(reasons))),
    ];
    let lists = lists.into_iter().filter_map(|(name, list)| Some((name.to_owned(), list?)));
    present_times.chain([is_fresh]).chain(metrics).chain(lists).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Fleet;
    use super::*;
    use tables::Metrics;
    use tables::time::Stored;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_768_732_200, 0).expect("a time")
    }

    fn server(name: &str, status: Status, ago: Option<i64>, disk: f64) -> StoredServer {
        let last_seen = ago.and_then(|ago| Stored::parse(format(now() - TimeDelta::seconds(ago))));
        let value = |metric: &Metric| (metric.name == DISK.name).then_some(Number::Float(disk));
        StoredServer {
            server_id: name.to_owned(),
            status: Some(status),
            last_seen,
            reading: Some(Reading { metrics: Metrics::from_fn(value), ..Reading::default() }),
            ..Default::default()
        }
    }

    fn fleet(stored: impl IntoIterator<Item = StoredServer>) -> Fleet {
        Fleet::new(stored.into_iter().collect(), None, now())
    }

    #[test]
    fn a_server_is_offline_when_marked_or_late_or_never_seen() {
        for (status, ago, is_online) in [
            (Status::Online, Some(-5), true),
            (Status::Online, Some(180), true),
            (Status::Online, Some(181), false),
            (Status::Online, None, false),
            (Status::Offline, Some(1), false),
        ] {
            let fleet = fleet([server("web-1", status, ago, 1.0)]);
            assert_eq!(fleet.servers[0].is_online, is_online, "{status:?}, {ago:?}");
        }
    }
}
