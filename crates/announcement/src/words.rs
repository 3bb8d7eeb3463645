//! Words for people.

use chrono::{DateTime, TimeDelta, Utc};
use std::cmp::Ordering;
use std::iter;
use syntax::duration::rounded;
use tables::metric::{Metric, Rule};
use tables::{Number, Zone, is_printable};

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

/// A number rounded to so many decimals. Rounding never takes it across 100 or its limit, in either direction: where it
/// would, the number keeps one decimal, cut off, or as many as that needs.
#[must_use]
pub fn round(value: f64, decimals: i32, limit: Option<f64>) -> f64 {
    let crosses = |shown: f64| {
        let bounds = [Some(100.0), limit];
        bounds.into_iter().flatten().any(|bound| (value < bound) != (shown < bound))
    };
    let to = |decimals: i32, whole: fn(f64) -> f64| {
        let scale = 10_f64.powi(decimals);
        whole(value * scale) / scale + 0.0
    };
    let cut = (1..=9).map(|decimals| to(decimals, f64::trunc));
    let mut shown = iter::once(to(decimals, f64::round)).chain(cut);
    shown.find(|shown| shown.is_finite() && !crosses(*shown)).unwrap_or(value)
}

/// A share of a whole, in few characters: `93`, and `99.6` for what is not yet 100.
#[must_use]
pub fn percent(value: f64, limit: Option<f64>) -> String {
    Number::Float(round(value, 0, limit)).to_string()
}

/// A value with its unit: `93.1 %`. A percent has at most one decimal, anything else two.
#[must_use]
pub fn quantity(metric: &Metric, value: f64, limit: Option<f64>) -> String {
    let decimals = if metric.rule == Rule::Percent { 1 } else { 2 };
    let shown = Number::Float(round(value, decimals, limit));
    format!("{shown} {}", metric.unit.symbol()).trim_end().to_owned()
}

/// A time to the minute in a zone: `10:30 UTC`, and with its date if that is not today's there.
#[must_use]
pub fn at(time: DateTime<Utc>, now: Option<DateTime<Utc>>, zone: &Zone) -> String {
    let is_today = now.is_some_and(|now| zone.local(now).date() == zone.local(time).date());
    zone.say(time, if is_today { "%H:%M" } else { "%Y-%m-%d %H:%M" })
}

/// A time and how long ago it is, if that is known: `10:30 UTC (8 min)`.
#[must_use]
pub fn at_and_age(time: DateTime<Utc>, now: Option<DateTime<Utc>>, zone: &Zone) -> String {
    let age = now.map(|now| (now - time).max(TimeDelta::zero()));
    at(time, now, zone) + &age.map_or_else(String::new, |age| format!(" ({})", rounded(age)))
}

/// A time to the second, in a zone.
#[must_use]
pub fn moment(time: Option<DateTime<Utc>>, zone: &Zone) -> String {
    time.map_or_else(|| "an unknown time".to_owned(), |time| zone.say(time, "%Y-%m-%d %H:%M:%S"))
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

/// A text as it is shown, in at most so many characters besides those in which any is wrapped. A longer one has an ellipsis in
/// its middle.
pub fn shorten(text: &str, max: usize, show: impl Fn(&str) -> String) -> String {
    let max = max + show("").chars().count();
    let fits = |shown: &str| shown.chars().count() <= max;
    let whole = show(text);
    if fits(&whole) {
        return whole;
    }
    let chars: Vec<_> = text.chars().collect();
    let short = |kept: &usize| {
        let head = chars.iter().take(kept.div_ceil(2));
        let tail = &chars[chars.len() - kept / 2..];
        show(&head.chain(['…'].iter()).chain(tail).collect::<String>())
    };
    let kept: Vec<_> = (1..chars.len().min(max)).collect();
    short(&kept.partition_point(|kept| fits(&short(kept))))
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

/// A sort key that puts `web-2` before `web-10`: see [`natural`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Natural(String);

impl Natural {
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// What it is the key of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        natural(&self.0, &other.0)
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The natural order of two ids: texts and numbers in turn, numbers by their value.
#[must_use]
pub fn natural(one: &str, other: &str) -> Ordering {
    // What both begin with makes no difference, except for the digits of a number that has begun.
    let pairs = one.bytes().zip(other.bytes());
    let common = pairs.take_while(|(one, other)| one == other).count();
    let begun = one.as_bytes()[..common].iter().rev().take_while(|byte| byte.is_ascii_digit());
    let start = one.floor_char_boundary(common - begun.count());
    parts(&one[start..]).cmp(parts(&other[start..])).then_with(|| one.cmp(other))
}

/// Each other character with the number before it: whether there is none, its digits without zeros in front and how many, and
/// the character.
fn parts(id: &str) -> impl Iterator<Item = (bool, usize, &str, &str)> {
    id.split_inclusive(|char: char| !char.is_ascii_digit()).map(|part| {
        let text = part.trim_start_matches(|char: char| char.is_ascii_digit());
        let digits = &part[..part.len() - text.len()];
        let number = digits.trim_start_matches('0');
        (digits.is_empty(), number.len(), number, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::metric;

    #[test]
    fn a_number_never_crosses_100_or_its_limit_by_rounding() {
        for (value, limit, short, long) in [
            (0.0, None, "0", "0 %"),
            (93.14, Some(90.0), "93", "93.1 %"),
            (99.4, None, "99", "99.4 %"),
            (99.6, None, "99.6", "99.6 %"),
            (99.96, None, "99.9", "99.9 %"),
            (99.999, None, "99.9", "99.9 %"),
            (100.0, None, "100", "100 %"),
            (89.4, Some(90.0), "89", "89.4 %"),
            (89.5, Some(90.0), "89.5", "89.5 %"),
            (89.96, Some(90.0), "89.9", "89.9 %"),
            (90.0, Some(90.0), "90", "90 %"),
            (90.4, Some(90.2), "90.4", "90.4 %"),
            (90.26, Some(90.25), "90.26", "90.3 %"),
            (90.251, Some(90.251), "90.251", "90.3 %"),
            (-0.04, None, "0", "0 %"),
        ] {
            assert_eq!(percent(value, limit), short, "{value} {limit:?}");
            assert_eq!(quantity(metric!("cpu_percent"), value, limit), long, "{value} {limit:?}");
        }
        let load = |value| quantity(metric!("load_1m"), value, Some(16.0));
        assert_eq!([load(15.994), load(15.996), load(16.004)], ["15.99", "15.9", "16"]);
        assert_eq!(load(9.9e125), Number::Float(9.9e125).to_string());
    }

    #[test]
    fn an_id_with_a_smaller_number_comes_first() {
        let ids = [
            "", "-", "-1", "-é1", "-é2", "-è10", "1", "02", "2", "10", "a", "a-", "a1", "a01",
            "a2b", "a02b1", "a2b10", "a10", "a100", "a100b", "a1000", "ab", "b0", "b00", "web-02",
            "web-2", "web-10", "web-é", "web-ê1",
        ];
        // Each character with the number before it.
        let key = |id: &str| {
            let parts: Vec<_> = parts(id)
                .map(|(is_none, digits, number, text)| {
                    (is_none, digits, number.to_owned(), text.to_owned())
                })
                .collect();
            (parts, id.to_owned())
        };
        for one in ids {
            for other in ids {
                let expected = key(one).cmp(&key(other));
                assert_eq!(natural(one, other), expected, "{one:?} {other:?}");
            }
        }
        let mut sorted = ["web-10", "web-2", "web-02", "db-3"];
        sorted.sort_by(|one, other| natural(one, other));
        assert_eq!(sorted, ["db-3", "web-02", "web-2", "web-10"]);
    }

    #[test]
    fn a_time_has_its_date_unless_it_is_todays() {
        let now: Option<DateTime<Utc>> = "2026-01-18T00:08:00Z".parse().ok();
        for (time, expected) in [
            ("2026-01-18T00:00:01Z", "00:00 UTC (8 min)"),
            ("2026-01-17T23:59:59Z", "2026-01-17 23:59 UTC (8 min)"),
            ("2026-01-18T00:08:01Z", "00:08 UTC (0 s)"),
        ] {
            let time = time.parse().expect("a time");
            let utc = Zone::default();
            assert_eq!(at_and_age(time, now, &utc), expected);
            let whole = format!("{}", time.format("%Y-%m-%d %H:%M UTC"));
            assert_eq!(at_and_age(time, None, &utc), whole);
        }
    }

    // C8.16: also the date is that of the zone.
    #[test]
    fn a_time_is_said_in_its_zone() {
        let now: Option<DateTime<Utc>> = "2026-07-01T22:30:00Z".parse().ok();
        for (zone, time, expected) in [
            ("Europe/Berlin", "2026-07-01T22:08:00Z", "00:08 CEST (22 min)"),
            ("Europe/Berlin", "2026-07-01T21:59:00Z", "2026-07-01 23:59 CEST (31 min)"),
            ("Europe/Berlin", "2026-01-01T22:08:00Z", "2026-01-01 23:08 CET (181 d)"),
            ("America/New_York", "2026-07-01T04:00:00Z", "00:00 EDT (19 h)"),
            ("Asia/Kathmandu", "2026-07-01T22:30:00Z", "04:15 +0545 (0 s)"),
            ("UTC", "2026-07-01T22:30:00Z", "22:30 UTC (0 s)"),
        ] {
            let zone: Zone = zone.parse().expect("a zone");
            assert_eq!(at_and_age(time.parse().expect("a time"), now, &zone), expected);
        }
    }
}
