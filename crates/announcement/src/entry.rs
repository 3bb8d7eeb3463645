//! The kinds of announcements: what an entry of each holds, and how it is said.

use crate::words::{duration, escape, moment, name, plural, quantity};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tables::Metric;
use tables::time::parse;

/// Something about a server. Each variant is a kind, and a list of the message's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, strum::EnumDiscriminants)]
#[serde(untagged)]
#[strum_discriminants(
    name(Kind),
    derive(strum::VariantArray),
    doc = "What an entry is about."
)]
pub enum Entry {
    /// It went offline.
    Offline(Absence),
    /// Its return has lasted.
    Back(Return),
    /// A metric reached its limit.
    High(Crossing),
    /// A metric no longer does.
    Normal(Crossing),
}

/// What is the same for all entries of a kind.
struct Row {
    key: &'static str,
    noun: &'static str,
    tone: Tone,
    read: fn(Value) -> serde_json::Result<Vec<Entry>>,
}

/// Whether something is bad news, which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    Bad,
    Good,
    Neutral,
}

/// The absence of a server. Times are in `last_seen`'s format, here and below.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Absence {
    pub server_id: String,
    pub hostname: Option<String>,
    pub last_seen: Option<String>,
}

/// The end of an absence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Return {
    pub server_id: String,
    pub hostname: Option<String>,
    pub offline_since: Option<String>,
    pub returned_at: Option<String>,
    pub last_seen: Option<String>,
}

/// A metric that crossed its limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Crossing {
    pub server_id: String,
    pub hostname: Option<String>,
    /// Its name in a heartbeat. Another version may know more metrics.
    pub metric: String,
    /// A number; null if it was not read.
    pub value: Option<Value>,
    /// A number.
    pub limit: Value,
    pub since: Option<String>,
}

/// An entry in words. Its parts contain no character that could start a new line or change the direction of the text.
#[derive(Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The server: text that came from an agent, which each format has to make harmless.
    pub name: String,
    /// What follows the name in one line: ` is offline: silent since …`.
    pub rest: String,
    /// What there is to say in a list whose heading names the kind: `silent since …`.
    pub detail: String,
    /// The subject of a message that says nothing else.
    pub subject: String,
}

impl Kind {
    /// All kinds, in the order in which a message says them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    #[rustfmt::skip]
    const fn row(self) -> Row {
        match self {
            Self::Offline => Row { key: "offline", noun: "server", tone: Tone::Bad, read: |list| read(list, Entry::Offline) },
            Self::Back => Row { key: "back", noun: "server", tone: Tone::Good, read: |list| read(list, Entry::Back) },
            Self::High => Row { key: "high", noun: "metric", tone: Tone::Bad, read: |list| read(list, Entry::High) },
            Self::Normal => Row { key: "normal", noun: "metric", tone: Tone::Good, read: |list| read(list, Entry::Normal) },
        }
    }

    /// Its list in the message's JSON, and its value of the message attribute `kinds`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        self.row().key
    }

    #[must_use]
    pub const fn tone(self) -> Tone {
        self.row().tone
    }

    /// A number of entries: `2 servers offline`.
    #[must_use]
    pub fn count(self, count: usize) -> String {
        format!("{} {}", plural(count, self.row().noun), self.key())
    }

    /// Reads a list of the message's JSON.
    pub(crate) fn read(self, list: Value) -> serde_json::Result<Vec<Entry>> {
        (self.row().read)(list)
    }
}

fn read<T: DeserializeOwned>(list: Value, entry: fn(T) -> Entry) -> serde_json::Result<Vec<Entry>> {
    let facts: Vec<T> = serde_json::from_value(list)?;
    Ok(facts.into_iter().map(entry).collect())
}

impl Entry {
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.into()
    }

    /// Says it, with a length of time that lasts until `now`, if that is known.
    #[must_use]
    pub fn say(&self, now: Option<DateTime<Utc>>) -> Sentence {
        match self {
            Self::Offline(server) => {
                let away = away(&server.last_seen, now);
                let detail = format!("silent since {}{away}", time(&server.last_seen));
                Sentence::of_server(&server.server_id, &server.hostname, "is offline", detail)
            }
            Self::Back(server) => {
                let returned_at = server.returned_at.as_deref().and_then(parse);
                let away = away(&server.offline_since, returned_at);
                let detail = format!("was silent since {}{away}", time(&server.offline_since));
                Sentence::of_server(&server.server_id, &server.hostname, "is back", detail)
            }
            Self::High(crossing) => crossing.say("high", "high since"),
            Self::Normal(crossing) => crossing.say("normal", "no longer high; it was since"),
        }
    }
}

impl Sentence {
    fn of_server(server_id: &str, hostname: &Option<String>, state: &str, detail: String) -> Self {
        Self {
            name: name(server_id, hostname.as_deref()),
            rest: format!(" {state}: {detail}"),
            detail,
            subject: format!("{server_id} {state}"),
        }
    }
}

impl Crossing {
    fn say(&self, state: &str, since: &str) -> Sentence {
        let metric = Metric::find(&self.metric);
        let label = metric.map_or_else(|| escape(&self.metric), Metric::label);
        let number = |value: &Value| match (metric, value.as_f64()) {
            (Some(metric), Some(value)) => quantity(metric, value),
            _ => escape(&value.to_string()),
        };
        let value = match &self.value {
            Some(value) => number(value),
            None => "not read".to_owned(),
        };
        let what = format!("{label} {value}, limit {}", number(&self.limit));
        let time = time(&self.since);
        Sentence {
            name: name(&self.server_id, self.hostname.as_deref()),
            rest: format!(": {what}, {since} {time}"),
            detail: format!("{what}, since {time}"),
            subject: format!("{}: {} is {state}", self.server_id, self.metric),
        }
    }
}

/// The longest time for which a server can have been away: from its last heartbeat before the absence to the first
/// known one after it.
fn away(since: &Option<String>, until: Option<DateTime<Utc>>) -> String {
    let times = since.as_deref().and_then(parse).zip(until);
    times.map_or_else(String::new, |(since, until)| {
        format!(", away for at most {}", duration(until - since))
    })
}

fn time(stored: &Option<String>) -> String {
    moment(stored.as_deref().and_then(parse))
}
