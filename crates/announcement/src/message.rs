//! A message, as it is written and read.

use crate::kind::{Announcement, Kind, Tone};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use tables::ServerId;

/// A message. Each kind of announcement is a list of its JSON. Versions may differ: what it does not know is ignored, and what
/// is absent is empty.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Wire")]
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

#[derive(Deserialize)]
struct Wire {
    test: Option<String>,
    #[serde(default)]
    digest: bool,
    time: Option<String>,
    fleet: Option<Fleet>,
    #[serde(default)]
    omitted: usize,
    #[serde(flatten)]
    lists: Map<String, Value>,
}

/// Why JSON is no message.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it has no list of any kind")]
    Foreign,
    #[error(transparent)]
    List(#[from] serde_json::Error),
}

impl Message {
    /// A test with this text.
    #[must_use]
    pub const fn test(text: String) -> Self {
        Self { occasion: Occasion::Test(text), time: None, announcements: Vec::new(), omitted: 0 }
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

    /// A summary: `2 servers offline, 1 server back`.
    #[must_use]
    pub fn title(&self) -> String {
        let counts = self.counts().into_iter();
        let counts: Vec<_> = counts.map(|(kind, count)| kind.count(count)).collect();
        let counts = counts.join(", ");
        match &self.occasion {
            Occasion::Change => counts,
            Occasion::Digest(Some(fleet)) if self.announcements.is_empty() => fleet.summary.clone(),
            Occasion::Digest(_) => format!("Still wrong: {counts}"),
            Occasion::Test(_) => "Test".to_owned(),
        }
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

/// A test consists of its text. A digest has lists for bad news only.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Occasion::Test(text) = &self.occasion {
            map.serialize_entry("test", text)?;
            return map.end();
        }
        let is_digest = matches!(self.occasion, Occasion::Digest(_));
        if let Occasion::Digest(fleet) = &self.occasion {
            map.serialize_entry("digest", &true)?;
            if let Some(fleet) = fleet {
                map.serialize_entry("fleet", fleet)?;
            }
        }
        map.serialize_entry("time", &self.time)?;
        for kind in Kind::ALL {
            if !is_digest || kind.tone() == Tone::Bad {
                let list =
                    self.announcements.iter().filter(|announcement| announcement.kind() == *kind);
                map.serialize_entry(kind.key(), &list.collect::<Vec<_>>())?;
            }
        }
        map.serialize_entry("omitted", &self.omitted)?;
        map.end()
    }
}

impl TryFrom<Wire> for Message {
    type Error = Unreadable;

    fn try_from(mut wire: Wire) -> Result<Self, Unreadable> {
        if let Some(text) = wire.test {
            return Ok(Self::test(text));
        }
        let mut announcements = Vec::new();
        let mut is_ours = false;
        for kind in Kind::ALL {
            if let Some(list) = wire.lists.remove(kind.key()) {
                is_ours = true;
                announcements.extend(kind.parse_list(list)?);
            }
        }
        if !is_ours {
            return Err(Unreadable::Foreign);
        }
        Ok(Self {
            occasion: if wire.digest { Occasion::Digest(wire.fleet) } else { Occasion::Change },
            time: wire.time,
            announcements,
            omitted: wire.omitted,
        })
    }
}
