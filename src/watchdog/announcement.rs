//! The message to the topic, one per sweep, and the digest: it fits into SNS.

use announcement::words::{natural, plural, unlinked};
use announcement::{Announcement, Kind, Message, Occasion, Part, URGENT, turns};
use chrono::{DateTime, Utc};
use serde_json::json;
use std::collections::HashSet;
use std::fmt::Write;
use tables::{Zone, time};
use verdict::digest::Digest;

/// The maximum size of a message, below SNS's limit of 256 KiB, bytes.
const MAX_BYTES: usize = 250 * 1024;

/// Bytes reserved for everything except the announcements.
const FRAME_BYTES: usize = 1024;

/// The longest subject that SNS accepts, characters.
const MAX_SUBJECT: usize = 99;

/// A message in SNS's envelope.
#[derive(Debug, PartialEq)]
pub struct SnsMessage {
    /// The subject of the email, and the text message: at most 99 ASCII characters.
    pub subject: String,
    /// The message for programs, and the same as JSON.
    message: Message,
    pub default: String,
    /// The message for people.
    pub email: String,
    /// What it is about, by which a subscription can filter.
    kinds: Vec<&'static str>,
    /// The groups in it, likewise; none in a digest.
    groups: Vec<String>,
    /// For each announcement, whether there was room for it.
    named: Vec<bool>,
}

/// A message as far as it fits.
struct Fitted {
    message: Message,
    /// The lines of the email, for each announcement.
    lines: Vec<String>,
    /// For each announcement of the whole message, whether it is in this one.
    named: Vec<bool>,
}

impl SnsMessage {
    /// Builds the message of a sweep at this time, said in this zone, with a link to the page; `None` if there is nothing to
    /// announce.
    #[must_use]
    pub fn new(
        announcements: Vec<Announcement>,
        time: DateTime<Utc>,
        zone: &Zone,
        page_url: Option<&str>,
    ) -> Option<Self> {
        let is_needed = !announcements.is_empty();
        is_needed.then(|| Self::of(Occasion::Change, announcements, None, time, zone, page_url))
    }

    /// Builds the digest; `None` if there is nothing to say.
    #[must_use]
    pub fn digest(
        digest: &Digest,
        time: DateTime<Utc>,
        zone: &Zone,
        page_url: Option<&str>,
    ) -> Option<Self> {
        digest.is_needed().then(|| {
            let occasion = Occasion::Digest(Some(digest.fleet()));
            let (first, counts) = digest.announcements();
            Self::of(occasion, first.to_vec(), Some(counts), time, zone, page_url)
        })
    }

    /// Of these announcements; `counts` says how many there are of each kind, if there are more.
    fn of(
        occasion: Occasion,
        announcements: Vec<Announcement>,
        counts: Option<Vec<(Kind, usize)>>,
        time: DateTime<Utc>,
        zone: &Zone,
        page_url: Option<&str>,
    ) -> Self {
        let time_stored = Some(time::format(time));
        let mut whole = Message { occasion, time: time_stored, announcements, omitted: 0 };
        let counts = counts.unwrap_or_else(|| whole.counts());
        let all: usize = counts.iter().map(|(_, count)| count).sum();
        whole.omitted = all - whole.announcements.len();
        let subject = subject(&whole, &counts, time, zone);
        let whole_is_urgent = whole.is_urgent();
        let Fitted { message, lines, named } = fit(whole, time, zone);
        let (kinds, groups) = match message.occasion {
            Occasion::Digest(_) => (vec!["digest"], Vec::new()),
            Occasion::Change | Occasion::Test(_) => {
                let urgent = whole_is_urgent.then_some("urgent");
                let kinds = counts.iter().map(|(kind, _)| kind.key()).chain(urgent).collect();
                (kinds, message.groups().into_iter().map(str::to_owned).collect())
            }
        };
        Self {
            subject,
            default: json!(message).to_string(),
            email: email(&message, &counts, &lines, page_url),
            kinds,
            groups,
            named,
            message,
        }
    }

    /// For programs, as JSON: what is said of each server, by its id.
    pub fn by_server(&self) -> impl Iterator<Item = (&str, String)> {
        let messages = self.message.by_server().into_iter();
        messages.map(|(server_id, message)| (server_id, json!(message).to_string()))
    }

    /// Of these, which stand for the announcements, those for which there was room.
    #[must_use]
    pub fn named<T>(&self, announcements: impl Iterator<Item = T>) -> Vec<T> {
        let announcements = announcements.zip(&self.named);
        announcements.filter(|(_, is_named)| **is_named).map(|(place, _)| place).collect()
    }

    /// The message in the format of SNS's `MessageStructure: json`.
    #[must_use]
    pub fn json(&self) -> String {
        json!({ "default": self.default, "email": self.email, "sms": self.subject }).to_string()
    }

    /// The message attributes, each an array of strings, as JSON. None is empty: SNS is not known to accept that.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let groups = (!self.groups.is_empty()).then(|| ("groups", json!(self.groups).to_string()));
        [("kinds", json!(self.kinds).to_string())].into_iter().chain(groups)
    }
}

/// A message of one announcement is named after it, if SNS accepts that. Any other is cut from the end to what it accepts.
fn subject(
    message: &Message,
    counts: &[(Kind, usize)],
    time: DateTime<Utc>,
    zone: &Zone,
) -> String {
    let is_printable = |char: char| char == ' ' || char.is_ascii_graphic();
    let alone = match (&message.occasion, &message.announcements[..]) {
        (Occasion::Change, [announcement]) => {
            let urgent = if announcement.is_urgent() { URGENT } else { "" };
            let subjects = announcement.say(Some(time), zone).subjects;
            Some(subjects.map(|subject| format!("{urgent}{subject}")))
        }
        _ => None,
    };
    let accepted = alone
        .into_iter()
        .flatten()
        .find(|subject| subject.len() <= MAX_SUBJECT && subject.chars().all(is_printable));
    accepted.unwrap_or_else(|| {
        let title = message.title_of(counts);
        let title: String = title.chars().filter(|char| is_printable(*char)).collect();
        match title.get(..MAX_SUBJECT) {
            Some(_) if title.len() > MAX_SUBJECT => format!("{}...", &title[..MAX_SUBJECT - 3]),
            _ => title,
        }
    })
}

/// Keeps as many announcements as there is room for: deaths, then one of each server, then another. Those of a kind are in
/// natural order.
fn fit(whole: Message, time: DateTime<Utc>, zone: &Zone) -> Fitted {
    let fleet: usize = whole.fleet().map(escaped_bytes).sum();
    let mut bytes_left = (MAX_BYTES - FRAME_BYTES).saturating_sub(2 * fleet);
    let mut kept = Vec::new();
    let mut groups = HashSet::new();
    let mut named = vec![false; whole.announcements.len()];
    let turns = turns(&whole.announcements);
    let mut ordered: Vec<_> = whole.announcements.into_iter().enumerate().collect();
    ordered.sort_by(|(place, one), (other_place, other)| {
        let servers = || natural(one.server_id(), other.server_id());
        turns[*place].cmp(&turns[*other_place]).then_with(servers)
    });
    for (place, announcement) in ordered {
        let wording = announcement.say(Some(time), zone);
        let detail: String = wording.detail.iter().map(plain).collect();
        let said = format!("{}\n  {detail}\n", unlinked(&wording.name()));
        // The JSON for programs is escaped, because it is itself a string in the message.
        let bytes = escaped_bytes(&json!(announcement).to_string()) + escaped_bytes(&said);
        // The attributes count, too.
        let new_group = announcement.group().filter(|group| !groups.contains(*group));
        let bytes = bytes + new_group.map_or(0, |group| escaped_bytes(group) + ",".len());
        let rest = bytes_left.checked_sub(bytes);
        named[place] = rest.is_some();
        if let Some(rest) = rest {
            bytes_left = rest;
            groups.extend(new_group.map(str::to_owned));
            kept.push((announcement, said));
        }
    }
    kept.sort_by(|(one, _), (other, _)| one.order(other));
    let (announcements, lines): (Vec<_>, _) = kept.into_iter().unzip();
    let omitted = whole.omitted + named.len() - announcements.len();
    Fitted { message: Message { omitted, announcements, ..whole }, lines, named }
}

/// A part of a wording, in an email.
fn plain(part: &Part) -> String {
    match part {
        Part::Words(words) => words.clone(),
        Part::Name(..) => unlinked(&part.text()),
    }
}

fn escaped_bytes(text: &str) -> usize {
    json!(text).to_string().len()
}

/// The announcements in words, under a heading for each kind.
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
        let announcements = message.announcements.iter().zip(lines);
        let of_kind = announcements.filter(|(announcement, _)| announcement.kind() == *kind);
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
    if message.announcements.is_empty() { message.title() } else { "Still wrong:".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use announcement::{Absence, Fleet};

    // C10.1
    #[test]
    fn a_subject_is_cut_from_the_end_and_the_body_has_it_all() {
        let doubt = "Nothing has reached ntfy since 10:30 UTC. ";
        for (length, expected) in [(99, 99), (100, 99), (200, 99)] {
            let summary = format!("{doubt}{}", "x".repeat(length - doubt.len()));
            let fleet = Fleet { summary: summary.clone(), ..Fleet::default() };
            let time = DateTime::UNIX_EPOCH;
            let occasion = Occasion::Digest(Some(fleet));
            let zone = Zone::default();
            let message = SnsMessage::of(occasion, Vec::new(), None, time, &zone, None);
            assert_eq!(message.subject.len(), expected, "{}", message.subject);
            assert!(message.subject.starts_with(doubt));
            assert_eq!(message.subject == summary, length == 99);
            assert!(message.email.starts_with(&summary));
        }
    }

    // C10.1
    #[test]
    fn a_digest_counts_also_what_was_not_kept() {
        let absence = Absence { server_id: "web-1".to_owned(), ..Absence::default() };
        let announcements = vec![Announcement::Offline(absence)];
        let counts = vec![(Kind::Offline, 5_000)];
        let occasion = Occasion::Digest(Some(Fleet::default()));
        let time = DateTime::UNIX_EPOCH;
        let zone = Zone::default();
        let message = SnsMessage::of(occasion, announcements, Some(counts), time, &zone, None);
        assert_eq!(message.subject, "Still wrong: 5000 servers offline");
        let program: serde_json::Value = serde_json::from_str(&message.default).expect("JSON");
        assert_eq!(program["omitted"], 4_999);
        assert!(message.email.contains("4999 entries did not fit"), "{}", message.email);
    }
}
