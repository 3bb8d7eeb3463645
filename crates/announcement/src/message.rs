//! A message, as it is written and read.

use crate::entry::{Entry, Kind, Tone};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// A message. Each kind of entry is a list of its JSON. Versions may differ: what it does not know is ignored, and what
/// is absent is empty.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Message {
    pub occasion: Occasion,
    pub entries: Vec<Entry>,
    /// How many entries did not fit.
    pub omitted: usize,
}

/// Why there is a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occasion {
    /// Something has changed.
    Change,
    /// It says what is still wrong.
    Digest,
    /// It is only a test, with this text and no entries.
    Test(String),
}

#[derive(Deserialize)]
struct Wire {
    test: Option<String>,
    #[serde(default)]
    digest: bool,
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
        Self {
            occasion: Occasion::Test(text),
            entries: Vec::new(),
            omitted: 0,
        }
    }

    /// What it is about, with the numbers of entries.
    #[must_use]
    pub fn counts(&self) -> Vec<(Kind, usize)> {
        let count = |kind: &Kind| {
            self.entries
                .iter()
                .filter(|entry| entry.kind() == *kind)
                .count()
        };
        let counts = Kind::ALL.iter().map(|kind| (*kind, count(kind)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// A summary: `2 servers offline, 1 server back`.
    #[must_use]
    pub fn title(&self) -> String {
        let counts = self.counts().into_iter();
        let parts: Vec<_> = counts.map(|(kind, count)| kind.count(count)).collect();
        let summary = parts.join(", ");
        match self.occasion {
            Occasion::Change => summary,
            Occasion::Digest => format!("Still wrong: {summary}"),
            Occasion::Test(_) => "Test".to_owned(),
        }
    }

    /// Bad if any entry is.
    #[must_use]
    pub fn tone(&self) -> Tone {
        let tones = self.entries.iter().map(|entry| entry.kind().tone());
        tones.min().unwrap_or(Tone::Neutral)
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
        let is_digest = self.occasion == Occasion::Digest;
        if is_digest {
            map.serialize_entry("digest", &true)?;
        }
        for kind in Kind::ALL {
            if !is_digest || kind.tone() == Tone::Bad {
                let list = self.entries.iter().filter(|entry| entry.kind() == *kind);
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
        let mut entries = Vec::new();
        let mut is_ours = false;
        for kind in Kind::ALL {
            if let Some(list) = wire.lists.remove(kind.key()) {
                is_ours = true;
                entries.extend(kind.read(list)?);
            }
        }
        if !is_ours {
            return Err(Unreadable::Foreign);
        }
        Ok(Self {
            occasion: if wire.digest {
                Occasion::Digest
            } else {
                Occasion::Change
            },
            entries,
            omitted: wire.omitted,
        })
    }
}
