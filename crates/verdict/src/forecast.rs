//! When a file system is full at the pace of its last days (C15.4): Theil's and Sen's slope, which a few odd days do not change.

use announcement::words::{escape, unlinked};
use chrono::{Days, NaiveDate, TimeDelta};
use std::collections::BTreeMap;
use tables::day::Day;
use tables::server::FullOn;

/// How many days are looked at.
pub const DAYS: Days = Days::new(60);

/// How far ahead it is looked, days.
const HORIZON: f64 = 366.0;

/// How far ahead a digest looks.
pub const SOON: i64 = 30;

/// A change of more points from one day to the next, or over days that are missing, is no pace: something was deleted, copied or
/// enlarged.
const JUMP: f64 = 5.0;

/// The least number of days that have a pace.
const LEAST_DAYS: usize = 7;

/// How old the last day may be.
const MAX_AGE: Days = Days::new(7);

/// The quantile of the normal distribution for 95 % between two bounds.
const Z: f64 = 1.959_964;

/// How full a file system was on average, by day.
type Means = BTreeMap<NaiveDate, f64>;

/// When each file system of a server is full, given its days, as of a date.
#[must_use]
pub fn forecast<'a>(days: impl IntoIterator<Item = &'a Day>, today: NaiveDate) -> FullOn {
    let mut means = BTreeMap::<_, Means>::new();
    for day in days {
        for (mount, extent) in &day.disks {
            means.entry(mount).or_default().insert(day.date, extent.mean);
        }
    }
    let known = means.into_iter();
    known.filter_map(|(mount, means)| Some((mount.clone(), full_on(&means, today)?))).collect()
}

/// A forecast in words, of a server if it does not stand beside: `disk /data of media is full in about 12 days at this pace`.
#[must_use]
pub fn say(mount: &str, server_id: Option<&str>, days: i64) -> String {
    let of = server_id.map_or_else(String::new, |id| format!(" of {id}"));
    let time = match days {
        ..1 => "within a day".to_owned(),
        1 => "in about a day".to_owned(),
        days => format!("in about {days} days"),
    };
    format!("disk {}{of} is full {time} at this pace", unlinked(&escape(mount)))
}

/// The day on which a file system is full, given its days, as of a date; `None` if it has no pace, or one that takes it there
/// later than in a year.
fn full_on(means: &Means, today: NaiveDate) -> Option<NaiveDate> {
    let points = since_last_jump(means);
    let (last, _) = points.last().filter(|(last, _)| today - MAX_AGE <= *last)?;
    let points: Vec<_> =
        points.iter().map(|(date, mean)| ((*date - *last).num_days() as f64, *mean)).collect();
    if points.len() < LEAST_DAYS {
        return None;
    }
    let slopes = slopes(&points);
    if slopes[lower_bound(points.len(), slopes.len())] <= 0.0 {
        return None;
    }
    let slope = median(&slopes);
    let mut levels: Vec<_> = points.iter().map(|(day, mean)| mean - slope * day).collect();
    levels.sort_by(f64::total_cmp);
    // A mean is of the middle of its day.
    let days = 0.5 + (100.0 - median(&levels)) / slope;
    // What is full since then has a problem, and no forecast.
    let full_on = (days < HORIZON).then(|| *last + TimeDelta::days(days.floor() as i64));
    full_on.filter(|date| *date >= today)
}

fn since_last_jump(means: &Means) -> Vec<(NaiveDate, f64)> {
    let points: Vec<_> = means.iter().map(|(date, mean)| (*date, *mean)).collect();
    let jump = points.windows(2).rposition(|pair| (pair[1].1 - pair[0].1).abs() > JUMP);
    points[jump.map_or(0, |before| before + 1)..].to_vec()
}

/// Between each two days, in order.
fn slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let later = |index: usize| &points[index + 1..];
    let from = |(index, (day, mean)): (usize, &(f64, f64))| {
        let (day, mean) = (*day, *mean);
        later(index).iter().map(move |(other, level)| (level - mean) / (other - day))
    };
    let mut slopes: Vec<_> = points.iter().enumerate().flat_map(from).collect();
    slopes.sort_by(f64::total_cmp);
    slopes
}

/// The place of the lower bound of the slope among all slopes in order, for so many days: Sen's, by the variance of Kendall's score
/// without ties.
fn lower_bound(days: usize, slopes: usize) -> usize {
    let count = days as f64;
    let deviation = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt();
    let place = ((slopes as f64 - Z * deviation) / 2.0).round() - 1.0;
    place.max(0.0) as usize
}

/// Of at least one value, in order.
fn median(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In how many days a file system is full, given its means of the days up to two days ago, which are known then.
    fn days(means: &[f64]) -> Option<i64> {
        let today: NaiveDate = "2026-06-15".parse().expect("a date");
        let first = today - Days::new(means.len() as u64 + 1);
        let means = means.iter().enumerate();
        let means = means.map(|(day, mean)| (first + Days::new(day as u64), *mean)).collect();
        full_on(&means, today).map(|date| (date - today).num_days())
    }

    /// Means of so many days, with noise of half a point, rounded as they are stored.
    fn series(count: usize, mean: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(48);
        let noise = |day| mean(day as f64) + random.f64() - 0.5;
        (0..count).map(noise).map(|mean| (mean * 10.0).round() / 10.0).collect()
    }

    // C15.4
    #[test]
    fn a_rising_one_is_full_when_its_line_says_so() {
        // 1 point a day, 85 two days ago: 13 days from today.
        let means = series(30, |day| 56.0 + day);
        let left = days(&means).expect("a forecast");
        assert!((12..=14).contains(&left), "{left}");
        // Over a year, slowly.
        let left = days(&series(365, |day| 40.0 + 0.1 * day)).expect("a forecast");
        assert!((225..=245).contains(&left), "{left}");
        // In years: nothing is said.
        assert_eq!(days(&series(365, |day| 10.0 + 0.05 * day)), None);
    }

    // C15.4
    #[test]
    fn what_does_not_rise_is_never_full() {
        assert_eq!(days(&series(30, |_| 70.0)), None, "flat");
        assert_eq!(days(&series(30, |day| 90.0 - day)), None, "falling");
        assert_eq!(days(&[50.0; 60]), None, "constant");
        assert_eq!(days(&[]), None);
        // A week that rises by chance.
        assert_eq!(days(&[50.1, 50.0, 50.2, 50.1, 50.0, 50.2, 50.1]), None);
    }

    // C15.4
    #[test]
    fn a_jump_is_no_pace() {
        let jump = |day: f64| if day < 15.0 { 50.0 } else { 80.0 };
        assert_eq!(days(&series(30, jump)), None, "a jump 15 days ago, flat since");
        let two = |day: f64| {
            40.0 + if day < 10.0 {
                0.0
            } else if day < 20.0 {
                20.0
            } else {
                40.0
            }
        };
        assert_eq!(days(&series(30, two)), None, "two jumps");
        // Less than a week since the last one.
        assert_eq!(days(&series(30, |day| if day < 24.0 { 50.0 } else { 56.0 + day })), None);
    }

    // C15.4: where the rule is wrong. It does not know that somebody will clean up.
    #[test]
    fn what_is_cleaned_up_regularly_is_full_before_each_time() {
        // Each tenth day, 20 points less: the last days before it look like a rise that goes on.
        let teeth = |count| days(&series(count, |day| 60.0 + 2.0 * (day % 10.0)));
        assert_eq!([41, 43, 46].map(teeth), [None; 3], "less than a week since the last time");
        assert!(
            [48, 50].into_iter().all(|count| (8..=13).contains(&teeth(count).expect("a forecast")))
        );
        // Each 28th day: it is said to be full within 30 days in the second half of the month.
        let month =
            |count| days(&series(count, |day| 60.0 + day % 28.0)).filter(|days| *days <= SOON);
        assert_eq!([58, 62].map(month), [None; 2]);
        assert!([70, 75, 80].into_iter().all(|count| month(count).is_some()));
        // Small teeth, which are no jumps, are no pace either.
        assert_eq!(days(&series(48, |day| 70.0 + 0.5 * (day % 8.0))), None);
    }

    // C15.4
    #[test]
    fn a_forecast_is_of_each_file_system_and_is_said_in_words() {
        assert_eq!(
            say("/data", Some("media"), 12),
            "disk /data of media is full in about 12 days at this pace"
        );
        assert_eq!(say("/a\n", None, 1), "disk /a\\u{a} is full in about a day at this pace");
        assert_eq!(say("/", None, 0), "disk / is full within a day at this pace");
    }

    // C15.4
    #[test]
    fn one_that_was_enlarged_is_judged_by_the_days_since() {
        // To half, ten days ago; 4 points a day since then: 100 is 6 days from today.
        let means =
            series(30, |day| if day < 20.0 { 60.0 + 2.0 * day } else { 32.0 + 4.0 * (day - 20.0) });
        let left = days(&means).expect("a forecast");
        assert!((5..=8).contains(&left), "{left}");
    }
}
