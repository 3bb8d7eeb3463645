//! Points in time, read as leniently as pydantic's lax mode does.

use super::field::{Field, Report, Violation};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc,
};
use serde_json::{Number, Value, json};
use std::fmt;

/// A point in time, to the microsecond.
///
/// Displayed as `2026-01-18T10:30:00.000000Z`: UTC, of fixed width, so that text order is time order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn epoch_seconds(self) -> i64 {
        self.0.timestamp()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl Field for Timestamp {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        report.check(match value {
            Value::String(text) => spelled(text),
            Value::Number(number) => sent(number),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(Violation::DatetimeType)
            }
        })
    }

    fn attribute(&self) -> Option<AttributeValue> {
        Some(AttributeValue::S(self.to_string()))
    }

    fn schema() -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

/// Reads a string: an ISO 8601 date-time, or a Unix time.
fn spelled(text: &str) -> Result<Timestamp, Violation> {
    let (local, offset) = date_time(text)
        .or_else(|| Some((spelled_unix_time(text)?, TimeDelta::zero())))
        .ok_or(Violation::DatetimeFromDateParsing)?;
    if local.year() == 0 {
        return Err(Violation::DatetimeParsing);
    }
    Ok(Timestamp((local - offset).and_utc()))
}

/// Reads a number: a Unix time.
fn sent(number: &Number) -> Result<Timestamp, Violation> {
    let time = match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => unix_time(whole.into(), 0.0),
        (None, Some(float)) => float_unix_time(float),
        (None, None) => None,
    };
    time.filter(|time| time.year() > 0)
        .map(|time| Timestamp(time.and_utc()))
        .ok_or(Violation::DatetimeParsing)
}

/// `YYYY-MM-DD`, then optionally a separator and `HH:MM[:SS[.f…]]` and an offset from UTC.
fn date_time(text: &str) -> Option<(NaiveDateTime, TimeDelta)> {
    let (date, time) = text.split_at_checked(10)?;
    let [year @ .., b'-', m1, m2, b'-', d1, d2] = date.as_bytes() else {
        return None;
    };
    let year = i32::try_from(digits(year)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, digits(&[*m1, *m2])?, digits(&[*d1, *d2])?)?;
    match time.as_bytes() {
        [] => Some((date.and_time(NaiveTime::MIN), TimeDelta::zero())),
        [b'T' | b't' | b' ' | b'_', h1, h2, b':', m1, m2, rest @ ..] => {
            let (second, micros, rest) = seconds(rest)?;
            let time = NaiveTime::from_hms_micro_opt(
                digits(&[*h1, *h2])?,
                digits(&[*m1, *m2])?,
                second,
                micros,
            )?;
            Some((date.and_time(time), offset(rest)?))
        }
        _ => None,
    }
}

/// Takes `:SS[.f…]` off the front, where it is there: seconds, microseconds and the rest.
fn seconds(text: &[u8]) -> Option<(u32, u32, &[u8])> {
    let [b':', s1, s2, rest @ ..] = text else {
        return Some((0, 0, text));
    };
    let second = digits(&[*s1, *s2])?;
    let [b'.' | b',', rest @ ..] = rest else {
        return Some((second, 0, rest));
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = rest.split_at(length);
    let first_six = &fraction[..length.min(6)];
    let micros = digits(first_six)? * 10_u32.pow(6 - u32::try_from(first_six.len()).ok()?);
    Some((second, micros, rest))
}

/// An offset from UTC, below a day: nothing, `Z`, `±HH:MM` or `±HHMM`.
fn offset(text: &[u8]) -> Option<TimeDelta> {
    let (sign, hours, minutes) = match text {
        [] | [b'Z' | b'z'] => return Some(TimeDelta::zero()),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            (sign, digits(&[*h1, *h2])?, digits(&[*m1, *m2])?)
        }
        _ => return None,
    };
    let offset = TimeDelta::minutes((hours * 60 + minutes).into());
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'-' => Some(-offset),
        _ => Some(offset),
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        Some(number * 10 + char::from(*byte).to_digit(10)?)
    })
}

/// A string that is nothing but a decimal number.
fn spelled_unix_time(text: &str) -> Option<NaiveDateTime> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    match text.parse::<i64>() {
        Ok(whole) => unix_time(whole.into(), 0.0),
        Err(_) => float_unix_time(text.parse().ok()?),
    }
}

fn float_unix_time(float: f64) -> Option<NaiveDateTime> {
    unix_time(float.floor() as i128, float - float.floor())
}

/// Seconds since the epoch, or milliseconds above 2e10, within the years 0 to 9999. The fraction, 0 to 1,
/// is of the same unit.
fn unix_time(whole: i128, fraction: f64) -> Option<NaiveDateTime> {
    let magnitude = (whole as f64 + fraction).abs();
    let micros_per_unit: u32 = if magnitude > 2e10 { 1_000 } else { 1_000_000 };
    let micros = (fraction * f64::from(micros_per_unit)).round() as i128;
    let micros = whole
        .checked_mul(micros_per_unit.into())?
        .checked_add(micros)?;
    let time = DateTime::from_timestamp_micros(i64::try_from(micros).ok()?)?.naive_utc();
    (0..=9999).contains(&time.year()).then_some(time)
}
