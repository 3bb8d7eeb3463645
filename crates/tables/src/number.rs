//! Numbers as the tables hold them.

use std::fmt;

/// A number, stored exactly as it was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Float(f64),
    Whole(u64),
}

impl Number {
    /// Reads a number from a table.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().map(Self::Whole).or_else(|_| text.parse().map(Self::Float)).ok()
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
            Self::Float(float) if float.abs() < 1e-130 => f.write_str("0"),
            Self::Float(float) if (1e-5..1e16).contains(&float.abs()) => float.fmt(f),
            Self::Float(float) => write!(f, "{float:e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C4.4
    #[test]
    fn a_number_reads_back_as_it_was_stored() {
        for (number, text) in [
            (Number::Whole(u64::MAX), "18446744073709551615"),
            (Number::Float(23.5), "23.5"),
            (Number::Float(-40.25), "-40.25"),
            (Number::Float(9.9e125), "9.9e125"),
            (Number::Float(-9.9e125), "-9.9e125"),
            (Number::Float(-2e-7), "-2e-7"),
        ] {
            assert_eq!(number.to_string(), text);
            assert_eq!(Number::parse(text), Some(number));
        }
        for zero in [0.0, -0.0, 1e-131, -1e-131] {
            assert_eq!(Number::Float(zero).to_string(), "0");
        }
    }
}
