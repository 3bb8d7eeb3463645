//! The message to the topic, one per sweep, and the digest.

use super::limits::Entry;
use super::review::Digest;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use tables::server::Server;
use tables::time::{Stored, as_stored};
use tables::{Metric, Number};

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
    returned_at: Option<&'a str>,
    last_seen: Option<&'a str>,
}

/// The JSON entry of a metric.
#[derive(Serialize)]
struct Limit<'a> {
    server_id: &'a str,
    hostname: Option<&'a str>,
    metric: &'static str,
    value: Option<Value>,
    limit: Value,
    since: &'a str,
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

fn plural(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ => format!("{count} {noun}s"),
    }
}

fn offline(servers: &[&Server], time: DateTime<Utc>) -> List {
    let entry = |server: &&Server| {
        let entry = Offline {
            server_id: &server.server_id,
            hostname: server.hostname.as_deref(),
            last_seen: as_stored(&server.last_seen),
        };
        let seen = server.last_seen.as_ref();
        let away = duration(seen, Some(time));
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
            server_id: &server.server_id,
            hostname: server.hostname.as_deref(),
            offline_since: as_stored(&server.offline_since),
            returned_at: as_stored(&server.returned_at),
            last_seen: as_stored(&server.last_seen),
        };
        let since = server.offline_since.as_ref();
        let away = duration(since, server.returned_at.as_ref().map(|at| at.time));
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
            server_id: &entry.server_id,
            hostname: entry.hostname.as_deref(),
            metric: metric.name,
            value: entry.value.map(number),
            limit: json!(entry.limit),
            since: &entry.since,
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

/// A value with its unit, with at most two decimals: `93.1 %`.
fn quantity(metric: &Metric, value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    let value = if rounded.is_finite() { rounded } else { value };
    let value = Number::Float(value);
    format!("{value} {}", metric.unit.symbol())
        .trim_end()
        .to_owned()
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

fn name(server_id: &str, hostname: Option<&str>) -> String {
    escape(&match hostname {
        Some(hostname) => format!("{server_id} ({hostname})"),
        None => server_id.to_owned(),
    })
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
