//! Times of the week in which nothing is announced, as `quiet` of an item holds them: `Sun 02:00-04:00;22:00-06:30`.

use crate::Zone;
use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Windows of a week, by the clocks of a zone. A moment is quiet if one of them has what the clocks show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    windows: Vec<Window>,
    /// As it was set.
    text: String,
}

/// A time of the day, on some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// The first and the last day on which it starts, from Monday. The last may be before the first.
    days: [u32; 2],
    /// Minutes of the day. Where the end is before the start, it is on the next day.
    start: u32,
    end: u32,
}

/// What is no list of quiet times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidQuiet(&'static str);

/// The most characters of a list.
const MAX_LENGTH: usize = 200;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const DAY: u32 = 24 * 60;

/// Minutes of a week, after which everything repeats itself.
const WEEK: i64 = 7 * DAY as i64;

impl FromStr for Quiet {
    type Err = InvalidQuiet;

    fn from_str(text: &str) -> Result<Self, InvalidQuiet> {
        if text.chars().count() > MAX_LENGTH {
            return Err(InvalidQuiet("it is longer than 200 characters"));
        }
        let windows = text.split(';').map(Window::parse).collect::<Result<_, _>>()?;
        Ok(Self { windows, text: text.to_owned() })
    }
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Quiet {
    /// The windows of both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            windows: [&self.windows[..], &other.windows[..]].concat(),
            text: format!("{self};{other}"),
        }
    }

    /// Whether a moment is quiet at which clocks show this.
    #[must_use]
    pub fn has(&self, local: NaiveDateTime) -> bool {
        let day = local.weekday().num_days_from_monday();
        let minute = local.hour() * 60 + local.minute();
        self.windows.iter().any(|window| window.has(day, minute))
    }

    /// When it is no longer quiet, if it is now; the end of time if that is never.
    #[must_use]
    pub fn ends(&self, now: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
        let mut at = now;
        while self.has(zone.local(at)) {
            // Until clocks are changed, they run evenly.
            let local = zone.local(at);
            let second = TimeDelta::seconds(local.second().into())
                + TimeDelta::nanoseconds(local.nanosecond().into());
            let later = (1..=WEEK).map(|minutes| TimeDelta::minutes(minutes) - second);
            let mut ends = later.map(|later| (local + later, at + later));
            let end = ends.find(|(local, _)| !self.has(*local)).map(|(_, end)| end);
            let change = zone.next_change(at);
            match (end, change) {
                (Some(end), change) if change.is_none_or(|change| end < change) => {
                    return Some(end);
                }
                (_, Some(change)) if change - now < TimeDelta::days(400) => at = change,
                _ => return Some(DateTime::<Utc>::MAX_UTC),
            }
        }
        (at > now).then_some(at)
    }
}

impl Window {
    /// `02:00-04:00`, `Sun 02:00-04:00` or `Mon-Fri 22:00-24:00`
    fn parse(text: &str) -> Result<Self, InvalidQuiet> {
        let (days, times) = match text.rsplit_once(' ') {
            None => ([0, 6], text),
            Some((days, times)) => {
                let (first, last) = days.split_once('-').unwrap_or((days, days));
                let day = |name| DAYS.iter().zip(0..).find(|(day, _)| **day == name);
                let days = day(first).zip(day(last)).map(|((_, first), (_, last))| [first, last]);
                let invalid = InvalidQuiet("a day is Mon, Tue, Wed, Thu, Fri, Sat, Sun or Mon-Fri");
                (days.ok_or(invalid)?, times)
            }
        };
        let (start, end) = times
            .split_once('-')
            .and_then(|(start, end)| Some((minute(start)?, minute(end)?)))
            .ok_or(InvalidQuiet("it is not [DAY ]HH:MM-HH:MM, several joined by ;"))?;
        if start == DAY {
            return Err(InvalidQuiet("24:00 is an end only"));
        }
        if start == end {
            return Err(InvalidQuiet("it ends when it starts"));
        }
        Ok(Self { days, start, end })
    }

    const fn has(self, day: u32, minute: u32) -> bool {
        if self.start < self.end {
            return self.starts_on(day) && self.start <= minute && minute < self.end;
        }
        let is_after_start = self.starts_on(day) && self.start <= minute;
        is_after_start || self.starts_on((day + 6) % 7) && minute < self.end
    }

    const fn starts_on(self, day: u32) -> bool {
        let [first, last] = self.days;
        if first <= last { first <= day && day <= last } else { first <= day || day <= last }
    }
}

/// `02:00`, up to `24:00`
fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| is_plain)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let at = hour * 60 + minute;
    (minute < 60 && at <= DAY).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    // C8.7
    #[test]
    fn a_list_names_windows_of_a_week() {
        for text in [
            "02:00-04:00",
            "Sun 02:00-04:00",
            "Mon-Fri 22:00-06:00;Sat 00:00-24:00",
            "Sat-Mon 23:59-00:00",
            "Sun-Sun 00:00-24:00",
        ] {
            assert_eq!(text.parse::<Quiet>().expect("quiet times").to_string(), text);
        }
        for text in [
            "",
            "none",
            "02:00-02:00",
            "24:00-06:00",
            "00:00-24:01",
            "2:00-04:00",
            "02:00-4:00",
            "02:60-04:00",
            "02:00",
            "02:00-04:00;",
            "02:00-04:00; 05:00-06:00",
            "sun 02:00-04:00",
            "Sunday 02:00-04:00",
            "Sun  02:00-04:00",
            "Sun,Mon 02:00-04:00",
            "Mon-Tue-Wed 02:00-04:00",
            "+1:00-04:00",
        ] {
            assert!(text.parse::<Quiet>().is_err(), "{text}");
        }
        let long = "Sun 02:00-04:00;".repeat(12) + "02:00-04:00";
        assert_eq!((long.len(), long.parse::<Quiet>().is_err()), (203, true));
        let fits = "Sun 02:00-04:00;".repeat(11) + "02:00-04:00;02:00-04:00";
        assert_eq!((fits.len(), fits.parse::<Quiet>().is_ok()), (199, true));
    }

    /// Whether a moment is quiet, from the words of the contract: each window of this and the day before is a list of minutes.
    fn is_quiet(text: &str, local: NaiveDateTime) -> bool {
        let minute_of = |text: &str| {
            let hours: i64 = text[..2].parse().expect("hours");
            let minutes: i64 = text[3..].parse().expect("minutes");
            hours * 60 + minutes
        };
        text.split(';').any(|window| {
            let (days, times) = window.split_once(' ').unwrap_or(("Mon-Sun", window));
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let mut names = DAYS.iter().cycle().skip_while(|name| **name != first);
            let mut days = Vec::new();
            for name in names.by_ref() {
                days.push(*name);
                if *name == last {
                    break;
                }
            }
            let (start, end) = times.split_once('-').expect("two times");
            let (start, end) = (minute_of(start), minute_of(end));
            let end = if end < start { end + 24 * 60 } else { end };
            (0..=1).any(|days_ago| {
                let date = local.date() - TimeDelta::days(days_ago);
                let midnight = date.and_hms_opt(0, 0, 0).expect("midnight");
                let name = date.format("%a").to_string();
                let minute = (local - midnight).num_minutes();
                days.contains(&&*name) && (start..end).contains(&minute)
            })
        })
    }

    // C8.7 C8.16
    #[test]
    fn whether_a_moment_is_quiet_and_until_when_is_by_what_clocks_show() {
        let seed = std::env::var("SEED")
            .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
        println!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let changes = [
            ("Europe/Berlin", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-10-25T01:00:00Z"),
            ("America/New_York", "2026-03-08T07:00:00Z"),
            ("America/New_York", "2026-11-01T06:00:00Z"),
            ("UTC", "2026-06-01T00:00:00Z"),
        ];
        for _ in 0..400 {
            let (zone, change) = changes[random.usize(..changes.len())];
            let zone: Zone = zone.parse().expect("a zone");
            let change: DateTime<Utc> = change.parse().expect("a time");
            let mut window = || {
                let days = ["", "Sun ", "Sat ", "Mon-Fri ", "Sat-Mon ", "Sun-Sun "];
                let mut time = |hours: u32| {
                    let minutes = [0, 30, 1, 59][random.usize(..4)];
                    format!("{:02}:{minutes:02}", random.u32(..hours))
                };
                let (start, end) = (time(4), time(24));
                let day = days[random.usize(..days.len())];
                let end = if end == start { "24:00".to_owned() } else { end };
                format!("{day}{start}-{end}")
            };
            let text: Vec<_> = (0..2).map(|_| window()).collect();
            let text = text[..1 + random.usize(..2)].join(";");
            let quiet: Quiet = text.parse().expect("quiet times");
            let now = change
                + TimeDelta::minutes(random.i64(-1500..1500))
                + TimeDelta::milliseconds(random.i64(0..60_000));
            let is_now = |at| is_quiet(&text, zone.local(at));
            assert_eq!(quiet.has(zone.local(now)), is_now(now), "{text} at {now} in {zone}");
            let next_minute = |minutes| {
                let seconds = (now.timestamp() / 60 + minutes) * 60;
                DateTime::from_timestamp(seconds, 0).expect("a time")
            };
            let end = (1..=WEEK + 60).map(next_minute).find(|at| !is_now(*at));
            let expected = is_now(now).then(|| end.unwrap_or(DateTime::<Utc>::MAX_UTC));
            assert_eq!(quiet.ends(now, &zone), expected, "{text} at {now} in {zone}");
        }
        let always: Quiet = "Sun-Sat 00:00-24:00".parse().expect("quiet times");
        let berlin = "Europe/Berlin".parse().expect("a zone");
        assert_eq!(always.ends(Utc::now(), &berlin), Some(DateTime::<Utc>::MAX_UTC));
    }
}
