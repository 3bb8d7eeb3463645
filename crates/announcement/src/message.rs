//! A message, as it is written and read.

use crate::kind::{Absence, Announcement, Kind, Problem, Removal, Return, Silence, Solved, Tone};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tables::ServerId;

/// What stands before a title or a subject if something begins that is urgent.
pub const URGENT: &str = "Urgent: ";

/// A message. Each kind of announcement is a list of its JSON. Versions may differ: what it does not know is ignored, and what
/// is absent is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
pub struct Message {
    pub occasion: Occasion,
    /// That of the sweep, in `last_seen`'s format.
    pub time: Option<String>,
    pub announcements: Vec<Announcement>,
    /// How many announcements did not fit.
    pub omitted: usize,
}

/// Why there is a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occasion {
    /// Something has changed.
    Change,
    /// It says what is still wrong, and perhaps how the fleet is.
    Digest(Option<Fleet>),
    /// It is only a test, with this text and no announcements.
    Test(String),
}

/// How the fleet is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fleet {
    pub servers: usize,
    pub well: usize,
    /// The same in words: `9 of 11 are well: 2 silenced`.
    pub summary: String,
    /// What is worth knowing besides, a line each, without server names of agents' making.
    pub remarks: Vec<String>,
}

/// The JSON. A test consists of its text. A digest has lists for bad news only.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<Fleet>,
    /// Written as null if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offline: Option<Vec<Absence>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    back: Option<Vec<Return>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Vec<Problem>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    solved: Option<Vec<Solved>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<Vec<Removal>>,
    /// Only in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    silenced: Option<Vec<Silence>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<usize>,
}

/// Why JSON is no message.
#[derive(Debug, thiserror::Error)]
#[error("it has no list of any kind")]
struct Foreign;

impl Message {
    /// A test with this text.
    #[must_use]
    pub const fn test(text: String) -> Self {
        Self { occasion: Occasion::Test(text), time: None, announcements: Vec::new(), omitted: 0 }
    }

    /// The JSON of an event that says this silence, or its end (C13.14).
    #[must_use]
    pub fn silenced(time: String, silence: Silence) -> String {
        let (time, silenced) = (Some(Some(time)), Some(vec![silence]));
        json!(Wire { time, silenced, ..Wire::default() }).to_string()
    }

    /// What it is about, with the numbers of announcements.
    #[must_use]
    pub fn counts(&self) -> Vec<(Kind, usize)> {
        let count = |kind: &Kind| {
            self.announcements.iter().filter(|announcement| announcement.kind() == *kind).count()
        };
        let counts = Kind::ALL.iter().map(|kind| (*kind, count(kind)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// What it says of each server, by its id.
    #[must_use]
    pub fn by_server(&self) -> BTreeMap<&str, Self> {
        let mut messages = BTreeMap::new();
        for announcement in &self.announcements {
            let message = messages.entry(announcement.server_id()).or_insert_with(|| Self {
                occasion: self.occasion.clone(),
                time: self.time.clone(),
                announcements: Vec::new(),
                omitted: 0,
            });
            message.announcements.push(announcement.clone());
        }
        messages
    }

    /// The groups of the servers in it, by name.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<&str> {
        self.announcements.iter().filter_map(Announcement::group).collect()
    }

    /// What it says of this group, if it does: nobody knows whose announcements did not fit. A test is for everybody, and a digest
    /// for nobody alone.
    #[must_use]
    pub fn of_group(&self, group: &str) -> Option<Self> {
        let announcements: Vec<_> = match self.occasion {
            Occasion::Test(_) => return Some(self.clone()),
            Occasion::Digest(_) => return None,
            Occasion::Change => {
                let of_group = self.announcements.iter().filter(|it| it.group() == Some(group));
                of_group.cloned().collect()
            }
        };
        let (occasion, time) = (Occasion::Change, self.time.clone());
        (!announcements.is_empty()).then_some(Self { occasion, time, announcements, omitted: 0 })
    }

    /// A summary: `2 servers offline, 1 server back`.
    #[must_use]
    pub fn title(&self) -> String {
        self.title_of(&self.counts())
    }

    /// The same for these numbers of announcements, which may be more than are in it.
    #[must_use]
    pub fn title_of(&self, counts: &[(Kind, usize)]) -> String {
        let counts: Vec<_> = counts.iter().map(|(kind, count)| kind.count(*count)).collect();
        let counts = counts.join(", ");
        match &self.occasion {
            Occasion::Change if self.is_urgent() => format!("{URGENT}{counts}"),
            Occasion::Change => counts,
            Occasion::Digest(Some(fleet)) if self.announcements.is_empty() => fleet.summary.clone(),
            Occasion::Digest(_) => format!("Still wrong: {counts}"),
            Occasion::Test(_) => "Test".to_owned(),
        }
    }

    /// Whether something begins that is urgent: a reminder does not.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.occasion == Occasion::Change && self.announcements.iter().any(Announcement::is_urgent)
    }

    /// Bad if any announcement is.
    #[must_use]
    pub fn tone(&self) -> Tone {
        let tones = self.announcements.iter().map(|announcement| announcement.kind().tone());
        let without_entries = match &self.occasion {
            Occasion::Digest(Some(fleet)) if fleet.servers == fleet.well => Tone::Good,
            _ => Tone::Neutral,
        };
        tones.min().unwrap_or(without_entries)
    }

    /// The address below this page's at which it can be looked at: that of the only server in it, or the fleet's.
    #[must_use]
    pub fn address(&self, page_url: &str) -> String {
        let root = page_url.trim_end_matches('/');
        let mut ids = self.announcements.iter().map(Announcement::server_id);
        let first = ids.next().and_then(|id| id.parse::<ServerId>().ok());
        let only = first.filter(|id| self.omitted == 0 && ids.all(|other| other == id.as_str()));
        match only {
            Some(id) => format!("{root}/servers/{id}"),
            None => format!("{root}/"),
        }
    }

    /// How the fleet is, line by line, as far as the title does not say it.
    pub fn fleet(&self) -> impl Iterator<Item = &str> {
        let fleet = match &self.occasion {
            Occasion::Digest(fleet) => fleet.as_ref(),
            Occasion::Change | Occasion::Test(_) => None,
        };
        let summary = fleet.filter(|_| !self.announcements.is_empty());
        let summary = summary.map(|fleet| fleet.summary.as_str());
        let remarks = fleet.into_iter().flat_map(|fleet| &fleet.remarks);
        summary.into_iter().chain(remarks.map(String::as_str))
    }
}

impl From<Message> for Wire {
    fn from(message: Message) -> Self {
        let (is_digest, fleet) = match message.occasion {
            Occasion::Test(text) => return Self { test: Some(text), ..Self::default() },
            Occasion::Change => (false, None),
            Occasion::Digest(fleet) => (true, fleet),
        };
        let (mut offline, mut back) = (Vec::new(), Vec::new());
        let (mut problems, mut solved) = (Vec::new(), Vec::new());
        let (mut removed, mut silenced) = (Vec::new(), Vec::new());
        for announcement in message.announcements {
            match announcement {
                Announcement::Offline(absence) => offline.push(absence),
                Announcement::Back(end) => back.push(end),
                Announcement::Problem(problem) => problems.push(problem),
                Announcement::Solved(end) => solved.push(end),
                Announcement::Removed(removal) => removed.push(removal),
                Announcement::Silenced(silence) => silenced.push(silence),
            }
        }
        Self {
            test: None,
            digest: is_digest.then_some(true),
            fleet,
            time: Some(message.time),
            offline: Some(offline),
            back: (!is_digest).then_some(back),
            problems: Some(problems),
            solved: (!is_digest).then_some(solved),
            removed: (!is_digest).then_some(removed),
            silenced: (!silenced.is_empty()).then_some(silenced),
            omitted: Some(message.omitted),
        }
    }
}

impl TryFrom<Wire> for Message {
    type Error = Foreign;

    fn try_from(wire: Wire) -> Result<Self, Foreign> {
        let Wire {
            test,
            digest,
            fleet,
            time,
            offline,
            back,
            problems,
            solved,
            removed,
            silenced,
            omitted,
        } = wire;
        if let Some(text) = test {
            return Ok(Self::test(text));
        }
        let is_foreign =
            offline.is_none() && back.is_none() && problems.is_none() && solved.is_none();
        if is_foreign && removed.is_none() && silenced.is_none() {
            return Err(Foreign);
        }
        let offline = offline.into_iter().flatten().map(Announcement::Offline);
        let back = back.into_iter().flatten().map(Announcement::Back);
        let problems = problems.into_iter().flatten().map(Announcement::Problem);
        let solved = solved.into_iter().flatten().map(Announcement::Solved);
        let removed = removed.into_iter().flatten().map(Announcement::Removed);
        let silenced = silenced.into_iter().flatten().map(Announcement::Silenced);
        Ok(Self {
            occasion: match digest {
                Some(true) => Occasion::Digest(fleet),
                _ => Occasion::Change,
            },
            time: time.flatten(),
            announcements: offline
                .chain(back)
                .chain(problems)
                .chain(solved)
                .chain(removed)
                .chain(silenced)
                .collect(),
            omitted: omitted.unwrap_or_default(),
        })
    }
}
