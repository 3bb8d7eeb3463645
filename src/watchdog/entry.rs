//! What is said of a server, as an announcement.

use super::problems::{ProblemAnnouncement, Value};
use announcement::{Absence, Announcement, Problem, Return, Solved};
use serde_json::json;
use tables::Number;
use tables::server::Server;
use tables::time::{self, Stored, as_stored};

pub fn absence(server: &Server) -> Absence {
    Absence {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        last_seen: stored(&server.last_seen),
    }
}

pub fn end(server: &Server) -> Return {
    Return {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        offline_since: stored(&server.offline_since),
        returned_at: stored(&server.returned_at),
        last_seen: stored(&server.last_seen),
    }
}

pub fn problem(server: &Server, announcement: &ProblemAnnouncement) -> Announcement {
    let value = announcement.value.map(|value| match value {
        Value::Number(Number::Float(float)) => json!(float),
        Value::Number(Number::Whole(whole)) => json!(whole),
        Value::Status(status) => json!(status.as_str()),
    });
    let name = announcement.key.name().unwrap_or(&server.server_id);
    let problem = Problem {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        kind: announcement.key.kind().as_str().to_owned(),
        name: name.to_owned(),
        value,
        limit: announcement.limit.map(|limit| json!(limit)),
        since: Some(time::format(announcement.since)),
    };
    match announcement.end {
        None => Announcement::Problem(problem),
        Some(end) => Announcement::Solved(Solved { problem, end: end.as_str().to_owned() }),
    }
}

fn stored(time: &Option<Stored>) -> Option<String> {
    as_stored(time).map(str::to_owned)
}
