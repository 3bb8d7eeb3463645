//! Groups of servers.

use std::fmt;
use std::str::FromStr;

/// The name of a group: 1 to 16 characters from `a-z`, `0-9` and `-`, but not [`NONE`](Self::NONE).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(String);

impl Group {
    /// The maximum length, characters.
    pub const MAX_LENGTH: usize = 16;
    /// On the item of a server that belongs to no group, whatever its heartbeats' key says.
    pub const NONE: &str = "none";

    /// Checks a name.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_valid = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && text != Self::NONE;
        is_valid.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Group {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or("a group has 1 to 16 characters from a-z, 0-9 and -, and is not none")
    }
}
