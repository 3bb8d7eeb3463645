//! Strings with limits. Lengths are in Unicode characters.

use super::field::{Field, FieldError, Report, Violation};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use std::fmt;

/// A string of `MIN` to `MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    fn new(text: &str) -> Result<Self, Violation> {
        match text.chars().count() {
            length if length < MIN => Err(Violation::StringTooShort(MIN)),
            length if length > MAX => Err(Violation::StringTooLong(MAX)),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The string itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> Field for Text<MIN, MAX> {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        report.check(string(value).and_then(Self::new))
    }

    fn attribute(&self) -> Option<AttributeValue> {
        Some(AttributeValue::S(self.0.clone()))
    }

    fn schema() -> Value {
        let mut schema = json!({ "type": "string", "maxLength": MAX });
        if MIN > 0 {
            schema["minLength"] = MIN.into();
        }
        schema
    }
}

/// The name of a server: 1 to 100 characters from `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerId(Text<1, 100>);

impl ServerId {
    const PATTERN: &str = "^[a-z0-9-]+$";

    /// Checks a name.
    ///
    /// # Errors
    /// Returns the first rule that the name breaks.
    pub fn new(text: &str) -> Result<Self, Violation> {
        let text = Text::new(text)?;
        if text
            .as_str()
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            Ok(Self(text))
        } else {
            Err(Violation::StringPatternMismatch(Self::PATTERN))
        }
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Field for ServerId {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        report.check(string(value).and_then(Self::new))
    }

    fn attribute(&self) -> Option<AttributeValue> {
        self.0.attribute()
    }

    fn schema() -> Value {
        let mut schema = Text::<1, 100>::schema();
        schema["pattern"] = Self::PATTERN.into();
        schema
    }
}

/// The id of one heartbeat, the same for every attempt to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatId(String);

impl HeartbeatId {
    /// The header in which an agent sends its own id for a heartbeat.
    pub const HEADER: &str = "idempotency-key";
    const MAX: usize = 64;
    const PATTERN: &str = "^[!-~]+$";

    /// Uses the id that the agent sent (1 to 64 visible ASCII characters), or else the request id.
    ///
    /// # Errors
    /// Returns the rule that the agent's id breaks.
    pub fn new(sent: Option<&[u8]>, request_id: &str) -> Result<Self, FieldError> {
        let violation = match sent {
            None => return Ok(Self(request_id.to_owned())),
            Some([]) => Violation::StringTooShort(1),
            Some(id) if !id.iter().all(u8::is_ascii_graphic) => {
                Violation::StringPatternMismatch(Self::PATTERN)
            }
            Some(id) if id.len() > Self::MAX => Violation::StringTooLong(Self::MAX),
            Some(id) => return Ok(Self(id.iter().copied().map(char::from).collect())),
        };
        let loc = vec!["header", Self::HEADER];
        Err(FieldError::new(loc, &violation))
    }

    /// The id itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON Schema of the header.
    #[must_use]
    pub fn schema() -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": Self::MAX, "pattern": Self::PATTERN })
    }
}

fn string(value: &Value) -> Result<&str, Violation> {
    value.as_str().ok_or(Violation::StringType)
}
