//! Words for people.

use chrono::{DateTime, Utc};
use tables::{Metric, Number, is_printable};

/// A number of things: `1 server`, `2 servers`, `3 entries`.
#[must_use]
pub fn plural(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ => format!("{count} {noun}s"),
    }
}

/// A server: `web-1 (web-1.example.com)`.
#[must_use]
pub fn name(server_id: &str, hostname: Option<&str>) -> String {
    escape(&match hostname {
        Some(hostname) => format!("{server_id} ({hostname})"),
        None => server_id.to_owned(),
    })
}

/// A value with its unit, with at most two decimals: `93.1 %`.
#[must_use]
pub fn quantity(metric: &Metric, value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    let shown = Number::Float(if rounded.is_finite() { rounded } else { value });
    format!("{shown} {}", metric.unit.symbol()).trim_end().to_owned()
}

/// A time, in UTC.
#[must_use]
pub fn moment(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(
        || "an unknown time".to_owned(),
        |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Escapes characters that could start a new line, hide, or change the direction of the text.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if is_printable(char) {
            escaped.push(char);
        } else {
            escaped.extend(char.escape_unicode());
        }
    }
    escaped
}

/// Text from an agent in which no reader of plain text sees a link: a character of no width stands in `://` and `www.`.
#[must_use]
pub fn unlinked(text: &str) -> String {
    let mut unlinked = text.replace("://", ":\u{200b}//");
    let lower = unlinked.to_ascii_lowercase();
    let places = lower.match_indices("www.").map(|(index, _)| index + 3);
    for place in places.collect::<Vec<_>>().into_iter().rev() {
        unlinked.insert(place, '\u{200b}');
    }
    unlinked
}

/// A sort key that puts `web-2` before `web-10`: texts and numbers in turn, numbers by their value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Natural(Vec<(bool, usize, String, String)>, String);

impl Natural {
    #[must_use]
    pub fn of(id: &str) -> Self {
        let part = |part: &str| {
            let text = part.trim_start_matches(|char: char| char.is_ascii_digit());
            let digits = &part[..part.len() - text.len()];
            let number = digits.trim_start_matches('0').to_owned();
            (digits.is_empty(), number.len(), number, text.to_owned())
        };
        let parts = id.split_inclusive(|char: char| !char.is_ascii_digit());
        Self(parts.map(part).collect(), id.to_owned())
    }

    /// What it is the key of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.1
    }
}
