//! Times as people write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use syntax::duration;

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
    if let Ok(duration) = duration::parse(text) {
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
}
