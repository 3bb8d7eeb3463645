//! What is said of a server, as an entry of the message or of the digest.

use super::problems::{Value, Word};
use announcement::{Absence, Entry, Problem, Return, Solved};
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

pub fn problem(server: &Server, word: &Word) -> Entry {
    let value = word.value.map(|value| match value {
        Value::Number(Number::Float(float)) => json!(float),
        Value::Number(Number::Whole(whole)) => json!(whole),
        Value::Status(status) => json!(status.as_str()),
    });
    let name = word.key.name().unwrap_or(&server.server_id);
    let problem = Problem {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        kind: word.key.kind().as_str().to_owned(),
        name: name.to_owned(),
        value,
        limit: word.limit.map(|limit| json!(limit)),
        since: Some(time::format(word.since)),
    };
    match word.end {
        None => Entry::Problem(problem),
        Some(end) => Entry::Solved(Solved { problem, end: end.as_str().to_owned() }),
    }
}

fn stored(time: &Option<Stored>) -> Option<String> {
    as_stored(time).map(str::to_owned)
}
