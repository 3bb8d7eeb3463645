//! The digest: what is still wrong, and how well all are (C10).

use crate::announce::{absence, problem};
use crate::fleet::Summary;
use crate::forecast;
use crate::problem::Current;
use crate::standing::{Standing, Unknown, Verdict};
use announcement::words::{Natural, plural};
use announcement::{Announcement, Fleet, Kind};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use tables::server::{Delivery, Server};
use tables::{Metric, Number, Zone, metric, time};
use thiserror::Error;

/// How long after its time a digest is sent, if it could not be sent then.
const DUE: TimeDelta = TimeDelta::hours(6);

/// How many servers a remark names. The rest is counted.
const NAMED: usize = 5;

/// The most announcements that are kept: more than there is room for in a message. The rest is counted.
const LISTED: usize = 2_000;

/// So many new servers are a reason to send a digest: a key may be inventing them.
const MANY_NEW: usize = 100;

/// For how long a server is new, if there was no digest yet.
const NEW: TimeDelta = TimeDelta::days(1);

/// When a digest is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Times of the day, in the zone of the rules.
    at: Vec<NaiveTime>,
    /// Whether it is sent on good days, too.
    pub is_always: bool,
    /// As it was set.
    text: String,
}

/// What is no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not times HH:MM, separated by commas and optionally followed by /always, nor none")]
pub struct InvalidSchedule;

/// What a digest says.
#[derive(Debug, PartialEq)]
pub struct Digest {
    /// Whether it is sent if nothing is wrong.
    is_always: bool,
    /// Servers that are offline, and the problems of the others: the first of them.
    announcements: Vec<Announcement>,
    /// How many there are of each kind.
    counts: BTreeMap<Kind, usize>,
    summary: Summary,
    /// When each server was registered, then those that are new.
    registered: Vec<DateTime<Utc>>,
    remarks: BTreeMap<Remark, Named>,
    today: NaiveDate,
    /// File systems that are full soon: in how many days, of which server, and which.
    full: BTreeSet<(i64, Natural, String)>,
    /// How many there are.
    full_count: usize,
    /// Whether an agent says how many updates there are.
    has_updates: bool,
    /// That of this program.
    stack: Option<Version>,
}

/// What is worth knowing besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Remark {
    Reboot,
    SecurityUpdates,
    NoUpdates,
    NoStatus,
    Attribute,
    NoReading,
    UnknownService,
    OldAgent,
}

/// Some servers by name, and how many there are.
#[derive(Debug, Default, PartialEq)]
struct Named {
    first: BTreeSet<Natural>,
    count: usize,
}

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    /// `HH:MM`, or `HH:MM,HH:MM/always`
    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let always = text.strip_suffix("/always");
        let time = |time: &str| {
            let at = NaiveTime::parse_from_str(time, "%H:%M").ok();
            at.filter(|_| time.len() == "HH:MM".len()).ok_or(InvalidSchedule)
        };
        Ok(Self {
            at: always.unwrap_or(text).split(',').map(time).collect::<Result<_, _>>()?,
            is_always: always.is_some(),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Schedule {
    /// The last time before this one at which a digest was to be sent, if it is still due.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
        let today = zone.local(now).date();
        let days = [Some(today), today.pred_opt()].into_iter().flatten();
        let times =
            days.flat_map(|day| self.at.iter().map(move |at| zone.moment(day.and_time(*at))));
        times.filter(|time| *time <= now && now - *time < DUE).max()
    }
}

impl Digest {
    /// Of no server. The sweep that sends it counts as just made, and its rules are known.
    #[must_use]
    pub fn new(schedule: &Schedule, now: DateTime<Utc>, zone: Zone) -> Self {
        Self {
            is_always: schedule.is_always,
            announcements: Vec::new(),
            counts: BTreeMap::new(),
            summary: Summary::new(now, zone),
            registered: Vec::new(),
            remarks: BTreeMap::new(),
            today: now.date_naive(),
            full: BTreeSet::new(),
            full_count: 0,
            has_updates: false,
            stack: Version::parse(env!("CARGO_PKG_VERSION")).ok(),
        }
    }

    /// Adds a server with its verdict.
    pub fn add(&mut self, server: &Server, verdict: Verdict) {
        let Verdict { standing, problems, unknown, is_old, .. } = verdict;
        self.summary.add(standing);
        if standing == Standing::Gone {
            return;
        }
        self.registered.extend(server.registered_at.as_deref().and_then(time::parse));
        match standing {
            Standing::Silenced => return,
            Standing::Offline => {
                self.announce(Announcement::Offline(absence(server)));
                return;
            }
            _ => {}
        }
        // What is old is not shown as the present.
        let value = |problem: &Current| problem.value.filter(|_| !is_old);
        let problems = problems.into_iter().map(|known| Current { value: value(&known), ..known });
        let announced = problems.map(|current| Announcement::Problem(problem(server, &current)));
        announced.for_each(|announced| self.announce(announced));
        for (mount, date) in &server.full_on {
            self.add_full(server, mount, (*date - self.today).num_days());
        }
        let reading = server.reading.as_ref().filter(|_| !is_old);
        let value = |metric: &Metric| reading.and_then(|reading| reading.metrics.value(metric));
        let number = |metric: &Metric| value(metric).map_or(0.0, Number::as_f64);
        match value(metric!("updates_available")) {
            Some(_) => self.has_updates = true,
            None if reading.is_some() => self.remark(Remark::NoUpdates, server.server_id.clone()),
            None => {}
        }
        let agent = server.agent_version.as_deref().and_then(|agent| Version::parse(agent).ok());
        let versions = agent.as_ref().zip(self.stack.as_ref());
        if versions.is_some_and(|(agent, stack)| agent.cmp_precedence(stack).is_lt()) {
            self.remark(Remark::OldAgent, server.server_id.clone());
        }
        let updates = number(metric!("security_updates"));
        if number(metric!("reboot_required")) > 0.0 {
            self.remark(Remark::Reboot, server.server_id.clone());
        }
        if updates > 0.0 {
            self.remark(Remark::SecurityUpdates, format!("{} ({updates})", server.server_id));
        }
        let mut remarks: Vec<_> = unknown.iter().map(Remark::of).collect();
        remarks.dedup();
        for remark in remarks {
            self.remark(remark, server.server_id.clone());
        }
    }

    /// Adds what is known of webhooks.
    pub fn doubt_undelivered(&mut self, deliveries: &[Delivery]) {
        self.summary.doubt_undelivered(deliveries);
    }

    /// Adds a file system that is full in so many days, if that is soon.
    fn add_full(&mut self, server: &Server, mount: &str, days: i64) {
        if (0..=forecast::SOON).contains(&days) {
            self.full_count += 1;
            self.full.insert((days, Natural::of(&server.server_id), mount.to_owned()));
            if self.full.len() > NAMED {
                self.full.pop_last();
            }
        }
    }

    /// Adds so many servers of which only the standing is known.
    pub fn count(&mut self, standing: Standing, servers: usize) {
        (0..servers).for_each(|_| self.summary.add(standing));
        if standing == Standing::Offline && servers > 0 {
            *self.counts.entry(Kind::Offline).or_default() += servers;
        }
    }

    fn announce(&mut self, announcement: Announcement) {
        *self.counts.entry(announcement.kind()).or_default() += 1;
        self.announcements.push(announcement);
        if self.announcements.len() >= 2 * LISTED {
            self.announcements.sort_by(Announcement::order);
            self.announcements.truncate(LISTED);
        }
    }

    /// The first announcements, and how many there are of each kind.
    #[must_use]
    pub fn announcements(&self) -> (&[Announcement], Vec<(Kind, usize)>) {
        (&self.announcements, self.counts.iter().map(|(kind, count)| (*kind, *count)).collect())
    }

    fn remark(&mut self, remark: Remark, name: String) {
        self.remarks.entry(remark).or_default().add(name);
    }

    /// Completes the digest with the time of the last one: what was registered since then is new.
    #[must_use]
    pub fn after(mut self, last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let since = last.unwrap_or(now - NEW);
        self.registered.retain(|at| *at > since);
        self
    }

    /// Whether there is something to send.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.is_always
            || !self.counts.is_empty()
            || self.registered.len() >= MANY_NEW
            || self.full_count > 0
    }

    /// How the fleet is.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let is_said = |remark: Remark| self.has_updates || remark != Remark::NoUpdates;
        let remarks = self.remarks.iter().filter(|(remark, _)| is_said(**remark));
        let remarks = remarks.map(|(remark, named)| named.say(*remark));
        let new = Some(self.registered.len()).filter(|count| *count > 0);
        let new = new.map(|count| plural(count, "new server"));
        Fleet {
            servers: self.summary.servers(),
            well: self.summary.count(Standing::Well),
            summary: self.summary.to_string(),
            remarks: new.into_iter().chain(self.say_full()).chain(remarks).collect(),
        }
    }

    /// A line for each file system that is full soon, the first ones by name.
    fn say_full(&self) -> impl Iterator<Item = String> {
        let more = self.full_count - self.full.len();
        let more = (more > 0)
            .then(|| format!("{} full within {} days", plural(more, "more disk"), forecast::SOON));
        let say = |(days, server, mount): &(i64, Natural, String)| {
            forecast::say(mount, Some(server.as_str()), *days)
        };
        self.full.iter().map(say).chain(more)
    }
}

impl Remark {
    const fn of(unknown: &Unknown) -> Self {
        match unknown {
            Unknown::Status => Self::NoStatus,
            Unknown::Attribute => Self::Attribute,
            Unknown::Reading => Self::NoReading,
            Unknown::Service(_) => Self::UnknownService,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Reboot => "reboot required",
            Self::SecurityUpdates => "security updates",
            Self::NoUpdates => "updates unknown on",
            Self::NoStatus => "no status",
            Self::Attribute => "an attribute that cannot be read",
            Self::NoReading => "no fresh reading",
            Self::UnknownService => "a service in an unknown state",
            Self::OldAgent => "agent older than the stack:",
        }
    }
}

impl Named {
    fn add(&mut self, name: String) {
        self.count += 1;
        self.first.insert(Natural::of(&name));
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }

    /// `reboot required: db-1, web-1`, `updates unknown on 3`
    fn say(&self, remark: Remark) -> String {
        if let Remark::NoUpdates | Remark::OldAgent = remark {
            return format!("{} {}", remark.as_str(), self.count);
        }
        let names: Vec<_> = self.first.iter().map(Natural::as_str).collect();
        let more = match self.count - self.first.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}: {}{more}", remark.as_str(), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C10.1 C10.2 C8.16
    #[test]
    fn a_digest_is_due_at_each_of_its_times_in_the_zone() {
        for (times, zone, now, expected) in [
            ("08:00", "UTC", "2026-01-18T08:00:00Z", Some("2026-01-18T08:00:00Z")),
            ("08:00", "UTC", "2026-01-18T13:59:00Z", Some("2026-01-18T08:00:00Z")),
            ("08:00", "UTC", "2026-01-18T14:00:00Z", None),
            ("08:00", "UTC", "2026-01-18T07:59:00Z", None),
            ("23:00", "UTC", "2026-01-18T04:59:00Z", Some("2026-01-17T23:00:00Z")),
            ("08:00,20:00", "UTC", "2026-01-18T12:00:00Z", Some("2026-01-18T08:00:00Z")),
            ("20:00,08:00/always", "UTC", "2026-01-18T21:00:00Z", Some("2026-01-18T20:00:00Z")),
            ("08:00,08:05", "UTC", "2026-01-18T08:04:00Z", Some("2026-01-18T08:00:00Z")),
            ("08:00,08:05", "UTC", "2026-01-18T08:05:00Z", Some("2026-01-18T08:05:00Z")),
            ("08:00", "Europe/Berlin", "2026-01-18T07:00:00Z", Some("2026-01-18T07:00:00Z")),
            ("08:00", "Europe/Berlin", "2026-07-18T06:00:00Z", Some("2026-07-18T06:00:00Z")),
            ("00:00", "Europe/Berlin", "2026-07-18T22:00:00Z", Some("2026-07-18T22:00:00Z")),
            // There is no 02:30: the first moment after the gap.
            ("02:30", "Europe/Berlin", "2026-03-29T00:59:00Z", None),
            ("02:30", "Europe/Berlin", "2026-03-29T01:00:00Z", Some("2026-03-29T01:00:00Z")),
            ("02:30", "America/New_York", "2026-03-08T06:59:00Z", None),
            ("02:30", "America/New_York", "2026-03-08T07:00:00Z", Some("2026-03-08T07:00:00Z")),
            // There are two: the first.
            ("02:30", "Europe/Berlin", "2026-10-25T00:30:00Z", Some("2026-10-25T00:30:00Z")),
            ("02:30", "Europe/Berlin", "2026-10-25T01:30:00Z", Some("2026-10-25T00:30:00Z")),
            ("01:30", "America/New_York", "2026-11-01T06:30:00Z", Some("2026-11-01T05:30:00Z")),
            // On the other side of the date line.
            ("08:00", "Pacific/Kiritimati", "2026-01-17T18:00:00Z", Some("2026-01-17T18:00:00Z")),
            ("23:30", "Pacific/Pago_Pago", "2026-01-18T10:30:00Z", Some("2026-01-18T10:30:00Z")),
        ] {
            let schedule: Schedule = times.parse().expect("a schedule");
            let zone = zone.parse().expect("a zone");
            let due = schedule.due(now.parse().expect("a time"), &zone);
            let expected = expected.map(|at| at.parse().expect("a time"));
            assert_eq!(due, expected, "{times} {zone} {now}");
        }
    }

    // C10.1
    #[test]
    fn a_schedule_is_times_of_the_day() {
        for text in ["00:00", "23:59/always", "08:00,20:00", "08:00,12:30,20:00/always"] {
            let schedule: Schedule = text.parse().expect("a schedule");
            assert_eq!(schedule.to_string(), text);
            assert_eq!(schedule.is_always, text.ends_with("/always"));
        }
        for text in [
            "",
            "8:00",
            "24:00",
            "08:60",
            "08:00,",
            "08:00 20:00",
            "08:00/always,20:00",
            "08:00/",
            "/always",
            "none",
        ] {
            assert_eq!(text.parse::<Schedule>(), Err(InvalidSchedule), "{text}");
        }
    }
}
