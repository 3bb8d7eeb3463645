//! `services`: those that do not run are kept.

use super::field::Schema;
use super::json::{Json, Value};
use super::lenient::{LenientField, text};
use super::text::{ELLIPSIS, shorten};
use tables::{Service, ServiceStatus, Services};

/// How many services a reading holds.
const MAX: usize = 6;

/// How many bytes of a name it holds.
const MAX_NAME: usize = 40;

/// How many bytes of a reason it holds.
const MAX_REASON: usize = 80;

/// How many bytes of all reasons it holds.
const MAX_REASONS: usize = 200;

impl LenientField for Services {
    const SCHEMA: Schema = Schema::List("Service");

    fn from_json(list: Json<'_>) -> Option<Self> {
        let mut services = Self::default();
        let is_list = list.for_each(|entry| match service(entry) {
            None => services.is_cut = true,
            Some(service) if service.status == ServiceStatus::Running => {}
            Some(service) => keep(&mut services, service),
        });
        is_list.then(|| with_short_reasons(with_short_names(services)))
    }
}

fn service(entry: Json<'_>) -> Option<Service> {
    let members = entry.members(["name", "status", "status_reason"].into_iter()).ok()??;
    let Ok(Value::String(status)) = members.get("status")?.value() else {
        return None;
    };
    Some(Service {
        status: ServiceStatus::parse(&status)?,
        name: text(members.get("name")?)?,
        reason: members.get("status_reason").and_then(text),
    })
}

/// Keeps a service if it is among the first. Of two with one name, the worse one counts.
fn keep(services: &mut Services, service: Service) {
    let kept = &mut services.not_running;
    match kept.iter_mut().find(|known| known.name == service.name) {
        Some(known) if service.status < known.status => *known = service,
        Some(_) => {}
        None => kept.push(service),
    }
    kept.sort_unstable();
    services.is_cut |= kept.len() > MAX;
    kept.truncate(MAX);
}

/// Shortens the names. Two that become the same are one, the worse, and something was cut.
fn with_short_names(services: Services) -> Services {
    let mut short = Services { is_cut: services.is_cut, ..Services::default() };
    for service in services.not_running {
        let name = shorten(service.name, MAX_NAME);
        if short.not_running.iter().any(|known| known.name == name) {
            short.is_cut = true;
        } else {
            short.not_running.push(Service { name, ..service });
        }
    }
    short.not_running.sort_unstable();
    short
}

/// Shortens the reasons, in the order of the services.
fn with_short_reasons(mut services: Services) -> Services {
    let mut left = MAX_REASONS;
    for service in &mut services.not_running {
        let max = left.min(MAX_REASON);
        let reason = service.reason.take();
        let reason = reason.filter(|reason| reason.len() <= max || max >= ELLIPSIS.len());
        service.reason = reason.map(|reason| shorten(reason, max));
        left -= service.reason.as_ref().map_or(0, String::len);
    }
    services
}
