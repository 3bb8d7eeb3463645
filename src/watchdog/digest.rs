//! The message of the day: what is still wrong, and how well all are (C10). Pure.

use super::entry::{absence, problem};
use super::problems::{self, Facts};
use announcement::words::plural;
use announcement::{Announcement, Fleet};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use std::collections::BTreeSet;
use tables::server::{Server, Status};
use tables::{Metric, Number, ServiceStatus, metric};

/// How long after its time a digest is sent, if it could not be sent then.
const DUE: TimeDelta = TimeDelta::hours(6);

/// How many servers a remark names. The rest is counted.
const NAMED: usize = 5;

/// When a digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Time of the day, UTC.
    pub at: NaiveTime,
    /// Whether it is sent on good days, too.
    pub is_always: bool,
}

/// What the message of the day says.
#[derive(Debug, PartialEq)]
pub struct Digest {
    /// Whether it is sent if nothing is wrong.
    is_always: bool,
    /// Servers that are offline, and the problems of the others.
    pub announcements: Vec<Announcement>,
    /// The number of servers that are well.
    well: usize,
    /// For each reason not to be, the number of servers that are not.
    unwell: [usize; Reason::ALL.len()],
    reboots: ServerList,
    updates: ServerList,
    without_reading: ServerList,
    unknown_services: ServerList,
}

/// Why a server is not well: what applies first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Silenced,
    Offline,
    Late,
    Problem,
    NoReading,
    UnknownService,
    NoStatus,
}

/// Some servers by name, and how many there are.
#[derive(Debug, Default, PartialEq)]
struct ServerList {
    first: BTreeSet<String>,
    count: usize,
}

impl Schedule {
    /// The last time before this one at which a digest was to be sent, if it is still due.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = now.date_naive().and_time(self.at).and_utc();
        let last = if today <= now { today } else { today - TimeDelta::days(1) };
        (now - last < DUE).then_some(last)
    }
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Silenced,
        Self::Offline,
        Self::Late,
        Self::Problem,
        Self::NoReading,
        Self::UnknownService,
        Self::NoStatus,
    ];

    /// What is said of the servers to which it applies: `2 silenced`.
    const fn words(self) -> &'static str {
        match self {
            Self::Silenced => "silenced",
            Self::Offline => "offline",
            Self::Late => "late",
            Self::Problem => "with a problem",
            Self::NoReading => "without a fresh reading",
            Self::UnknownService => "with a service in an unknown state",
            Self::NoStatus => "without a status",
        }
    }
}

impl Digest {
    #[must_use]
    pub fn new(is_always: bool) -> Self {
        Self {
            is_always,
            announcements: Vec::new(),
            well: 0,
            unwell: [0; Reason::ALL.len()],
            reboots: ServerList::default(),
            updates: ServerList::default(),
            without_reading: ServerList::default(),
            unknown_services: ServerList::default(),
        }
    }

    /// Adds a server, as of a time. One that is offline and late has just been marked.
    pub fn add(&mut self, server: &Server, is_late: bool, now: DateTime<Utc>) {
        let reason = match server.status {
            _ if server.is_silenced(now) => Some(Reason::Silenced),
            None => Some(Reason::NoStatus),
            Some(Status::Offline) => {
                if server.is_announced() || is_late {
                    self.announcements.push(Announcement::Offline(absence(server)));
                }
                Some(Reason::Offline)
            }
            Some(Status::Online) => self.add_online(server, is_late),
        };
        match reason {
            None => self.well += 1,
            Some(reason) => self.unwell[reason as usize] += 1,
        }
    }

    fn add_online(&mut self, server: &Server, is_late: bool) -> Option<Reason> {
        let before = self.announcements.len();
        let words = problems::announced(server);
        self.announcements.extend(words.map(|announcement| problem(server, &announcement)));
        let facts = Facts::of(server);
        let reading = facts.and_then(|facts| facts.reading);
        let number = |metric: &Metric| {
            let value = reading.and_then(|reading| reading.metrics.value(metric));
            value.map_or(0.0, Number::as_f64)
        };
        let services = reading.and_then(|reading| reading.services);
        let is_unknown = services.is_some_and(|services| {
            let mut services = services.not_running.iter();
            services.any(|service| service.status == ServiceStatus::Unknown)
        });
        let server_id = &server.server_id;
        let updates = number(metric!("security_updates"));
        let remarks = [
            (number(metric!("reboot_required")) > 0.0, &mut self.reboots, server_id.clone()),
            (updates > 0.0, &mut self.updates, format!("{server_id} ({updates})")),
            (reading.is_none(), &mut self.without_reading, server_id.clone()),
            (is_unknown, &mut self.unknown_services, server_id.clone()),
        ];
        for (applies, named, name) in remarks {
            if applies {
                named.add(name);
            }
        }
        let reasons = [
            (is_late || facts.is_none(), Reason::Late),
            (self.announcements.len() > before, Reason::Problem),
            (reading.is_none(), Reason::NoReading),
            (is_unknown, Reason::UnknownService),
        ];
        let applies = reasons.into_iter().find(|(applies, _)| *applies);
        applies.map(|(_, reason)| reason)
    }

    /// How the fleet is; `None` if only what is wrong is to be said.
    #[must_use]
    pub fn fleet(&self) -> Option<Fleet> {
        let servers = self.well + self.unwell.iter().sum::<usize>();
        let remarks = [
            self.reboots.remark("reboot required"),
            self.updates.remark("security updates"),
            self.without_reading.remark("no fresh reading"),
            self.unknown_services.remark("a service in an unknown state"),
        ];
        self.is_always.then(|| Fleet {
            servers,
            well: self.well,
            summary: self.summary(servers),
            remarks: remarks.into_iter().flatten().collect(),
        })
    }

    fn summary(&self, servers: usize) -> String {
        if servers == 0 {
            return "no server has sent a heartbeat yet".to_owned();
        }
        if self.well == servers {
            let verb = if servers == 1 { "is" } else { "are" };
            return format!("All {} {verb} well", plural(servers, "server"));
        }
        let reasons = Reason::ALL.into_iter().zip(self.unwell);
        let reasons = reasons
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!(", {count} {}", reason.words()));
        let reasons: String = reasons.collect();
        format!("{} of {servers} are well{reasons}", self.well)
    }
}

impl ServerList {
    fn add(&mut self, name: String) {
        self.count += 1;
        self.first.insert(name);
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }

    /// `reboot required: db-1, web-1`; `None` without a server.
    fn remark(&self, what: &str) -> Option<String> {
        let names: Vec<_> = self.first.iter().map(String::as_str).collect();
        let more = match self.count - self.first.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (self.count > 0).then(|| format!("{what}: {}{more}", names.join(", ")))
    }
}
