//! The message to the topic, one per sweep, and the digest: it fits into SNS.

use super::limits;
use super::review::Digest;
use announcement::words::plural;
use announcement::{Absence, Crossing, Entry, Kind, Message, Occasion, Return};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
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
    pub high: Vec<&'a limits::Entry>,
    /// Metrics that no longer do.
    pub normal: Vec<&'a limits::Entry>,
}

impl Contents<'_> {
    fn entries(&self) -> Vec<Entry> {
        let Self {
            offline,
            back,
            high,
            normal,
        } = self;
        let mut entries = Vec::new();
        entries.extend(offline.iter().map(|server| Entry::Offline(absence(server))));
        entries.extend(back.iter().map(|server| Entry::Back(end(server))));
        entries.extend(high.iter().map(|metric| Entry::High(crossing(metric))));
        entries.extend(normal.iter().map(|metric| Entry::Normal(crossing(metric))));
        entries
    }
}

/// A message in SNS's envelope.
#[derive(Debug, PartialEq)]
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

impl Announcement {
    /// Builds the message of a sweep at this time; `None` if there is nothing to announce.
    #[must_use]
    pub fn new(contents: &Contents<'_>, time: DateTime<Utc>) -> Option<Self> {
        let entries = contents.entries();
        (!entries.is_empty()).then(|| Self::of(Occasion::Change, entries, time))
    }

    /// Builds the message of what is still wrong.
    #[must_use]
    pub fn digest(digest: &Digest, time: DateTime<Utc>) -> Self {
        let contents = Contents {
            offline: digest.offline.iter().collect(),
            high: digest.high.iter().collect(),
            ..Contents::default()
        };
        Self::of(Occasion::Digest, contents.entries(), time)
    }

    fn of(occasion: Occasion, entries: Vec<Entry>, time: DateTime<Utc>) -> Self {
        let whole = Message {
            occasion,
            entries,
            omitted: 0,
        };
        let subject = subject(&whole, time);
        let counts = whole.counts();
        let (fitting, lines) = fit(whole, time);
        Self {
            subject,
            default: json!(fitting).to_string(),
            email: email(&fitting, &counts, &lines),
            kinds: match fitting.occasion {
                Occasion::Digest => vec!["digest"],
                _ => counts.iter().map(|(kind, _)| kind.key()).collect(),
            },
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

/// A message of one entry is named after it, if SNS accepts that.
fn subject(message: &Message, time: DateTime<Utc>) -> String {
    let is_printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let alone = match (&message.occasion, &message.entries[..]) {
        (Occasion::Change, [entry]) => Some(entry.say(Some(time)).subject),
        _ => None,
    };
    alone
        .filter(|subject| subject.len() <= MAX_SUBJECT && subject.bytes().all(is_printable))
        .unwrap_or_else(|| message.title())
}

/// Keeps as many entries as there is room for, each with its lines of the email.
fn fit(message: Message, time: DateTime<Utc>) -> (Message, Vec<String>) {
    let mut bytes_left = MAX_BYTES - FRAME_BYTES;
    let all = message.entries.len();
    let said = message.entries.into_iter().map(|entry| {
        let sentence = entry.say(Some(time));
        let lines = format!("{}\n  {}\n", sentence.name, sentence.detail);
        (entry, lines)
    });
    let fitting = said.filter(|(entry, lines)| {
        // The JSON for programs is escaped, because it is itself a string in the message.
        let bytes = escaped_bytes(&json!(entry).to_string()) + escaped_bytes(lines);
        let rest = bytes_left.checked_sub(bytes);
        bytes_left = rest.unwrap_or(bytes_left);
        rest.is_some()
    });
    let (entries, lines): (Vec<_>, _) = fitting.unzip();
    let fitting = Message {
        omitted: all - entries.len(),
        entries,
        ..message
    };
    (fitting, lines)
}

fn escaped_bytes(text: &str) -> usize {
    json!(text).to_string().len()
}

/// The entries in words, under a heading for each kind.
fn email(message: &Message, counts: &[(Kind, usize)], lines: &[String]) -> String {
    let mut email = String::new();
    if message.occasion == Occasion::Digest {
        email += "Still wrong:\n\n";
    }
    for (kind, count) in counts {
        let entries = message.entries.iter().zip(lines);
        let of_kind = entries.filter(|(entry, _)| entry.kind() == *kind);
        let lines: String = of_kind.map(|(_, lines)| lines.as_str()).collect();
        let _ = writeln!(email, "{}:\n\n{lines}", kind.count(*count));
    }
    if message.omitted > 0 {
        let entries = plural(message.omitted, "entry");
        let _ = writeln!(email, "{entries} did not fit into this message.");
    }
    email
}

fn absence(server: &Server) -> Absence {
    Absence {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        last_seen: stored(&server.last_seen),
    }
}

fn end(server: &Server) -> Return {
    Return {
        server_id: server.server_id.clone(),
        hostname: server.hostname.clone(),
        offline_since: stored(&server.offline_since),
        returned_at: stored(&server.returned_at),
        last_seen: stored(&server.last_seen),
    }
}

fn crossing(metric: &limits::Entry) -> Crossing {
    Crossing {
        server_id: metric.server_id.clone(),
        hostname: metric.hostname.clone(),
        metric: metric.metric.name.to_owned(),
        value: metric.value.map(number),
        limit: json!(metric.limit),
        since: Some(metric.since.clone()),
    }
}

fn number(number: Number) -> Value {
    match number {
        Number::Float(float) => json!(float),
        Number::Whole(whole) => json!(whole),
    }
}

fn stored(time: &Option<Stored>) -> Option<String> {
    as_stored(time).map(str::to_owned)
}
