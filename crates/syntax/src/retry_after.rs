//! `Retry-After`, as responses have it.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// How long to wait before the next attempt: the header is a number of seconds, perhaps with a fraction, or a date.
#[must_use]
pub fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let (whole, fraction) = header.split_once('.').unwrap_or((header, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(whole) && is_number(fraction) {
        return header.parse().ok().and_then(pause);
    }
    let date = DateTime::parse_from_rfc2822(header).ok()?;
    (date.to_utc() - now).to_std().ok()
}

/// A time to wait, however long; `None` if it is negative or no number.
#[must_use]
pub fn pause(seconds: f64) -> Option<Duration> {
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_number_of_seconds_with_or_without_a_fraction_or_a_date() {
        let now = "2026-01-18T10:30:00Z".parse().expect("a time");
        for (header, expected) in [
            ("0", Some(Duration::ZERO)),
            ("7", Some(Duration::from_secs(7))),
            ("2.5", Some(Duration::from_millis(2500))),
            ("0.125", Some(Duration::from_millis(125))),
            ("86400.0", Some(Duration::from_secs(86_400))),
            ("18446744073709551616", Some(Duration::MAX)),
            ("Sun, 18 Jan 2026 10:30:20 GMT", Some(Duration::from_secs(20))),
            ("Sun, 18 Jan 2026 10:29:00 GMT", None),
            ("soon", None),
            ("-1", None),
            ("+7", None),
            ("-1.5", None),
            (".5", None),
            ("5.", None),
            ("1.5.5", None),
            ("1e3", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), expected, "{header:?}");
        }
    }
}
