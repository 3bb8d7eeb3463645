//! The message to the topic, one per sweep.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;
use tables::server::Server;
use tables::time::Stored;

/// The maximum size of a message, below SNS's limit of 256 KiB, bytes.
const MAX_BYTES: usize = 250 * 1024;

/// Bytes reserved for everything except the entries of servers.
const FRAME_BYTES: usize = 1024;

/// The longest subject that SNS accepts, characters.
const MAX_SUBJECT: usize = 99;

/// A message that names the servers that went offline and those that came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The subject of the mail, at most 99 ASCII characters.
    pub subject: String,
    /// The message for programs, as JSON.
    pub default: String,
    /// The message for people.
    pub email: String,
}

/// The JSON entry of a server that went offline.
#[derive(Serialize)]
struct Offline<'a> {
    server_id: &'a str,
    hostname: Option<&'a str>,
    last_seen: Option<&'a str>,
}

/// The JSON entry of a server that came back.
#[derive(Serialize)]
struct Back<'a> {
    server_id: &'a str,
    hostname: Option<&'a str>,
    offline_since: Option<&'a str>,
    last_seen: Option<&'a str>,
}

impl Announcement {
    /// Builds the message of a sweep at this time; `None` if there is nothing to announce.
    #[must_use]
    pub fn new(offline: &[Server], back: &[Server], time: DateTime<Utc>) -> Option<Self> {
        if offline.is_empty() && back.is_empty() {
            return None;
        }
        let mut bytes_left = MAX_BYTES - FRAME_BYTES;
        let (mut offline_entries, mut offline_lines) = (Vec::new(), String::new());
        for server in offline {
            let entry = json!(Offline {
                server_id: &server.server_id,
                hostname: server.hostname.as_deref(),
                last_seen: as_stored(&server.last_seen),
            });
            let seen = server.last_seen.as_ref();
            let away = duration(seen, Some(time));
            let line = paragraph(server, &format!("silent since {}, {away}", moment(seen)));
            if fits(&mut bytes_left, &entry, &line) {
                offline_entries.push(entry);
                offline_lines += &line;
            }
        }
        let (mut back_entries, mut back_lines) = (Vec::new(), String::new());
        for server in back {
            let entry = json!(Back {
                server_id: &server.server_id,
                hostname: server.hostname.as_deref(),
                offline_since: as_stored(&server.offline_since),
                last_seen: as_stored(&server.last_seen),
            });
            let since = server.offline_since.as_ref();
            let away = duration(since, server.last_seen.as_ref().map(|seen| seen.time));
            let line = paragraph(
                server,
                &format!("was silent since {}, {away}", moment(since)),
            );
            if fits(&mut bytes_left, &entry, &line) {
                back_entries.push(entry);
                back_lines += &line;
            }
        }
        let omitted = offline.len() + back.len() - offline_entries.len() - back_entries.len();
        let mut email = String::new();
        for (count, what, lines) in [
            (offline.len(), "offline", offline_lines),
            (back.len(), "back", back_lines),
        ] {
            if count > 0 {
                let _ = writeln!(email, "{} {what}:\n\n{lines}", servers(count));
            }
        }
        if omitted > 0 {
            let _ = writeln!(email, "{} did not fit into this message.", servers(omitted));
        }
        let default =
            json!({ "offline": offline_entries, "back": back_entries, "omitted": omitted });
        Some(Self {
            subject: subject(offline, back),
            default: default.to_string(),
            email,
        })
    }

    /// The message in the format of SNS's `MessageStructure: json`.
    #[must_use]
    pub fn message(&self) -> String {
        json!({ "default": self.default, "email": self.email }).to_string()
    }
}

/// Whether a server still fits into the message. If so, subtracts its size from the bytes that are left.
fn fits(bytes_left: &mut usize, entry: &Value, line: &str) -> bool {
    // The JSON for programs is escaped, because it is itself a string in the message.
    let bytes = json!(entry.to_string()).to_string().len() + json!(line).to_string().len();
    let rest = bytes_left.checked_sub(bytes);
    *bytes_left = rest.unwrap_or(*bytes_left);
    rest.is_some()
}

fn subject(offline: &[Server], back: &[Server]) -> String {
    let one = |servers: &[Server], what| match servers {
        [server] => Some(format!("{} is {what}", server.server_id)),
        _ => None,
    };
    let named = match (offline, back) {
        (offline, []) => one(offline, "offline"),
        ([], back) => one(back, "back"),
        _ => None,
    };
    let counted = || {
        let parts = [(offline.len(), "offline"), (back.len(), "back")];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts
            .map(|(count, what)| format!("{} {what}", servers(*count)))
            .collect();
        parts.join(", ")
    };
    named
        .filter(|subject| subject.len() <= MAX_SUBJECT && subject.bytes().all(is_printable))
        .unwrap_or_else(counted)
}

fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

fn servers(count: usize) -> String {
    match count {
        1 => "1 server".to_owned(),
        count => format!("{count} servers"),
    }
}

fn paragraph(server: &Server, what: &str) -> String {
    let name = match &server.hostname {
        Some(hostname) => format!("{} ({hostname})", server.server_id),
        None => server.server_id.clone(),
    };
    format!("{}\n  {what}\n", escape(&name))
}

/// Escapes characters that could start a new line or change the direction of the text.
fn escape(text: &str) -> String {
    let is_harmless = |char: char| {
        !char.is_control()
            && !matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if is_harmless(char) {
            escaped.push(char);
        } else {
            escaped.extend(char.escape_unicode());
        }
    }
    escaped
}

fn as_stored(time: &Option<Stored>) -> Option<&str> {
    time.as_ref().map(|time| time.text.as_str())
}

/// A stored time, formatted for people.
fn moment(stored: Option<&Stored>) -> String {
    stored.map_or_else(
        || "an unknown time".to_owned(),
        |stored| stored.time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// The longest time for which a server can have been away: from its last heartbeat before the absence to the first
/// known one after it.
fn duration(since: Option<&Stored>, until: Option<DateTime<Utc>>) -> String {
    let Some((since, until)) = since.zip(until) else {
        return "away for an unknown time".to_owned();
    };
    let seconds = (until - since.time).num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let duration = match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    };
    format!("away for at most {duration}")
}
