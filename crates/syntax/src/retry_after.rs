//! `Retry-After`, as responses have it.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// How long to wait before the next attempt: the header is a number of seconds or a date.
#[must_use]
pub fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(header.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = DateTime::parse_from_rfc2822(header).ok()?;
    (date.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_number_of_seconds_or_a_date() {
        let now = "2026-01-18T10:30:00Z".parse().expect("a time");
        for (header, expected) in [
            ("0", Some(Duration::ZERO)),
            ("7", Some(Duration::from_secs(7))),
            ("18446744073709551615", Some(Duration::from_secs(u64::MAX))),
            ("18446744073709551616", Some(Duration::MAX)),
            ("Sun, 18 Jan 2026 10:30:20 GMT", Some(Duration::from_secs(20))),
            ("Sun, 18 Jan 2026 10:29:00 GMT", None),
            ("soon", None),
            ("-1", None),
            ("+7", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), expected, "{header:?}");
        }
    }
}
