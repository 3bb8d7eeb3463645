//! Numbers, read as leniently as in pydantic's lax mode.

use super::field::Violation;
use super::json::Value;
use std::ops::RangeInclusive;
use tables::Number;
use tables::metric::{MAX_AMOUNT, MAX_TEMPERATURE, MIN_TEMPERATURE, Rule};

/// Reads a number by its rule.
pub fn parse(value: &Value<'_>, rule: Rule) -> Result<Number, Violation> {
    match rule {
        Rule::Percent => float(value, 0.0..=100.0).map(Number::Float),
        Rule::Amount => float(value, 0.0..=MAX_AMOUNT).map(Number::Float),
        Rule::Temperature => float(value, MIN_TEMPERATURE..=MAX_TEMPERATURE).map(Number::Float),
        Rule::Count => integer(value).map(Number::Whole),
        Rule::Flag => match value {
            Value::Bool(bit) => Ok(Number::Whole((*bit).into())),
            _ => Err(Violation::BoolType),
        },
    }
}

/// Reads a float: a number, a boolean, or a string in plain or exponent notation.
fn float(value: &Value<'_>, range: RangeInclusive<f64>) -> Result<f64, Violation> {
    let float = match value {
        Value::Number(number) => number.as_f64().ok_or(Violation::FloatType)?,
        Value::Bool(bit) => f64::from(u8::from(*bit)),
        Value::String(text) => float_from_text(text).ok_or(Violation::FloatParsing)?,
        Value::Null | Value::Array | Value::Object => return Err(Violation::FloatType),
    };
    if float < *range.start() {
        Err(Violation::GreaterThanEqual)
    } else if float > *range.end() {
        let max = Number::Float(*range.end());
        Err(Violation::LessThanEqual(max.to_string()))
    } else {
        Ok(float)
    }
}

/// Parses the number in a string. `nan` and `inf` are not numbers here.
fn float_from_text(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain =
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { text.parse().ok() } else { None }
}

/// Reads a whole number from 0 to 2^64-1: a number without a fraction, a boolean, or a string of digits.
fn integer(value: &Value<'_>) -> Result<u64, Violation> {
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(count), _) => Ok(count),
            (None, Some(float)) => whole(float),
            (None, None) => Err(Violation::IntType),
        },
        Value::Bool(bit) => Ok(u64::from(*bit)),
        Value::String(text) => integer_from_text(text),
        Value::Null | Value::Array | Value::Object => Err(Violation::IntType),
    }
}

fn whole(float: f64) -> Result<u64, Violation> {
    /// 2^64, the first float above every count.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if float.fract() != 0.0 {
        Err(Violation::IntFromFloat)
    } else if float < 0.0 {
        Err(Violation::GreaterThanEqual)
    } else if float >= BEYOND {
        Err(Violation::LessThanEqual(u64::MAX.to_string()))
    } else {
        Ok(float as u64)
    }
}

/// Parses the whole number in a string: digits with an optional sign, and an optional fraction of zeros.
fn integer_from_text(text: &str) -> Result<u64, Violation> {
    let text = text.trim();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_complete = !digits.is_empty() && !fraction.is_empty();
    if !is_complete
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || !fraction.bytes().all(|byte| byte == b'0')
    {
        return Err(Violation::IntParsing);
    }
    if negative && digits.bytes().any(|digit| digit != b'0') {
        return Err(Violation::GreaterThanEqual);
    }
    digits.parse().map_err(|_| Violation::LessThanEqual(u64::MAX.to_string()))
}
