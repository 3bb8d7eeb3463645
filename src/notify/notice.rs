//! What a message says, in plain words: from the watchdog, from CloudWatch's alarms, or from anybody else.

use super::Notification;
use crate::message::{Back, Limit, Message, Offline};
use crate::words::{duration, escape, moment, name, plural, quantity};
use serde::Deserialize;
use serde_json::Value;
use tables::Metric;
use tables::time::Stored;

/// Keys by which the watchdog's messages are known: they always have one of these.
const OUR_KEYS: [&str; 3] = ["test", "offline", "high"];

/// A message in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    /// A summary, in printable ASCII.
    pub title: String,
    pub tone: Tone,
    pub entries: Vec<Entry>,
    /// How many more entries there are than these.
    pub omitted: usize,
}

/// Whether something is bad news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Bad,
    Good,
    Neutral,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub tone: Tone,
    pub parts: Vec<Part>,
}

/// A part of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    Words(String),
    /// Text that came from an agent.
    Name(String),
}

/// A message of CloudWatch about an alarm.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    alarm_name: String,
    alarm_description: Option<String>,
    new_state_value: String,
    new_state_reason: Option<String>,
    state_change_time: Option<String>,
}

impl Entry {
    /// Whether it is about a server, whose name it starts with.
    #[must_use]
    pub fn is_about_server(&self) -> bool {
        matches!(self.parts[..], [Part::Name(_), ..])
    }
}

impl Notice {
    /// Reads a message. One that cannot be read becomes a notice with its text.
    #[must_use]
    pub fn read(notification: &Notification) -> Self {
        let text = &notification.text;
        let is_ours = |json: &Value| OUR_KEYS.iter().any(|key| json.get(key).is_some());
        let json = serde_json::from_str::<Value>(text).ok();
        let ours = json
            .filter(is_ours)
            .and_then(|json| serde_json::from_value(json).ok());
        if let Some(message) = ours {
            return Self::of_message(&message);
        }
        if let Ok(alarm) = serde_json::from_str(text) {
            return Self::of_alarm(&alarm);
        }
        let title = notification.subject.as_deref().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Self {
            title: title_of(if title.is_empty() { "Message" } else { title }),
            tone: Tone::Neutral,
            entries: lines.map(|line| words(Tone::Neutral, line)).collect(),
            omitted: 0,
        }
    }

    fn of_message(message: &Message) -> Self {
        if let Some(text) = &message.test {
            return Self {
                title: "Test".to_owned(),
                tone: Tone::Neutral,
                entries: vec![words(Tone::Neutral, text)],
                omitted: 0,
            };
        }
        let counts = [
            (message.offline.len(), "server", "offline"),
            (message.back.len(), "server", "back"),
            (message.high.len(), "metric", "high"),
            (message.normal.len(), "metric", "normal"),
        ];
        let counts = counts.iter().filter(|(count, ..)| *count > 0);
        let counts: Vec<_> = counts
            .map(|(count, noun, kind)| format!("{} {kind}", plural(*count, noun)))
            .collect();
        let is_good = message.offline.is_empty() && message.high.is_empty();
        let entries = message.offline.iter().map(offline);
        let entries = entries.chain(
            message
                .high
                .iter()
                .map(|limit| metric(limit, Tone::Bad, "high since")),
        );
        let entries = entries.chain(message.back.iter().map(back));
        let entries = entries.chain(
            message
                .normal
                .iter()
                .map(|limit| metric(limit, Tone::Good, "no longer high; it was since")),
        );
        let still = if message.digest { "Still wrong: " } else { "" };
        Self {
            title: format!("{still}{}", counts.join(", ")),
            tone: if is_good { Tone::Good } else { Tone::Bad },
            entries: entries.collect(),
            omitted: message.omitted,
        }
    }

    fn of_alarm(alarm: &Alarm) -> Self {
        let tone = match &*alarm.new_state_value {
            "ALARM" => Tone::Bad,
            "OK" => Tone::Good,
            _ => Tone::Neutral,
        };
        let since = alarm.state_change_time.as_deref();
        let since = since.map(|time| format!("since {}", time.replace(".000+0000", "Z")));
        let texts = [
            alarm
                .alarm_description
                .clone()
                .filter(|_| tone == Tone::Bad),
            alarm.new_state_reason.clone(),
            since,
        ];
        let texts = texts.iter().flatten();
        Self {
            title: title_of(&format!("{}: {}", alarm.new_state_value, alarm.alarm_name)),
            tone,
            entries: texts.map(|text| words(tone, text)).collect(),
            omitted: 0,
        }
    }
}

fn offline(server: &Offline) -> Entry {
    entry(
        Tone::Bad,
        name(&server.server_id, server.hostname.as_deref()),
        format!(" is offline: silent since {}", time(&server.last_seen)),
    )
}

fn back(server: &Back) -> Entry {
    let read = |time: &Option<String>| time.clone().and_then(Stored::read);
    let away = read(&server.offline_since).zip(read(&server.returned_at));
    let away = away
        .map(|(since, until)| format!(", away for at most {}", duration(until.time - since.time)));
    entry(
        Tone::Good,
        name(&server.server_id, server.hostname.as_deref()),
        format!(
            " is back: was silent since {}{}",
            time(&server.offline_since),
            away.unwrap_or_default()
        ),
    )
}

fn metric(limit: &Limit, tone: Tone, since: &str) -> Entry {
    let text = format!(
        ": {}, limit {}, {since} {}",
        reading(limit),
        number(limit, &limit.limit),
        time(&limit.since)
    );
    let name = name(&limit.server_id, limit.hostname.as_deref());
    entry(tone, name, text)
}

/// A metric and its value.
fn reading(limit: &Limit) -> String {
    let label = Metric::find(&limit.metric).map(Metric::label);
    let label = label.unwrap_or_else(|| escape(&limit.metric));
    match &limit.value {
        Some(value) => format!("{label} {}", number(limit, value)),
        None => format!("{label} not read"),
    }
}

fn number(limit: &Limit, value: &Value) -> String {
    match (Metric::find(&limit.metric), value.as_f64()) {
        (Some(metric), Some(value)) => quantity(metric, value),
        _ => escape(&value.to_string()),
    }
}

fn time(stored: &Option<String>) -> String {
    moment(stored.clone().and_then(Stored::read).as_ref())
}

fn entry(tone: Tone, name: String, text: String) -> Entry {
    Entry {
        tone,
        parts: vec![Part::Name(name), Part::Words(text)],
    }
}

fn words(tone: Tone, text: &str) -> Entry {
    Entry {
        tone,
        parts: vec![Part::Words(escape(text))],
    }
}

/// At most 200 characters of printable ASCII, which fit into a header.
fn title_of(text: &str) -> String {
    let printable = text
        .chars()
        .map(|char| match char {
            ' '..='~' => char,
            _ => '?',
        })
        .take(200);
    printable.collect()
}
