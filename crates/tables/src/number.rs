//! Numbers as the tables hold them.

use std::fmt;

/// A number that is not negative, stored exactly as it was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Float(f64),
    Whole(u64),
}

impl Number {
    /// Reads a number from a table.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let whole = text.parse().map(Self::Whole);
        whole.or_else(|_| text.parse().map(Self::Float)).ok()
    }

    #[must_use]
    pub const fn as_f64(self) -> f64 {
        match self {
            Self::Float(float) => float,
            Self::Whole(whole) => whole as f64,
        }
    }
}

/// The shortest decimal that reads back as the same number, in DynamoDB's notation. A float that is closer to zero than
/// DynamoDB's smallest number becomes zero.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(whole) => whole.fmt(f),
            Self::Float(float) if float < 1e-130 => f.write_str("0"),
            Self::Float(float) if (1e-5..1e16).contains(&float) => float.fmt(f),
            Self::Float(float) => write!(f, "{float:e}"),
        }
    }
}
