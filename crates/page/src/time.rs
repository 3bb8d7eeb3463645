//! Durations and times as people write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use std::time::Duration;

/// Reads a duration such as `2h` or `90d`.
///
/// # Errors
/// If it is not a duration, or longer than a thousand years.
pub fn duration(text: &str) -> Result<TimeDelta, String> {
    let parsed = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let duration = TimeDelta::from_std(parsed).map_err(|error| error.to_string())?;
    if duration > TimeDelta::days(365_000) {
        return Err("it is longer than a thousand years".to_owned());
    }
    Ok(duration)
}

/// Reads a duration of a second or more.
///
/// # Errors
/// If it is shorter, or [`duration`] rejects it.
pub fn positive_duration(text: &str) -> Result<TimeDelta, String> {
    let duration = duration(text)?;
    if duration < TimeDelta::seconds(1) {
        return Err("it is shorter than a second".to_owned());
    }
    Ok(duration)
}

/// A time, or how long before now it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    Ago(TimeDelta),
    At(DateTime<Utc>),
}

impl Moment {
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Ago(duration) => now - duration,
            Self::At(time) => time,
        }
    }
}

/// Reads a duration before now, or a time: RFC 3339, or in UTC without an offset, without seconds, or a date alone.
///
/// # Errors
/// If it is neither.
pub fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(duration) = duration(text) {
        return Ok(Moment::Ago(duration));
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(Moment::At(time.to_utc()));
    }
    let formats =
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let midnight =
        || Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN));
    formats
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(midnight)
        .map(|time| Moment::At(time.and_utc()))
        .ok_or_else(|| {
            "it is neither a duration such as 24h nor a time such as 2026-01-18T10:30".to_owned()
        })
}

/// A duration by its largest unit: `12s`, `3days`.
pub fn words(duration: TimeDelta) -> String {
    words_in_full(duration).split(' ').next().unwrap_or_default().to_owned()
}

/// A duration in full: `15m`, `1day 2h`.
pub fn words_in_full(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds().unsigned_abs();
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// A duration, rounded to its largest unit: `3 h`, `90 s`.
pub fn rounded(duration: TimeDelta) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let seconds = duration.num_seconds().unsigned_abs();
    let (unit, symbol) =
        UNITS.into_iter().find(|(unit, _)| seconds * 10 >= unit * 19).unwrap_or((1, "s"));
    format!("{} {symbol}", (seconds + unit / 2) / unit)
}

/// A time without its seconds: `2026-01-18 10:30 UTC`.
#[must_use]
pub fn to_the_minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_duration_before_now_or_a_time() {
        let now = "2026-01-18T10:30:00Z".parse().expect("a time");
        for (text, expected) in [
            ("24h", "2026-01-17T10:30:00Z"),
            ("1day 30m", "2026-01-17T10:00:00Z"),
            ("2026-01-18", "2026-01-18T00:00:00Z"),
            ("2026-01-18T10:30", "2026-01-18T10:30:00Z"),
            ("2026-01-18 10:30:01.5", "2026-01-18T10:30:01.5Z"),
            ("2026-03-29T03:00:00+02:00", "2026-03-29T01:00:00Z"),
        ] {
            let expected: DateTime<Utc> = expected.parse().expect("a time");
            assert_eq!(moment(text).map(|moment| moment.at(now)), Ok(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-01-32", "-1h", "2026-01-18T25:00"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_rounded_to_their_largest_unit() {
        for (seconds, expected) in [
            (61, "61 s"),
            (113, "113 s"),
            (114, "2 min"),
            (6_839, "114 min"),
            (6_840, "2 h"),
            (10_799, "3 h"),
            (-10_801, "3 h"),
            (164_159, "46 h"),
            (164_160, "2 d"),
            (i64::MAX / 1000, "106751991167 d"),
        ] {
            assert_eq!(rounded(TimeDelta::seconds(seconds)), expected, "{seconds}");
        }
    }
}
