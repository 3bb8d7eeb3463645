//! Points in time, to the microsecond, read as leniently as in pydantic's lax mode.

use super::field::{Field, Report, Schema, Violation};
use super::json::{Json, Value};
use chrono::{DateTime, Datelike, Utc};
use serde_json::Number;
use speedate::{MicrosecondsPrecisionOverflowBehavior, TimeConfig};
use std::ops::RangeInclusive;

impl Field for DateTime<Utc> {
    const SCHEMA: Schema = Schema::DateTime;

    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        report.value(json, |value| match value {
            Value::String(text) => from_text(text),
            Value::Number(number) => from_number(number),
            Value::Null | Value::Bool(_) | Value::Array | Value::Object => {
                Err(Violation::DatetimeType)
            }
        })
    }
}

/// The years that can be stored, in UTC. An offset can lead out of them.
const YEARS: RangeInclusive<i32> = 1..=9999;

/// Reads a string: a date-time, a date, or a Unix time.
fn from_text(text: &str) -> Result<DateTime<Utc>, Violation> {
    let (year, time) = if let Ok(read) = from_date_time(text) {
        let nanos = read.time.microsecond * 1000;
        let time = DateTime::from_timestamp(read.timestamp_tz(), nanos);
        (read.date.year.into(), time)
    } else if let Ok(date) = speedate::Date::parse_str_rfc3339(text) {
        (date.year.into(), DateTime::from_timestamp(date.timestamp(), 0))
    } else {
        let time = unix_time_from_text(text);
        (time.map_or(0, |time| time.year()), time)
    };
    match time {
        None => Err(Violation::DatetimeFromDateParsing),
        Some(time) if year == 0 || !YEARS.contains(&time.year()) => Err(Violation::DatetimeParsing),
        Some(time) => Ok(time),
    }
}

/// Reads a date-time, and truncates its fraction to microseconds.
fn from_date_time(text: &str) -> Result<speedate::DateTime, speedate::ParseError> {
    let config = TimeConfig {
        microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
        unix_timestamp_offset: None,
    };
    speedate::DateTime::parse_bytes_rfc3339_with_config(text.as_bytes(), &config)
}

/// Reads a number: a Unix time.
fn from_number(number: &Number) -> Result<DateTime<Utc>, Violation> {
    let time = match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => unix_time(whole.into(), 0.0),
        (None, Some(float)) => float_unix_time(float),
        (None, None) => None,
    };
    time.filter(|time| YEARS.contains(&time.year())).ok_or(Violation::DatetimeParsing)
}

/// Reads a Unix time from a string that consists only of a decimal number.
fn unix_time_from_text(text: &str) -> Option<DateTime<Utc>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    match text.parse::<i64>() {
        Ok(whole) => unix_time(whole.into(), 0.0),
        Err(_) => float_unix_time(text.parse().ok()?),
    }
}

fn float_unix_time(float: f64) -> Option<DateTime<Utc>> {
    unix_time(float.floor() as i128, float - float.floor())
}

/// Converts seconds since the Unix epoch, or milliseconds if the number is above 2e10, into a time within the years
/// 0 to 9999. The fraction, 0 to 1, has the same unit.
fn unix_time(whole: i128, fraction: f64) -> Option<DateTime<Utc>> {
    let magnitude = (whole as f64 + fraction).abs();
    let micros_per_unit: u32 = if magnitude > 2e10 { 1_000 } else { 1_000_000 };
    let micros = (fraction * f64::from(micros_per_unit)).round() as i128;
    let micros = whole.checked_mul(micros_per_unit.into())?.checked_add(micros)?;
    let time = DateTime::from_timestamp_micros(i64::try_from(micros).ok()?)?;
    (0..=9999).contains(&time.year()).then_some(time)
}
