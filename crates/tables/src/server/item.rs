//! A server as its item is read.

use super::Status;
use super::attribute::{
    AGENT_VERSION, ANNOUNCED, ARCHITECTURE, Attribute, DUPLICATE_AT, FULL_ON, GROUP, HOSTNAME,
    KERNEL_VERSION, LAST_SEEN, LEFT_AT, LIMITS, OFFLINE_AFTER, OFFLINE_SINCE, OS_DISTRIBUTION,
    OS_VERSION, PROBLEMS, QUIET, READING, REGISTERED_AT, RETURNED_AT, SAID_AT, SERVER_ID,
    SILENCED_UNTIL, STATUS,
};
use crate::disk::items::DISKS;
use crate::problem::{Key, Problems, Stage};
use crate::{
    Disk, Group, Item, Limits, Metric, Metrics, Quiet, RECEIVED_AT, ServerId, Service,
    ServiceStatus, Services, TIMESTAMP, read, text, time,
};
use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, M, S};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::collections::BTreeMap;

/// A server as its item describes it. What is absent or cannot be read is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Server {
    pub server_id: String,
    pub hostname: Option<String>,
    pub status: Option<Status>,
    /// When its last heartbeat was received.
    pub last_seen: Option<time::Stored>,
    /// When a heartbeat said that the machine is switched off.
    pub left_at: Option<time::Stored>,
    /// The `last_seen` before its current absence, or before the one that it has returned from.
    pub offline_since: Option<time::Stored>,
    /// Absent while nothing about this absence can have been published, [`PENDING`] from before anything is, and
    /// `offline_since` once "offline" is recorded.
    pub announced: Option<String>,
    /// The `last_seen` with which a sweep first found the server online again.
    pub returned_at: Option<time::Stored>,
    /// `None` also if it belongs to none on purpose.
    pub group: Option<Group>,
    /// The watchdog does not announce the server until then.
    pub silenced_until: Option<DateTime<Utc>>,
    /// Nor in these times.
    pub quiet: Option<Quiet>,
    /// The end of its quiet time, and of a silence of all servers. The item does not say them.
    pub quiet_until: Option<DateTime<Utc>>,
    pub silenced_with_all_until: Option<DateTime<Utc>>,
    pub os: Os,
    pub agent_version: Option<String>,
    /// When it was last noted that two senders use this name.
    pub duplicate_at: Option<time::Stored>,
    /// What the last heartbeat with metrics measured.
    pub reading: Option<Reading>,
    pub registered_at: Option<String>,
    /// The threshold after which this server is late; 0 means never. `None` means as the watchdog's settings say.
    pub offline_after: Option<TimeDelta>,
    /// The limits of this server's own.
    pub limits: Option<Limits>,
    pub problems: Problems,
    /// When messages named the server: the last times, in whole seconds, the latest last.
    pub said_at: Vec<DateTime<Utc>>,
    /// Whether it ends on purpose, as its group says.
    pub is_ephemeral: bool,
    /// The day on which each file system is full at the pace of its last days, by its mount point, if that is within a year.
    pub full_on: FullOn,
    /// Whether the item holds an attribute that cannot be read.
    pub is_malformed: bool,
}

/// Days by mount point.
pub type FullOn = BTreeMap<String, NaiveDate>;

/// The operating system of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Os<T = String> {
    pub distribution: Option<T>,
    pub version: Option<T>,
    pub kernel: Option<T>,
    pub architecture: Option<T>,
}

/// The last reading of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    pub metrics: Metrics,
    /// When the agent took it, by its own clock.
    pub timestamp: Option<DateTime<Utc>>,
    pub received_at: Option<DateTime<Utc>>,
    /// The fullest file systems, the fullest first; `None` if the agent sent no list.
    pub disks: Option<Vec<Disk>>,
    /// The services that do not run; `None` if the agent sent no list.
    pub services: Option<Services>,
}

const SERVICES: &str = "services";
const SERVICES_CUT: &str = "services_cut";
const REASONS: &str = "reasons";

/// What is judged of a reading besides its metrics.
pub(super) const JUDGED: [&str; 5] = [RECEIVED_AT, DISKS, SERVICES, SERVICES_CUT, REASONS];

impl Reading {
    /// Reads the attribute. What cannot be read is left out.
    fn from_attribute(value: &AttributeValue) -> Option<Self> {
        let map = value.as_m().ok()?;
        let time = |name| read(map, name).and_then(time::parse);
        let list = |name| map.get(name).and_then(|value| value.as_m().ok());
        Some(Self {
            metrics: Metrics::from_item(map),
            timestamp: time(TIMESTAMP),
            received_at: time(RECEIVED_AT),
            disks: Disk::from_item(map),
            services: list(SERVICES).map(|services| Services {
                not_running: read_services(services, list(REASONS)),
                is_cut: map.get(SERVICES_CUT) == Some(&Bool(true)),
            }),
        })
    }

    pub(super) fn value(&self) -> AttributeValue {
        let time = |at: Option<DateTime<Utc>>| at.map(|at| S(time::format(at)));
        let disks = self.disks.as_deref().map(Disk::attribute);
        let services = self.services.as_ref();
        let is_cut = services.is_some_and(|services| services.is_cut);
        let not_running = services.into_iter().flat_map(|services| &services.not_running);
        let reasons = not_running.filter_map(|service| {
            service.reason.clone().map(|reason| (service.name.clone(), S(reason)))
        });
        let reasons: Item = reasons.collect();
        let services = services.map(|services| {
            let status = |service: &Service| S(service.status.as_str().to_owned());
            let services = services.not_running.iter();
            M(services.map(|service| (service.name.clone(), status(service))).collect())
        });
        let beside = [
            (TIMESTAMP, time(self.timestamp)),
            (RECEIVED_AT, time(self.received_at)),
            (DISKS, disks),
            (SERVICES, services),
            (SERVICES_CUT, is_cut.then_some(Bool(true))),
            (REASONS, (!reasons.is_empty()).then_some(M(reasons))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        M(self.metrics.attributes().chain(beside).collect())
    }
}

fn read_services(map: &Item, reasons: Option<&Item>) -> Vec<Service> {
    let service = |(name, status): (&String, &AttributeValue)| {
        Some(Service {
            status: ServiceStatus::parse(status.as_s().ok()?)?,
            name: name.clone(),
            reason: reasons.and_then(|reasons| text(reasons, name)),
        })
    };
    let mut services: Vec<_> = map.iter().filter_map(service).collect();
    services.sort_unstable();
    services
}

/// The value of `announced` while something may have been published without being recorded.
pub(super) const PENDING: &str = "pending";

/// The longest threshold of a server's own, seconds: a year.
pub const MAX_OFFLINE_AFTER: i64 = 31_536_000;

/// Reads an item, and notes whether it holds an attribute that cannot be read.
struct Checked<'a> {
    /// A list, because comparing names is faster than hashing them, which a sweep notices.
    item: Vec<(&'a str, &'a AttributeValue)>,
    is_malformed: bool,
}

impl<'a> Checked<'a> {
    fn new(item: &'a Item) -> Self {
        let item = item.iter().map(|(name, value)| (name.as_str(), value)).collect();
        Self { item, is_malformed: false }
    }

    fn value(&self, attribute: Attribute) -> Option<&'a AttributeValue> {
        let mut item = self.item.iter();
        item.find(|(name, _)| *name == attribute.name()).map(|(_, value)| *value)
    }

    fn str(&self, attribute: Attribute) -> Option<&'a str> {
        self.value(attribute)?.as_s().ok().map(String::as_str)
    }

    fn text(&self, attribute: Attribute) -> Option<String> {
        self.str(attribute).map(str::to_owned)
    }

    fn read<T>(
        &mut self,
        attribute: Attribute,
        parse: impl FnOnce(&AttributeValue) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.value(attribute)?);
        self.is_malformed |= parsed.is_none();
        parsed
    }

    fn time(&mut self, attribute: Attribute) -> Option<time::Stored> {
        self.read(attribute, |time| time::Stored::parse(time.as_s().ok()?.clone()))
    }
}

fn read_full_on(value: &AttributeValue) -> Option<FullOn> {
    let day = |(mount, day): (&String, &AttributeValue)| {
        Some((mount.clone(), day.as_s().ok()?.parse().ok()?))
    };
    value.as_m().ok()?.iter().map(day).collect()
}

pub(super) fn parse_threshold(value: &AttributeValue) -> Option<TimeDelta> {
    let seconds = value.as_n().ok()?.parse().ok()?;
    (0..=MAX_OFFLINE_AFTER).contains(&seconds).then(|| TimeDelta::seconds(seconds))
}

pub(super) fn parse_quiet(value: &AttributeValue) -> Option<Quiet> {
    value.as_s().ok()?.parse().ok()
}

fn parse_said_at(value: &AttributeValue) -> Option<Vec<DateTime<Utc>>> {
    let seconds = |value: &AttributeValue| value.as_n().ok()?.parse().ok();
    let time = |value| DateTime::from_timestamp(seconds(value)?, 0);
    value.as_l().ok()?.iter().map(time).collect()
}

fn parse_group(value: &AttributeValue) -> Option<Option<Group>> {
    match value.as_s().ok()?.as_str() {
        Group::NONE => Some(None),
        name => Group::new(name).map(Some),
    }
}

impl Server {
    /// The id of an item, whatever it is of.
    #[must_use]
    pub fn id(item: &Item) -> Option<&str> {
        SERVER_ID.of(item)?.as_s().ok().map(String::as_str)
    }

    /// Reads an item; `None` if its id is not that of a server.
    #[must_use]
    pub fn from_item(item: &Item) -> Option<Self> {
        let mut item = Checked::new(item);
        let server_id = item.str(SERVER_ID).filter(|id| ServerId::is_one(id))?.to_owned();
        let (problems, is_complete) = Problems::from_attribute(item.value(PROBLEMS));
        Some(Self {
            server_id,
            hostname: item.text(HOSTNAME),
            status: item.str(STATUS).and_then(Status::parse),
            last_seen: item.time(LAST_SEEN),
            left_at: item.time(LEFT_AT),
            offline_since: item.time(OFFLINE_SINCE),
            announced: item.value(ANNOUNCED).map(|_| item.text(ANNOUNCED).unwrap_or_default()),
            returned_at: item.time(RETURNED_AT),
            group: item.read(GROUP, parse_group).flatten(),
            silenced_until: item.time(SILENCED_UNTIL).map(|until| until.time),
            quiet: item.read(QUIET, parse_quiet),
            quiet_until: None,
            silenced_with_all_until: None,
            os: Os {
                distribution: item.text(OS_DISTRIBUTION),
                version: item.text(OS_VERSION),
                kernel: item.text(KERNEL_VERSION),
                architecture: item.text(ARCHITECTURE),
            },
            agent_version: item.text(AGENT_VERSION),
            duplicate_at: item.time(DUPLICATE_AT),
            reading: item.value(READING).and_then(Reading::from_attribute),
            registered_at: item.text(REGISTERED_AT),
            offline_after: item.read(OFFLINE_AFTER, parse_threshold),
            limits: item.read(LIMITS, |list| Limits::parse_own(list.as_s().ok()?).ok()),
            problems,
            said_at: item.read(SAID_AT, parse_said_at).unwrap_or_default(),
            is_ephemeral: false,
            full_on: item.read(FULL_ON, read_full_on).unwrap_or_default(),
            is_malformed: item.is_malformed || !is_complete,
        })
    }

    /// The metrics that an item of any kind has limits for, or problems with.
    #[must_use]
    pub fn watched(item: &Item) -> Vec<&'static Metric> {
        let limits = LIMITS.of(item).and_then(|list| Limits::parse_own(list.as_s().ok()?).ok());
        let problems = PROBLEMS.of(item).and_then(|problems| problems.as_m().ok());
        let problems = problems.into_iter().flat_map(|problems| problems.keys());
        let problems = problems.filter_map(|key| Key::parse(key)?.metric());
        limits.iter().flat_map(Limits::metrics).chain(problems).collect()
    }

    /// Reads when its file systems are full, of an item of any kind.
    #[must_use]
    pub fn full_on(item: &Item) -> FullOn {
        FULL_ON.of(item).and_then(read_full_on).unwrap_or_default()
    }

    /// The server as it is kept to be looked at, or marked: its problems cannot be written.
    #[must_use]
    pub fn without_stored_problems(&self) -> Self {
        let problems = self.problems.without_stored();
        Self { problems, ..self.clone() }
    }

    /// The `last_seen` with which it was first found online again, if that is possible.
    #[must_use]
    pub fn known_return(&self) -> Option<&time::Stored> {
        let returned = self.returned_at.as_ref().zip(self.last_seen.as_ref());
        returned.filter(|(returned, seen)| returned.time <= seen.time).map(|(returned, _)| returned)
    }

    /// The server after its return has been noted.
    #[must_use]
    pub fn with_return(mut self) -> Self {
        self.returned_at = self.known_return().or(self.last_seen.as_ref()).cloned();
        self
    }

    /// What has been announced of its absence, or of the one from which it has returned; `None` without one.
    #[must_use]
    pub fn absence(&self) -> Option<Stage> {
        let since = self.offline_since.as_ref()?;
        Some(match &self.announced {
            None => Stage::NotLasted,
            Some(announced) if *announced == since.text => Stage::Firing,
            Some(_) => Stage::Publishing,
        })
    }

    /// When its last heartbeat said that the machine is switched off, if it did.
    #[must_use]
    pub fn departure(&self) -> Option<&time::Stored> {
        self.left_at.as_ref().filter(|_| self.left_at == self.last_seen)
    }

    /// Whether it has ended on purpose, as its group expects.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.is_ephemeral && self.departure().is_some()
    }

    /// When it is no longer silenced, by whatever silences it.
    #[must_use]
    pub fn silence_ends(&self) -> Option<DateTime<Utc>> {
        self.silenced_until.max(self.quiet_until).max(self.silenced_with_all_until)
    }

    /// Whether it is silenced, also if not all servers are.
    #[must_use]
    pub fn is_silenced_itself(&self, now: DateTime<Utc>) -> bool {
        self.silenced_until.max(self.quiet_until).is_some_and(|until| until > now)
    }

    #[must_use]
    pub fn is_silenced(&self, now: DateTime<Utc>) -> bool {
        self.silence_ends().is_some_and(|until| until > now)
    }
}
