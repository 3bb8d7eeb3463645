//! Durations as people write them.

use chrono::TimeDelta;
use std::time::Duration;

/// Reads a duration such as `2h` or `90d`.
///
/// # Errors
/// If it is not a duration, or longer than a thousand years.
pub fn duration(text: &str) -> Result<TimeDelta, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let duration = TimeDelta::from_std(duration).map_err(|error| error.to_string())?;
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

/// A duration by its largest unit: `12s`, `3days`.
pub fn words(duration: TimeDelta) -> String {
    let words = words_in_full(duration);
    words.split(' ').next().unwrap_or_default().to_owned()
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
    let unit = UNITS
        .into_iter()
        .find(|(unit, _)| seconds * 10 >= unit * 19);
    let (unit, symbol) = unit.unwrap_or((1, "s"));
    format!("{} {symbol}", (seconds + unit / 2) / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

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
