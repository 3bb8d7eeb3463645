//! Lengths of time: one way to read them, and three to write them.

use chrono::TimeDelta;

/// Days, hours, minutes and seconds, as [`words`] and [`rounded`] name them.
const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];

/// Reads `90s`, `15m`, `1day 2h`, `90d`, or `0`.
///
/// # Errors
/// If it is not a duration, or longer than a thousand years.
pub fn parse(text: &str) -> Result<TimeDelta, String> {
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
/// If it is shorter, or [`parse`] rejects it.
pub fn parse_positive(text: &str) -> Result<TimeDelta, String> {
    let duration = parse(text)?;
    if duration < TimeDelta::seconds(1) {
        return Err("it is shorter than a second".to_owned());
    }
    Ok(duration)
}

/// Whole seconds in one unit, as a setting has them: `90s`, `15m`, `24h`.
#[must_use]
pub fn exact(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds();
    match (seconds % 3600, seconds % 60) {
        (0, _) => format!("{}h", seconds / 3600),
        (_, 0) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// The two largest units: `1 h 5 min`.
#[must_use]
pub fn words(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds().max(0).unsigned_abs();
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let parts = UNITS.iter().enumerate().skip(largest).take(2).map(|(index, (unit, symbol))| {
        let all = if index == largest { seconds } else { seconds % UNITS[largest].0 };
        format!("{} {symbol}", all / unit)
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// The largest unit, rounded: `3 h`, `90 s`.
#[must_use]
pub fn rounded(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds().unsigned_abs();
    let fits = |(unit, _): &(u64, &str)| seconds * 10 >= unit * 19;
    let (unit, symbol) = UNITS.into_iter().find(fits).unwrap_or((1, "s"));
    format!("{} {symbol}", (seconds + unit / 2) / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("1day 2h", 93_600), ("90d", 7_776_000), ("0", 0)]
        {
            assert_eq!(parse(text), Ok(TimeDelta::seconds(seconds)), "{text}");
        }
        for text in ["", "15", "-1h", "h", "1001years"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_positive("999ms").is_err());
        assert_eq!(parse_positive("1s"), Ok(TimeDelta::seconds(1)));
    }

    #[test]
    fn each_form_has_its_units() {
        for (seconds, in_settings, in_words, at_a_glance) in [
            (0, "0h", "0 s", "0 s"),
            (61, "61s", "1 min 1 s", "61 s"),
            (113, "113s", "1 min 53 s", "113 s"),
            (114, "114s", "1 min 54 s", "2 min"),
            (900, "15m", "15 min 0 s", "15 min"),
            (6_839, "6839s", "1 h 53 min", "114 min"),
            (6_840, "114m", "1 h 54 min", "2 h"),
            (86_400, "24h", "1 d 0 h", "24 h"),
            (164_159, "164159s", "1 d 21 h", "46 h"),
            (164_160, "2736m", "1 d 21 h", "2 d"),
        ] {
            let duration = TimeDelta::seconds(seconds);
            let written = [exact(duration), words(duration), rounded(duration)];
            assert_eq!(written, [in_settings, in_words, at_a_glance], "{seconds}");
            assert_eq!(parse(in_settings), Ok(duration), "{seconds}");
        }
        assert_eq!(words(TimeDelta::seconds(-1)), "0 s");
        assert_eq!(rounded(TimeDelta::seconds(-10_801)), "3 h");
        assert_eq!(rounded(TimeDelta::MAX), "106751991167 d");
    }
}
