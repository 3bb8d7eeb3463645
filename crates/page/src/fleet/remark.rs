//! What a person has to know about a server besides its values.

use super::{DISK, Server};
use crate::time::to_the_minute;
use announcement::words::quantity;
use chrono::{DateTime, TimeDelta, Utc};
use std::fmt;
use syntax::duration::rounded;
use tables::problem::{Key, Problem};
use tables::{Metric, ServiceStatus};

const REBOOT: &Metric = Metric::named("reboot_required");
const SECURITY_UPDATES: &Metric = Metric::named("security_updates");

/// One thing about a server. It is displayed as words that follow the server's name.
#[derive(Debug)]
pub enum Remark<'a> {
    /// It has a problem, which has been announced.
    Problem(&'a Key, &'a Problem),
    /// It came back then, which has not been announced yet.
    Back(DateTime<Utc>),
    /// The watchdog does not announce it until then.
    Silenced(DateTime<Utc>),
    /// Its clock is so far ahead.
    Clock(TimeDelta),
    /// An upgrade waits for a reboot.
    Reboot,
    /// So many of its packages have a vulnerability that an upgrade fixes.
    SecurityUpdates(f64),
    /// Nothing is known but that it sends heartbeats.
    NoReading,
    /// The agent cannot tell what this service does.
    Service(&'a str),
}

impl Server {
    /// Everything that there is to say.
    pub fn remarks(&self) -> impl Iterator<Item = Remark<'_>> {
        let problems = self.stored.problems.announced();
        let problems = problems.map(|(key, problem)| Remark::Problem(key, problem));
        let back = self.stored.returned_at.as_ref();
        let clock = self.clock_error_seconds();
        problems
            .chain(back.map(|at| Remark::Back(at.time)))
            .chain(self.stored.silenced_until.map(Remark::Silenced))
            .chain(clock.map(|seconds| Remark::Clock(TimeDelta::seconds(seconds))))
            .chain(self.reading_remarks())
    }

    fn reading_remarks(&self) -> impl Iterator<Item = Remark<'_>> {
        let positive = |metric| self.value(metric).filter(|value| *value > 0.0);
        let reading = self.stored.reading.as_ref();
        let services = reading.and_then(|reading| reading.services.as_ref());
        let unknown = services
            .into_iter()
            .flat_map(|services| &services.not_running)
            .filter(|service| service.status == ServiceStatus::Unknown);
        let reboot = positive(REBOOT).map(|_| Remark::Reboot);
        let updates = positive(SECURITY_UPDATES).map(Remark::SecurityUpdates);
        let is_without = self.is_online && reading.is_none();
        (reboot.into_iter().chain(updates))
            .chain(unknown.map(|service| Remark::Service(&service.name)))
            .chain(is_without.then_some(Remark::NoReading))
    }
}

impl fmt::Display for Remark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(key, problem) => {
                let since = to_the_minute(problem.since);
                let (thing, metric) = match key {
                    Key::Metric(metric) => (metric.label(), *metric),
                    Key::Disk(mount) => (format!("disk {mount}"), DISK),
                    Key::Service(name) => {
                        return write!(f, "service {name} is failed or stopped since {since}");
                    }
                    Key::Duplicate => return write!(f, "two senders use this name since {since}"),
                };
                write!(f, "{thing} is high since {since}")?;
                problem
                    .limit
                    .map_or(Ok(()), |limit| write!(f, ", limit {}", quantity(metric, limit)))
            }
            Self::Back(at) => write!(f, "back since {}, not announced yet", to_the_minute(*at)),
            Self::Silenced(until) => write!(f, "silenced until {}", to_the_minute(*until)),
            Self::Clock(error) => {
                let is_ahead = *error > TimeDelta::zero();
                let direction = if is_ahead { "ahead" } else { "behind" };
                write!(f, "clock {} {direction}", rounded(*error))
            }
            Self::Reboot => f.write_str("needs a reboot"),
            Self::SecurityUpdates(count) => {
                let s = if *count == 1.0 { "" } else { "s" };
                write!(f, "{count} security update{s}")
            }
            Self::NoReading => f.write_str("has sent no reading"),
            Self::Service(name) => write!(f, "the state of service {name} is unknown"),
        }
    }
}
