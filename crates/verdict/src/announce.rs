//! What is announced of a server, as a message holds it.

use crate::condition::{self, Reading, Value};
use crate::problem::{Current, ProblemAnnouncement};
use announcement::{Absence, Announcement, Problem, ProblemKind, Removal, Return, Solved};
use serde_json::json;
use tables::server::Server;
use tables::time::{self, Stored, as_stored};
use tables::{Group, Number};

#[must_use]
pub fn absence(server: &Server) -> Absence {
    Absence {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        group: group(server),
        last_seen: stored(&server.last_seen),
        left_at: server.departure().map(|left| left.text.clone()),
    }
}

#[must_use]
pub fn removal(server: &Server) -> Removal {
    Removal {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        group: group(server),
        last_seen: stored(&server.last_seen),
    }
}

#[must_use]
pub fn end(server: &Server) -> Return {
    Return {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        group: group(server),
        offline_since: stored(&server.offline_since),
        returned_at: stored(&server.returned_at),
        last_seen: stored(&server.last_seen),
    }
}

/// A problem in the words of announcements.
#[must_use]
pub fn problem(server: &Server, current: &Current) -> Problem {
    let value = current.value.map(|value| match value {
        Value::Number(Number::Float(float)) => json!(float),
        Value::Number(Number::Whole(whole)) => json!(whole),
        Value::Status(status) => json!(status.as_str()),
    });
    let name = current.key.name().unwrap_or(&server.server_id);
    let reading = server.reading.as_ref().filter(|_| value.is_some()).and_then(Reading::of);
    let reason = reading.and_then(|reading| condition::reason(&reading, &current.key));
    Problem {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        group: group(server),
        kind: ProblemKind::Known(current.key.kind()),
        name: name.to_owned(),
        value,
        limit: current.limit.map(|limit| json!(limit)),
        since: Some(time::format(current.since)),
        reason: reason.map(str::to_owned),
        urgent: current.key.is_urgent(),
    }
}

/// That a problem goes on, or its end.
#[must_use]
pub fn change(server: &Server, announcement: &ProblemAnnouncement) -> Announcement {
    let problem = problem(server, &announcement.problem);
    match announcement.end {
        None => Announcement::Problem(problem),
        Some(end) => Announcement::Solved(Solved { problem, end: end.as_str().to_owned() }),
    }
}

fn group(server: &Server) -> Option<String> {
    server.group.as_ref().map(Group::to_string)
}

fn stored(time: &Option<Stored>) -> Option<String> {
    as_stored(time).map(str::to_owned)
}
