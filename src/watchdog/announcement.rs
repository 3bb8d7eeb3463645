//! The message to the topic, one per sweep, and the digest: it fits into SNS.

use super::digest::Digest;
use super::entry;
use super::problems::{Judged, Word};
use announcement::words::{plural, unlinked};
use announcement::{Entry, Kind, Message, Occasion, Part};
use chrono::{DateTime, Utc};
use serde_json::json;
use std::fmt::Write;
use tables::server::Server;
use tables::time;

/// The maximum size of a message, below SNS's limit of 256 KiB, bytes.
const MAX_BYTES: usize = 250 * 1024;

/// Bytes reserved for everything except the entries.
const FRAME_BYTES: usize = 1024;

/// The longest subject that SNS accepts, characters.
const MAX_SUBJECT: usize = 99;

/// Something to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Subject<'a> {
    /// A server that went offline.
    Offline(&'a Server),
    /// A server whose return has lasted.
    Back(&'a Server),
    /// A problem of a server, or its end.
    Problem(&'a Judged, &'a Word),
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
    /// For each entry, whether there was room for it.
    named: Vec<bool>,
}

/// A message as far as it fits.
struct Fitting {
    message: Message,
    /// The lines of the email, for each entry.
    lines: Vec<String>,
    /// For each entry of the whole message, whether it is in this one.
    named: Vec<bool>,
}

impl Subject<'_> {
    fn entry(self) -> Entry {
        match self {
            Self::Offline(server) => Entry::Offline(entry::absence(server)),
            Self::Back(server) => Entry::Back(entry::end(server)),
            Self::Problem(judged, word) => entry::problem(&judged.server, word),
        }
    }
}

impl Announcement {
    /// Builds the message of a sweep at this time, with a link to the page; `None` if there is nothing to announce.
    #[must_use]
    pub fn new(
        subjects: &[Subject<'_>],
        time: DateTime<Utc>,
        page_url: Option<&str>,
    ) -> Option<Self> {
        let entries: Vec<_> = subjects.iter().map(|subject| subject.entry()).collect();
        (!entries.is_empty()).then(|| Self::of(Occasion::Change, entries, time, page_url))
    }

    /// Builds the message of the day; `None` if there is nothing to say.
    #[must_use]
    pub fn digest(digest: &Digest, time: DateTime<Utc>, page_url: Option<&str>) -> Option<Self> {
        let entries = digest.entries.clone();
        let fleet = digest.fleet();
        let is_needed = !entries.is_empty() || fleet.is_some();
        is_needed.then(|| Self::of(Occasion::Digest(fleet), entries, time, page_url))
    }

    fn of(
        occasion: Occasion,
        entries: Vec<Entry>,
        time: DateTime<Utc>,
        page_url: Option<&str>,
    ) -> Self {
        let whole = Message { occasion, time: Some(time::format(time)), entries, omitted: 0 };
        let subject = subject(&whole, time);
        let counts = whole.counts();
        let Fitting { message, lines, named } = fit(whole, time);
        Self {
            subject,
            default: json!(message).to_string(),
            email: email(&message, &counts, &lines, page_url),
            kinds: match message.occasion {
                Occasion::Digest(_) => vec!["digest"],
                Occasion::Change | Occasion::Test(_) => {
                    counts.iter().map(|(kind, _)| kind.key()).collect()
                }
            },
            named,
        }
    }

    /// Those of the subjects for which there was room.
    #[must_use]
    pub fn named<'a>(&self, subjects: &[Subject<'a>]) -> Vec<Subject<'a>> {
        let subjects = subjects.iter().zip(&self.named);
        subjects.filter(|(_, is_named)| **is_named).map(|(subject, _)| *subject).collect()
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

/// Keeps as many entries as there is room for.
fn fit(whole: Message, time: DateTime<Utc>) -> Fitting {
    let fleet: usize = whole.fleet().map(escaped_bytes).sum();
    let mut bytes_left = (MAX_BYTES - FRAME_BYTES).saturating_sub(2 * fleet);
    let (mut entries, mut lines, mut named) = (Vec::new(), Vec::new(), Vec::new());
    for entry in whole.entries {
        let sentence = entry.say(Some(time));
        let detail: String = sentence.detail.iter().map(plain).collect();
        let said = format!("{}\n  {detail}\n", unlinked(&sentence.name));
        // The JSON for programs is escaped, because it is itself a string in the message.
        let bytes = escaped_bytes(&json!(entry).to_string()) + escaped_bytes(&said);
        let rest = bytes_left.checked_sub(bytes);
        named.push(rest.is_some());
        if let Some(rest) = rest {
            bytes_left = rest;
            entries.push(entry);
            lines.push(said);
        }
    }
    Fitting {
        message: Message { omitted: named.len() - entries.len(), entries, ..whole },
        lines,
        named,
    }
}

/// A part of a sentence, in an email.
fn plain(part: &Part) -> String {
    match part {
        Part::Words(words) => words.clone(),
        Part::Name(name) => unlinked(name),
    }
}

fn escaped_bytes(text: &str) -> usize {
    json!(text).to_string().len()
}

/// The entries in words, under a heading for each kind.
fn email(
    message: &Message,
    counts: &[(Kind, usize)],
    lines: &[String],
    page_url: Option<&str>,
) -> String {
    let mut email = String::new();
    if matches!(message.occasion, Occasion::Digest(_)) {
        let _ = writeln!(email, "{}\n", heading(message));
        let fleet: Vec<_> = message.fleet().collect();
        if !fleet.is_empty() {
            let _ = writeln!(email, "{}\n", fleet.join("\n"));
        }
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
    if let Some(url) = page_url {
        let _ = writeln!(email, "{}", message.address(url));
    }
    email
}

/// The first line of a digest.
fn heading(message: &Message) -> String {
    if message.entries.is_empty() { message.title() } else { "Still wrong:".to_owned() }
}
