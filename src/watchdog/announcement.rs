//! The message to the topic, one per sweep, and the digest.

use super::limits::Entry;
use super::review::Digest;
use crate::message::{Back, Limit, Offline};
use crate::words::{duration, moment, name, plural, quantity};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use tables::Number;
use tables::server::Server;
use tables::time::{Stored, as_stored};

/// The maximum size of a message, below SNS's limit of 256 KiB, bytes.
const MAX_BYTES: usize = 250 * 1024;

/// Bytes reserved for everything except the entries.
const FRAME_BYTES: usize = 1024;

/// The longest subject that SNS accepts, characters.
const MAX_SUBJECT: usize = 99;

/// What a message says.
#[derive(Debug, Default)]
pub struct Contents<'a> {
    /// Servers that went offline.
    pub offline: Vec<&'a Server>,
    /// Servers whose return has lasted.
    pub back: Vec<&'a Server>,
    /// Metrics that reached their limit.
    pub high: Vec<&'a Entry>,
    /// Metrics that no longer do.
    pub normal: Vec<&'a Entry>,
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The subject of the email, and the text message: at most 99 ASCII characters.
    pub subject: String,
    /// The message for programs, as JSON.
    pub default: String,
    /// The message for people.
    pub email: String,
    /// What it is about, by which a subscription can filter.
    kinds: Vec<&'static str>,
}

/// One list of a message.
struct List {
    kind: &'static str,
    /// What its entries are: servers or metrics.
    noun: &'static str,
    /// Each entry for programs and for people.
    entries: Vec<(Value, String)>,
    /// The subject if the list has one entry, and no other list has any.
    alone: String,
}

impl Announcement {
    /// Builds the message of a sweep at this time; `None` if there is nothing to announce.
    #[must_use]
    pub fn new(contents: &Contents<'_>, time: DateTime<Utc>) -> Option<Self> {
        let lists = [
            offline(&contents.offline, time),
            back(&contents.back),
            limits("high", &contents.high),
            limits("normal", &contents.normal),
        ];
        let is_empty = lists.iter().all(|list| list.entries.is_empty());
        (!is_empty).then(|| Self::of(&lists, Map::new()))
    }

    /// Builds the message of what is still wrong.
    #[must_use]
    pub fn digest(digest: &Digest, time: DateTime<Utc>) -> Self {
        let servers: Vec<_> = digest.offline.iter().collect();
        let entries: Vec<_> = digest.high.iter().collect();
        let lists = [offline(&servers, time), limits("high", &entries)];
        let marker = Map::from_iter([("digest".to_owned(), true.into())]);
        let announcement = Self::of(&lists, marker);
        Self {
            subject: format!("Still wrong: {}", counted(&lists)),
            email: format!("Still wrong:\n\n{}", announcement.email),
            kinds: vec!["digest"],
            ..announcement
        }
    }

    /// Fits as many entries into the message as there is room for.
    fn of(lists: &[List], mut default: Map<String, Value>) -> Self {
        let mut bytes_left = MAX_BYTES - FRAME_BYTES;
        let (mut email, mut omitted) = (String::new(), 0);
        for list in lists {
            let (mut entries, mut lines) = (Vec::new(), String::new());
            for (entry, line) in &list.entries {
                if fits(&mut bytes_left, entry, line) {
                    entries.push(entry.clone());
                    lines += line;
                }
            }
            omitted += list.entries.len() - entries.len();
            default.insert(list.kind.to_owned(), entries.into());
            if !list.entries.is_empty() {
                let _ = writeln!(email, "{}:\n\n{lines}", list.count());
            }
        }
        if omitted > 0 {
            let entries = plural(omitted, "entry");
            let _ = writeln!(email, "{entries} did not fit into this message.");
        }
        default.insert("omitted".to_owned(), omitted.into());
        let filled = lists.iter().filter(|list| !list.entries.is_empty());
        let filled: Vec<_> = filled.collect();
        let alone = match &filled[..] {
            [list] if list.entries.len() == 1 => Some(&list.alone),
            _ => None,
        };
        let alone = alone
            .filter(|subject| subject.len() <= MAX_SUBJECT && subject.bytes().all(is_printable));
        Self {
            subject: alone.cloned().unwrap_or_else(|| counted(lists)),
            default: Value::Object(default).to_string(),
            email,
            kinds: filled.iter().map(|list| list.kind).collect(),
        }
    }

    /// The message in the format of SNS's `MessageStructure: json`.
    #[must_use]
    pub fn message(&self) -> String {
        json!({ "default": self.default, "email": self.email, "sms": self.subject }).to_string()
    }

    /// The value of the message attribute `kinds`.
    #[must_use]
    pub fn kinds(&self) -> String {
        json!(self.kinds).to_string()
    }
}

const SERVER: &str = "server";
const METRIC: &str = "metric";

impl List {
    fn count(&self) -> String {
        format!("{} {}", plural(self.entries.len(), self.noun), self.kind)
    }
}

fn counted(lists: &[List]) -> String {
    let filled = lists.iter().filter(|list| !list.entries.is_empty());
    let parts: Vec<_> = filled.map(List::count).collect();
    parts.join(", ")
}

fn offline(servers: &[&Server], time: DateTime<Utc>) -> List {
    let entry = |server: &&Server| {
        let entry = Offline {
            server_id: server.server_id.clone(),
            hostname: server.hostname.clone(),
            last_seen: stored(&server.last_seen),
        };
        let seen = server.last_seen.as_ref();
        let away = away(seen, Some(time));
        let name = name(&server.server_id, server.hostname.as_deref());
        let line = format!("{name}\n  silent since {}, {away}\n", moment(seen));
        (json!(entry), line)
    };
    List {
        kind: "offline",
        noun: SERVER,
        entries: servers.iter().map(entry).collect(),
        alone: servers.first().map_or_else(String::new, |server| {
            format!("{} is offline", server.server_id)
        }),
    }
}

fn back(servers: &[&Server]) -> List {
    let entry = |server: &&Server| {
        let entry = Back {
            server_id: server.server_id.clone(),
            hostname: server.hostname.clone(),
            offline_since: stored(&server.offline_since),
            returned_at: stored(&server.returned_at),
            last_seen: stored(&server.last_seen),
        };
        let since = server.offline_since.as_ref();
        let away = away(since, server.returned_at.as_ref().map(|at| at.time));
        let name = name(&server.server_id, server.hostname.as_deref());
        let line = format!("{name}\n  was silent since {}, {away}\n", moment(since));
        (json!(entry), line)
    };
    List {
        kind: "back",
        noun: SERVER,
        entries: servers.iter().map(entry).collect(),
        alone: servers.first().map_or_else(String::new, |server| {
            format!("{} is back", server.server_id)
        }),
    }
}

fn limits(kind: &'static str, limits: &[&Entry]) -> List {
    let entry = |entry: &&Entry| {
        let metric = entry.metric;
        let json = Limit {
            server_id: entry.server_id.clone(),
            hostname: entry.hostname.clone(),
            metric: metric.name.to_owned(),
            value: entry.value.map(number),
            limit: json!(entry.limit),
            since: Some(entry.since.clone()),
        };
        let name = name(&entry.server_id, entry.hostname.as_deref());
        let value = entry.value.map_or_else(
            || "not read".to_owned(),
            |value| quantity(metric, value.as_f64()),
        );
        let since = Stored::read(entry.since.clone());
        let line = format!(
            "{name}\n  {} {value}, limit {}, since {}\n",
            metric.label(),
            quantity(metric, entry.limit),
            moment(since.as_ref())
        );
        (json!(json), line)
    };
    List {
        kind,
        noun: METRIC,
        entries: limits.iter().map(entry).collect(),
        alone: limits.first().map_or_else(String::new, |entry| {
            format!("{}: {} is {kind}", entry.server_id, entry.metric.name)
        }),
    }
}

fn number(number: Number) -> Value {
    match number {
        Number::Float(float) => json!(float),
        Number::Whole(whole) => json!(whole),
    }
}

/// Whether an entry still fits into the message. If so, subtracts its size from the bytes that are left.
fn fits(bytes_left: &mut usize, entry: &Value, line: &str) -> bool {
    // The JSON for programs is escaped, because it is itself a string in the message.
    let bytes = json!(entry.to_string()).to_string().len() + json!(line).to_string().len();
    let rest = bytes_left.checked_sub(bytes);
    *bytes_left = rest.unwrap_or(*bytes_left);
    rest.is_some()
}

fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// The longest time for which a server can have been away: from its last heartbeat before the absence to the first
/// known one after it.
fn away(since: Option<&Stored>, until: Option<DateTime<Utc>>) -> String {
    match since.zip(until) {
        Some((since, until)) => format!("away for at most {}", duration(until - since.time)),
        None => "away for an unknown time".to_owned(),
    }
}

fn stored(time: &Option<Stored>) -> Option<String> {
    as_stored(time).map(str::to_owned)
}
