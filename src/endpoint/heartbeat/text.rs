//! Strings with limits. Lengths are in Unicode characters.

use super::field::{Field, Report, Violation};
use super::json::{Json, Value};
use serde_json::json;
use tables::ServerId;

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

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> Field for Text<MIN, MAX> {
    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        report.value(json, |value| Self::new(string(value)?))
    }

    fn schema() -> serde_json::Value {
        let mut schema = json!({ "type": "string", "maxLength": MAX });
        if MIN > 0 {
            schema["minLength"] = MIN.into();
        }
        schema
    }
}

impl Field for ServerId {
    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        report.value(json, |value| Ok(Self::new(string(value)?)?))
    }

    fn schema() -> serde_json::Value {
        let mut schema = Text::<1, { Self::MAX_LENGTH }>::schema();
        schema["pattern"] = Self::PATTERN.into();
        schema
    }
}

fn string<'a>(value: &'a Value<'_>) -> Result<&'a str, Violation> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Violation::StringType),
    }
}
