//! Strings with limits. Lengths are in Unicode characters, and in bytes where strings are stored.

use super::field::{Field, Report, Schema, Violation};
use super::json::{Json, Value};
use std::borrow::Cow;
use tables::ServerId;

/// What stands for the middle of a text that is shortened.
pub const ELLIPSIS: &str = "…";

/// A string of `MIN` to `MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    pub(super) fn new(text: &str) -> Result<Self, Violation> {
        match text.chars().count() {
            length if length < MIN => Err(Violation::StringTooShort(MIN)),
            length if length > MAX => Err(Violation::StringTooLong(MAX)),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// As it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is stored: in `MAX` bytes.
    #[must_use]
    pub fn stored(&self) -> Cow<'_, str> {
        if self.0.len() <= MAX {
            return Cow::Borrowed(&self.0);
        }
        Cow::Owned(shorten(self.0.clone(), MAX))
    }
}

/// The name, with an ellipsis in its middle if it has more than `max` bytes, so that it has at most as many. There must be
/// room for the ellipsis.
pub fn shorten(name: String, max: usize) -> String {
    if name.len() <= max {
        return name;
    }
    let room = max - ELLIPSIS.len();
    let head = &name[..name.floor_char_boundary(room.div_ceil(2))];
    let tail = &name[name.ceil_char_boundary(name.len() - (room - head.len()))..];
    [head, ELLIPSIS, tail].concat()
}

impl<const MIN: usize, const MAX: usize> Field for Text<MIN, MAX> {
    const SCHEMA: Schema = Schema::Text { min: MIN, max: MAX, pattern: None };

    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        report.value(json, |value| Self::new(string(value)?))
    }
}

impl Field for ServerId {
    const SCHEMA: Schema =
        Schema::Text { min: 1, max: Self::MAX_LENGTH, pattern: Some(Self::PATTERN) };

    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        report.value(json, |value| Ok(Self::new(string(value)?)?))
    }
}

fn string<'a>(value: &'a Value<'_>) -> Result<&'a str, Violation> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Violation::StringType),
    }
}
