//! Times as the tables hold them: `2026-01-18T10:30:00.000000Z`, UTC, with a fixed width, so that alphabetical order is
//! chronological order.

use chrono::{DateTime, SecondsFormat, Utc};

/// The latest time that can be stored.
pub const LATEST: &str = "9999-12-31T23:59:59.999999Z";

/// A time in the tables' format.
#[must_use]
pub fn format(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads a time. A person may have stored it in another form of RFC 3339.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// A time that was read from a table. Conditions compare with the stored text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub text: String,
    pub time: DateTime<Utc>,
}

impl Stored {
    #[must_use]
    pub fn parse(text: String) -> Option<Self> {
        parse(&text).map(|time| Self { text, time })
    }
}

/// The text of a time that was read.
#[must_use]
pub fn as_stored(time: &Option<Stored>) -> Option<&str> {
    time.as_ref().map(|time| time.text.as_str())
}
