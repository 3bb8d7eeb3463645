//! What the agent has seen of the file systems.

use serde_json::{Value, json};
use std::collections::HashMap;

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
