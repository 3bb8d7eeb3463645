//! The kinds of announcements: what an announcement of each holds, and how it is said.

use crate::words::{at, at_and_age, escape, name, natural, plural, quantity, shorten};
use ProblemKind::{Known, Unknown};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use syntax::duration;
use tables::time::parse;
use tables::{Metric, Zone, metric, problem};

/// Something about a server. Each variant is a kind, and a list of the message's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, strum::EnumDiscriminants)]
#[serde(untagged)]
#[strum_discriminants(
    name(Kind),
    derive(PartialOrd, Ord, strum::VariantArray),
    doc = "What an announcement is about."
)]
pub enum Announcement {
    /// It went offline.
    Offline(Absence),
    /// Its return has lasted.
    Back(Return),
    /// It has a problem.
    Problem(Problem),
    /// A problem ended.
    Solved(Solved),
    /// It is not watched any more.
    Removed(Removal),
    /// An operator has silenced it, or has ended that. It is recorded, and not announced.
    Silenced(Silence),
}

/// What is the same for all announcements of a kind.
struct Row {
    key: &'static str,
    noun: &'static str,
    /// What follows the noun: `2 servers offline`.
    state: &'static str,
    tone: Tone,
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
    /// The server's, here and below; absent if it is in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub last_seen: Option<String>,
    /// The same as `last_seen`, if that heartbeat said that the machine is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at: Option<String>,
}

/// The removal of a server that was offline for long, in a group whose servers come and go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removal {
    pub server_id: String,
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub last_seen: Option<String>,
}

/// The end of an absence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Return {
    pub server_id: String,
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub offline_since: Option<String>,
    pub returned_at: Option<String>,
    pub last_seen: Option<String>,
}

/// A problem of a server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub server_id: String,
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub kind: ProblemKind,
    /// The metric, the mount, the service, or the server's id.
    pub name: String,
    /// A number, or the status of a service; null if it was not read.
    pub value: Option<Value>,
    /// A number; null for services and duplicates.
    pub limit: Option<Value>,
    pub since: Option<String>,
    /// Why a service does not run, in its agent's words.
    pub reason: Option<String>,
    /// Whether it is about the limit from which it is urgent.
    #[serde(skip_serializing_if = "is_false")]
    pub urgent: bool,
}

/// Whatever is not urgent does not say so.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The kind of a problem. In the message's JSON, it is its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ProblemKind {
    Known(problem::Kind),
    /// One that only another version knows.
    Unknown(String),
}

/// The end of a problem.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Solved {
    #[serde(flatten)]
    pub problem: Problem,
    /// `solved`; `gone` if nothing reports it any longer; `unwatched` if it has no rule any more.
    pub end: String,
}

/// A silence, or its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Silence {
    pub server_id: String,
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Null for an end.
    pub until: Option<String>,
    /// What it was done with: `the page`.
    pub by: String,
}

/// An announcement in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Wording {
    pub server_id: String,
    pub hostname: Option<String>,
    /// What follows the name in one line: ` is offline since …`.
    pub rest: Vec<Part>,
    /// What there is to say in a list whose heading names the kind: `since …`.
    pub detail: Vec<Part>,
    /// The subject of a message that says nothing else, with the agent's reason and without.
    pub subjects: [String; 2],
}

/// A part of a wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Words(String),
    /// What came from an agent, as it came, and how many characters of it a chat shows.
    Name(String, usize),
}

/// How many characters of each text from an agent a chat shows.
const MAX_HOSTNAME: usize = 60;
const MAX_NAME: usize = 60;
const MAX_REASON: usize = 80;

/// What is said of a server whose last heartbeat said that the machine is switched off.
pub const SHUT_DOWN: &str = "was shut down";

impl Kind {
    /// All kinds, in the order in which a message says them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    #[rustfmt::skip]
    const fn row(self) -> Row {
        match self {
            Self::Offline => Row { key: "offline", noun: "server", state: " offline", tone: Tone::Bad },
            Self::Back => Row { key: "back", noun: "server", state: " back", tone: Tone::Good },
            Self::Problem => Row { key: "problems", noun: "problem", state: "", tone: Tone::Bad },
            Self::Solved => Row { key: "solved", noun: "problem", state: " solved", tone: Tone::Good },
            Self::Removed => Row { key: "removed", noun: "server", state: " removed", tone: Tone::Neutral },
            Self::Silenced => Row { key: "silenced", noun: "silence", state: "", tone: Tone::Neutral },
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

    /// A number of announcements: `2 servers offline`.
    #[must_use]
    pub fn count(self, count: usize) -> String {
        format!("{}{}", plural(count, self.row().noun), self.row().state)
    }
}

impl Announcement {
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.into()
    }

    /// Whether something begins that is urgent.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.urgent)
    }

    /// The id of the server that it is about.
    #[must_use]
    pub fn server_id(&self) -> &str {
        match self {
            Self::Offline(server) => &server.server_id,
            Self::Back(server) => &server.server_id,
            Self::Problem(problem) => &problem.server_id,
            Self::Solved(solved) => &solved.problem.server_id,
            Self::Removed(server) => &server.server_id,
            Self::Silenced(silence) => &silence.server_id,
        }
    }

    /// The group of that server.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        let group = match self {
            Self::Offline(server) => &server.group,
            Self::Back(server) => &server.group,
            Self::Problem(problem) => &problem.group,
            Self::Solved(solved) => &solved.problem.group,
            Self::Removed(server) => &server.group,
            Self::Silenced(silence) => &silence.group,
        };
        group.as_deref()
    }

    /// In the order of a message: by kind, and servers in natural order.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let servers = || natural(self.server_id(), other.server_id());
        self.kind().cmp(&other.kind()).then_with(servers)
    }

    /// Says it in this zone, with a length of time that lasts until `now`, if that is known.
    #[must_use]
    pub fn say(&self, now: Option<DateTime<Utc>>, zone: &Zone) -> Wording {
        match self {
            Self::Offline(Absence { server_id, hostname, left_at: Some(left_at), .. }) => {
                let left_at = parse(left_at).map_or_else(unknown, |at| at_and_age(at, now, zone));
                let detail = format!("at {left_at}");
                let wording =
                    Wording::of_server(server_id, hostname, SHUT_DOWN, " ", detail.clone());
                Wording { detail: vec![Part::Words(format!("{SHUT_DOWN} {detail}"))], ..wording }
            }
            Self::Offline(server) => {
                let detail = since(&server.last_seen, now, zone);
                Wording::of_server(&server.server_id, &server.hostname, "is offline", " ", detail)
            }
            Self::Back(server) => {
                let returned_at = server.returned_at.as_deref().and_then(parse);
                let away = away(&server.offline_since, returned_at);
                let detail =
                    format!("was offline since {}{away}", time(&server.offline_since, now, zone));
                Wording::of_server(&server.server_id, &server.hostname, "is back", ": ", detail)
            }
            Self::Problem(problem) => {
                let since = format!(", {}", since(&problem.since, now, zone));
                problem.say(problem.state(), problem.reason(), since, false)
            }
            Self::Removed(server) => {
                let detail = format!("last seen {}", time(&server.last_seen, now, zone));
                Wording::of_server(&server.server_id, &server.hostname, "was removed", ": ", detail)
            }
            Self::Solved(Solved { problem, end }) => {
                let since = format!("; it began at {}", time(&problem.since, now, zone));
                problem.say(problem.end(end), Vec::new(), since, true)
            }
            Self::Silenced(silence) => {
                let by = escape(&silence.by);
                let (state, detail) = match &silence.until {
                    Some(_) => (
                        "is silenced",
                        format!("until {}, by {by}", time(&silence.until, now, zone)),
                    ),
                    None => ("is no longer silenced", format!("by {by}")),
                };
                Wording::of_server(&silence.server_id, &silence.hostname, state, " ", detail)
            }
        }
    }
}

impl Wording {
    fn of_server(
        server_id: &str,
        hostname: &Option<String>,
        state: &str,
        separator: &str,
        detail: String,
    ) -> Self {
        let subject = format!("{server_id} {state}");
        Self {
            server_id: server_id.to_owned(),
            hostname: hostname.clone(),
            rest: vec![Part::Words(format!(" {state}{separator}{detail}"))],
            detail: vec![Part::Words(detail)],
            subjects: [subject.clone(), subject],
        }
    }

    /// The server as plain text: `web-1 (web-1.example.com)`.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.server_id, self.hostname.as_deref())
    }

    /// The server as a chat shows it that escapes names like this.
    pub fn short_name(&self, escape_name: impl Fn(&str) -> String) -> String {
        let show = |hostname: Option<&str>| escape_name(&name(&self.server_id, hostname));
        match &self.hostname {
            Some(hostname) => shorten(hostname, MAX_HOSTNAME, |hostname| show(Some(hostname))),
            None => show(None),
        }
    }
}

impl Default for ProblemKind {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

impl From<String> for ProblemKind {
    fn from(name: String) -> Self {
        name.parse().map_or(Self::Unknown(name), Self::Known)
    }
}

impl From<ProblemKind> for String {
    fn from(kind: ProblemKind) -> Self {
        match kind {
            ProblemKind::Known(kind) => <&str>::from(kind).to_owned(),
            ProblemKind::Unknown(name) => name,
        }
    }
}

impl Problem {
    /// What it is about: `disk /data`.
    #[must_use]
    pub fn about(&self) -> String {
        self.thing().iter().map(Part::text).collect()
    }

    /// What it is, without when it began: `disk /data 93.1 %, limit 90 %`.
    #[must_use]
    pub fn what(&self) -> String {
        let what = self.urgent_mark(false).into_iter().chain(self.state());
        what.chain(self.reason()).map(|part| part.text().into_owned()).collect()
    }

    /// A wording that says this of it.
    fn say(&self, what: Vec<Part>, reason: Vec<Part>, since: String, is_end: bool) -> Wording {
        let plain = |parts: &[Part]| parts.iter().map(Part::text).collect::<String>();
        let urgent = self.urgent_mark(is_end);
        // The subject of what begins has a mark of its own.
        let ended = urgent
            .as_ref()
            .filter(|_| is_end)
            .map_or_else(String::new, |mark| mark.text().into_owned());
        let brief = format!("{}: {ended}{}", self.server_id, plain(&what));
        let subjects = [format!("{brief}{}", plain(&reason)), brief];
        let what = urgent.into_iter().chain(what);
        let detail: Vec<_> = what.chain(reason).chain([Part::Words(since)]).collect();
        Wording {
            server_id: self.server_id.clone(),
            hostname: self.hostname.clone(),
            rest: [Part::Words(": ".to_owned())].into_iter().chain(detail.clone()).collect(),
            detail,
            subjects,
        }
    }

    /// That it is urgent, or no longer so.
    fn urgent_mark(&self, is_end: bool) -> Option<Part> {
        let words = if is_end { "no longer urgent: " } else { "urgent: " };
        self.urgent.then(|| Part::Words(words.to_owned()))
    }

    /// `: exit code 1`
    fn reason(&self) -> Vec<Part> {
        let reason = self.reason.iter();
        let part = |reason: &String| Part::Name(reason.clone(), MAX_REASON);
        reason.flat_map(|reason| [Part::Words(": ".to_owned()), part(reason)]).collect()
    }

    /// `disk /data 93.1 %, limit 90 %`
    fn state(&self) -> Vec<Part> {
        if self.kind == Known(problem::Kind::Duplicate) {
            return vec![
                Part::Words("two senders use the name ".to_owned()),
                Part::name(&self.name),
            ];
        }
        let bound = self.limit.as_ref().and_then(Value::as_f64);
        let quantity = |value: &Value, bound| match (self.metric(), value.as_f64(), value.as_str())
        {
            (Some(metric), Some(value), _) => Part::Words(quantity(metric, value, bound)),
            (None, Some(_), _) => Part::Words(value.to_string()),
            (_, None, Some(status)) => Part::name(status),
            (_, None, None) => Part::name(&value.to_string()),
        };
        let mut state = self.thing();
        match &self.value {
            Some(value) => state.extend([Part::Words(" ".to_owned()), quantity(value, bound)]),
            None => state.push(Part::Words(", not in the last reading".to_owned())),
        }
        if let Some(limit) = &self.limit {
            state.extend([Part::Words(", limit ".to_owned()), quantity(limit, None)]);
        }
        state
    }

    /// How it ended.
    fn end(&self, end: &str) -> Vec<Part> {
        let words = |text: &str| Part::Words(text.to_owned());
        match (end, &self.kind) {
            ("gone", _) => {
                let mut gone = self.thing();
                gone.push(words(" is no longer reported"));
                gone
            }
            ("unwatched", _) if self.urgent => {
                let mut usual = self.state();
                usual.push(words("; it has no urgent limit any more"));
                usual
            }
            ("unwatched", _) => {
                let mut unwatched = self.thing();
                unwatched.push(words(" is no longer watched"));
                unwatched
            }
            (_, Known(problem::Kind::Duplicate)) => {
                let host = self.hostname.as_deref();
                let host =
                    host.map(|host| [words(", "), Part::Name(host.to_owned(), MAX_HOSTNAME)]);
                [words("only one sender uses the name "), Part::name(&self.name), words(" now")]
                    .into_iter()
                    .chain(host.into_iter().flatten())
                    .chain([words("; the other may have died")])
                    .collect()
            }
            (_, Known(problem::Kind::Service)) => {
                let mut solved = self.thing();
                solved.push(words(" is no longer failed or stopped"));
                solved
            }
            (_, Known(problem::Kind::Metric | problem::Kind::Disk) | Unknown(_)) => {
                let mut solved = self.state();
                solved.extend((!self.urgent).then(|| words(", solved")));
                solved
            }
        }
    }

    /// `disk /data`
    fn thing(&self) -> Vec<Part> {
        let words = |text: &str| Part::Words(text.to_owned());
        let name = Part::name(&self.name);
        match (&self.kind, self.metric()) {
            (Known(problem::Kind::Metric), Some(metric)) => vec![Part::Words(metric.label())],
            (Known(problem::Kind::Metric), None) => vec![name],
            (Known(problem::Kind::Duplicate), _) => vec![words("the name "), name],
            (Known(problem::Kind::Disk), _) => vec![words("disk "), name],
            (Known(problem::Kind::Service), _) => vec![words("service "), name],
            (Unknown(kind), _) => vec![Part::name(kind), words(" "), name],
        }
    }

    /// The metric that its values are of.
    fn metric(&self) -> Option<&'static Metric> {
        match self.kind {
            Known(problem::Kind::Metric) => Metric::find(&self.name),
            Known(problem::Kind::Disk) => Some(metric!("disk_percent")),
            Known(problem::Kind::Service | problem::Kind::Duplicate) | Unknown(_) => None,
        }
    }
}

impl Part {
    /// A name from an agent.
    #[must_use]
    pub fn name(text: &str) -> Self {
        Self::Name(text.to_owned(), MAX_NAME)
    }

    /// The part as plain text. No character of it could start a new line or change the direction of the text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Words(text) => Cow::Borrowed(text),
            Self::Name(text, _) => Cow::Owned(escape(text)),
        }
    }

    /// The part as a chat shows it that escapes words and names like this. A name of letters, digits and slashes needs no
    /// more than words do.
    pub fn short(
        &self,
        escape_words: impl Fn(&str) -> String,
        escape_name: impl Fn(&str) -> String,
    ) -> String {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "/_- ".contains(char);
        match self {
            Self::Words(text) => escape_words(text),
            Self::Name(text, max) if text.chars().all(is_plain) => {
                shorten(text, *max, escape_words)
            }
            Self::Name(text, max) => shorten(text, *max, |text| escape_name(&escape(text))),
        }
    }
}

/// The longest time for which a server can have been away: from its last heartbeat before the absence to the first
/// known one after it.
fn away(since: &Option<String>, until: Option<DateTime<Utc>>) -> String {
    let times = since.as_deref().and_then(parse).zip(until);
    times.map_or_else(String::new, |(since, until)| {
        format!(", away for at most {}", duration::words(until - since))
    })
}

fn since(stored: &Option<String>, now: Option<DateTime<Utc>>, zone: &Zone) -> String {
    let time = stored.as_deref().and_then(parse);
    format!("since {}", time.map_or_else(unknown, |time| at_and_age(time, now, zone)))
}

fn time(stored: &Option<String>, now: Option<DateTime<Utc>>, zone: &Zone) -> String {
    stored.as_deref().and_then(parse).map_or_else(unknown, |time| at(time, now, zone))
}

fn unknown() -> String {
    "an unknown time".to_owned()
}
