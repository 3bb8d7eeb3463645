//! A file system: how full it is, and whether it works.

use serde_json::{Value, json};
use std::collections::HashMap;

/// A file system of this machine, or a pool of them.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSystem {
    pub mount_point: String,
    /// The name of its device, or of its pool.
    pub device: String,
    pub kind: String,
    pub condition: Condition,
    /// How full its inodes are, if it has a fixed number of them, percent.
    pub inodes: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Ok(Usage),
    /// It does not work as it should, for this reason. It may still say how full it is.
    Failed(Option<Usage>, String),
    /// It could not be read, for this reason.
    Unknown(String),
}

impl FileSystem {
    pub const fn usage(&self) -> Option<Usage> {
        match self.condition {
            Condition::Ok(usage) => Some(usage),
            Condition::Failed(usage, _) => usage,
            Condition::Unknown(_) => None,
        }
    }
}

/// The usage of a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub total: u64,
    pub used: u64,
    /// What a user without privileges may still use.
    pub available: u64,
}

impl Usage {
    /// As `df` computes it: what only the superuser may use is neither used nor available.
    pub fn percent(self) -> Option<f64> {
        let usable = self.used + self.available;
        (usable > 0).then(|| self.used as f64 / usable as f64 * 100.0)
    }
}

/// What the agent has seen of the file systems that are mounted, since the start of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(pub HashMap<Place, Past>);

/// A file system at a mount point.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The device's numbers, as `8:1`.
    pub device: String,
    pub mount_point: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past {
    /// Whether it could be written to at some time.
    pub was_writable: bool,
    /// The smallest number of errors that it has counted.
    pub errors: Option<u64>,
}

impl History {
    pub fn as_json(&self) -> Value {
        let places = self.0.iter().map(|(place, past)| {
            json!([place.device, place.mount_point, past.was_writable, past.errors])
        });
        places.collect()
    }

    pub fn parse(json: &Value) -> Option<Self> {
        let places = json.as_array()?.iter().map(|place| {
            let text = |index: usize| place[index].as_str().map(str::to_owned);
            let past = Past { was_writable: place[2].as_bool()?, errors: place[3].as_u64() };
            let place = Place { device: text(0)?, mount_point: text(1)? };
            Some((place, past))
        });
        places.collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_superuser_may_use_is_not_used() {
        let usage = Usage { total: 100, used: 13, available: 82 };
        assert_eq!(usage.percent().map(f64::round), Some(14.0));
        let empty = Usage { total: 0, used: 0, available: 0 };
        assert_eq!(empty.percent(), None);
    }

    #[test]
    fn a_history_survives_as_json() {
        let place =
            |device: &str| Place { device: device.to_owned(), mount_point: "/data".to_owned() };
        let past = |was_writable, errors| Past { was_writable, errors };
        let history = History(HashMap::from([
            (place("8:1"), past(true, None)),
            (place("8:2"), past(false, Some(3))),
        ]));
        assert_eq!(History::parse(&history.as_json()), Some(history));
        assert_eq!(History::parse(&json!([["8:1"]])), None);
    }
}
