//! A service failed or was stopped.

use super::{Facts, Finding, Level, Reading};
use chrono::TimeDelta;
use tables::problem::Key;
use tables::{Service, ServiceStatus};

pub fn high(facts: &Facts<'_>) -> Vec<Key> {
    let services = facts.reading.and_then(|reading| reading.services);
    let services = services.into_iter().flat_map(|services| &services.not_running);
    let high = services.filter(|service| level_of(service.status) == Level::High);
    let keys = high.map(|service| Key::Service(service.name.clone()));
    keys.filter(|key| facts.limits.watches(key, facts.own)).collect()
}

pub fn find(facts: &Facts<'_>, name: &str) -> Option<Finding> {
    let reading = facts.reading?;
    let is_watched = facts.limits.watches(&Key::Service(name.to_owned()), facts.own);
    let level = if is_watched { level(&reading, name) } else { Level::Unwatched };
    Some(reading.finding(level, None, TimeDelta::zero()))
}

/// What the agent says of a service that does not run.
pub fn find_in<'a>(reading: &Reading<'a>, name: &str) -> Option<&'a Service> {
    reading.services?.not_running.iter().find(|service| service.name == name)
}

fn level(reading: &Reading<'_>, name: &str) -> Level {
    match (reading.services, find_in(reading, name)) {
        (_, Some(service)) => level_of(service.status),
        (Some(services), None) if !services.is_cut => Level::Low,
        (_, None) => Level::Unknown,
    }
}

const fn level_of(status: ServiceStatus) -> Level {
    match status {
        ServiceStatus::Failed | ServiceStatus::Stopped => Level::High,
        ServiceStatus::Unknown => Level::Unknown,
        ServiceStatus::Running => Level::Low,
    }
}
