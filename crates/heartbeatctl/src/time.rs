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
    let seconds = duration.num_seconds().unsigned_abs();
    let words = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    words.split(' ').next().unwrap_or_default().to_owned()
}
