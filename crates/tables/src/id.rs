//! The ids of servers and of heartbeats.

use std::fmt;
use std::str::FromStr;

/// The name of a server: 1 to 100 characters from `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(String);

/// The rule that an id breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidId {
    Empty,
    /// It has more characters than this.
    TooLong(usize),
    /// It has characters outside this regular expression.
    Pattern(&'static str),
}

impl ServerId {
    /// The maximum length, characters.
    pub const MAX_LENGTH: usize = 100;
    /// The valid ids, apart from their length, as a regular expression.
    pub const PATTERN: &str = "^[a-z0-9-]+$";

    /// Checks an id.
    ///
    /// # Errors
    /// Returns the first rule that it breaks.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        match text.chars().count() {
            0 => Err(InvalidId::Empty),
            1..=Self::MAX_LENGTH if text.bytes().all(is_valid) => Ok(Self(text.to_owned())),
            1..=Self::MAX_LENGTH => Err(InvalidId::Pattern(Self::PATTERN)),
            _ => Err(InvalidId::TooLong(Self::MAX_LENGTH)),
        }
    }

    /// Whether a text is an id.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        (1..=Self::MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_valid)
    }

    /// Turns a host name into an id: each invalid character becomes a dash.
    #[must_use]
    pub fn from_hostname(hostname: &str) -> Self {
        let valid = |character: char| match character.to_ascii_lowercase() {
            character @ ('a'..='z' | '0'..='9') => character,
            _ => '-',
        };
        let id: String = hostname.chars().take(Self::MAX_LENGTH).map(valid).collect();
        Self(if id.is_empty() { "unnamed".to_owned() } else { id })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_valid(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let message = "a server id has 1 to 100 characters from a-z, 0-9 and -";
        Self::new(text).map_err(|_| message)
    }
}

/// The id of one heartbeat, the same for every attempt to send it: the agent's own, of 1 to 64 visible ASCII characters,
/// or else the id of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatId(String);

impl HeartbeatId {
    /// The header in which an agent sends its id.
    pub const HEADER: &str = "idempotency-key";
    /// The maximum length, characters.
    pub const MAX_LENGTH: usize = 64;
    /// The valid ids, apart from their length, as a regular expression.
    pub const PATTERN: &str = "^[!-~]+$";

    /// Checks an agent's id.
    ///
    /// # Errors
    /// Returns the first rule that it breaks.
    pub fn new(sent: &[u8]) -> Result<Self, InvalidId> {
        match sent {
            [] => Err(InvalidId::Empty),
            _ if !sent.iter().all(u8::is_ascii_graphic) => Err(InvalidId::Pattern(Self::PATTERN)),
            _ if sent.len() > Self::MAX_LENGTH => Err(InvalidId::TooLong(Self::MAX_LENGTH)),
            _ => Ok(Self(sent.iter().copied().map(char::from).collect())),
        }
    }

    /// The id of a request, for a heartbeat whose agent sent none.
    #[must_use]
    pub fn of_request(request_id: &str) -> Self {
        Self(request_id.to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_name_gives_a_valid_id() {
        let long = "x".repeat(101);
        for (text, expected) in [
            ("web-1", Ok(())),
            (&long[1..], Ok(())),
            (&long, Err(InvalidId::TooLong(100))),
            ("", Err(InvalidId::Empty)),
            ("Web", Err(InvalidId::Pattern(ServerId::PATTERN))),
            ("web 1", Err(InvalidId::Pattern(ServerId::PATTERN))),
            ("é", Err(InvalidId::Pattern(ServerId::PATTERN))),
        ] {
            assert_eq!(ServerId::new(text).map(|_| ()), expected, "{text:?}");
            let id = ServerId::from_hostname(text);
            assert_eq!(ServerId::new(id.as_str()), Ok(id), "{text:?}");
        }
        assert_eq!(ServerId::from_hostname("NAS.example").as_str(), "nas-example");
    }
}
