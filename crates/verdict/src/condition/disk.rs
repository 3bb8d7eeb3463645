//! A file system is at its limit.

use super::{Facts, Finding, Level, Reading, level_of};
use tables::metric;
use tables::problem::{DISK_PERCENT, Key, Problem, Problems, Stage, Urgency};
use tables::{Disk, Number};

/// How many file systems a reading lists: the fullest.
const LISTED: usize = 3;

/// How far the value of a file system may be from that of `disk_percent` that describes the same one.
const SAME: f64 = 0.1 + 1e-9;

pub fn high(facts: &Facts<'_>) -> Vec<Key> {
    let disks = facts.reading.and_then(|reading| reading.disks).unwrap_or_default().iter();
    let keys = disks.flat_map(|disk| {
        Urgency::ALL.map(|urgency| (Key::Disk(disk.mount.clone(), urgency), disk.percent))
    });
    let high = keys.filter(|(key, percent)| {
        let limit = facts.limits.of_key(key, facts.own);
        limit.is_some_and(|limit| *percent >= limit.value)
    });
    high.map(|(key, _)| key).collect()
}

pub fn find(facts: &Facts<'_>, key: &Key, mount: &str, reached: Option<f64>) -> Option<Finding> {
    let reading = facts.reading?;
    let limit = facts.limits.of_key(key, facts.own);
    Some(reading.against(limit, |limit| level(&reading, mount, limit, reached)))
}

/// How full a file system is.
pub fn percent(reading: &Reading<'_>, mount: &str) -> Option<f64> {
    let mut disks = reading.disks?.iter();
    disks.find(|disk| disk.mount == mount).map(|disk| disk.percent)
}

fn level(reading: &Reading<'_>, mount: &str, limit: f64, reached: Option<f64>) -> Level {
    if let Some(percent) = percent(reading, mount) {
        return level_of(percent, limit, reached);
    }
    // Whatever is not among the fullest is less full than the least of them.
    let disks = reading.disks.filter(|disks| disks.len() >= LISTED);
    let least = disks.and_then(|disks| disks.iter().map(|disk| disk.percent).reduce(f64::min));
    match least.map(|least| level_of(least, limit, reached)) {
        Some(Level::Low) => Level::Low,
        _ => Level::Unknown,
    }
}

/// The file system that `disk_percent` stands for, if the reading lists it.
pub fn of_disk_percent<'a>(reading: &Reading<'a>) -> Option<&'a str> {
    let disks = reading.disks?;
    let value = reading.metrics.get(DISK_PERCENT).map(Number::as_f64);
    let distance = |disk: &Disk| value.map(|value| (disk.percent - value).abs());
    let same = disks
        .iter()
        .filter_map(|disk| Some((disk, distance(disk)?)))
        .filter(|(_, distance)| *distance <= SAME);
    let closest = same.min_by(|one, other| one.1.total_cmp(&other.1));
    let root = || disks.iter().find(|disk| disk.mount == "/");
    closest.map(|(disk, _)| disk).or_else(root).map(|disk| disk.mount.as_str())
}

/// The entries, with that of `disk_percent` under the name of its file system, unless that has one that has been announced, or
/// may have been.
pub fn hand_over(reading: &Reading<'_>, known: &Problems) -> Vec<(Key, Problem)> {
    let mut entries = known.entries.clone();
    let Some(mount) = of_disk_percent(reading) else {
        return entries;
    };
    for urgency in Urgency::ALL {
        let whole = Key::Metric(metric!("disk_percent"), urgency);
        let whole = entries.iter().position(|(key, _)| *key == whole);
        let Some((_, problem)) = whole.map(|whole| entries.remove(whole)) else {
            continue;
        };
        let target = Key::Disk(mount.to_owned(), urgency);
        match entries.iter_mut().find(|(key, _)| *key == target) {
            None => entries.push((target, problem)),
            Some((_, entry)) if entry.stage == Stage::NotLasted => *entry = problem,
            Some(_) => {}
        }
    }
    entries
}
