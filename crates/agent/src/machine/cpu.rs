//! The use of all processors together.

use super::{lines, read};
use anyhow::Context;
use std::time::{Duration, Instant};

/// How long the processors are watched if there is no earlier reading to compare with.
pub const SAMPLE: Duration = Duration::from_millis(200);

/// The share of the time that counters have to account for, besides a tick for each processor.
const COUNTED: f64 = 0.75;

/// The most that counters may be ahead of the time that has passed, besides as much again.
const SLACK: Duration = Duration::from_secs(10);

/// What the processors have done since the start, in ticks: user, nice, system, idle, iowait, irq, softirq, steal. The time
/// of guests is part of user and nice.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    ticks: [u64; 8],
    processors: usize,
    /// Before and after they were read.
    read: (Instant, Instant),
}

const IDLE: usize = 3;
const IOWAIT: usize = 4;

impl Times {
    pub fn read() -> anyhow::Result<Self> {
        let before = Instant::now();
        let stat = read("/proc/stat")?;
        let read = (before, Instant::now());
        Self::parse(&stat, read).context("/proc/stat cannot be understood")
    }

    fn parse(stat: &[u8], read: (Instant, Instant)) -> Option<Self> {
        let line = lines(stat).find_map(|line| line.strip_prefix("cpu "))?;
        let words: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        let words = words.ok().filter(|words| words.len() > IDLE)?;
        let mut ticks = [0; 8];
        for (ticks, word) in ticks.iter_mut().zip(words) {
            *ticks = word;
        }
        let processors = lines(stat).filter(|line| line.starts_with("cpu")).count() - 1;
        ticks.iter().any(|ticks| *ticks > 0).then_some(Self {
            ticks,
            processors: processors.max(1),
            read,
        })
    }

    /// The share of the time that was not idle. Counters that do not add up to the time that has passed are no reading: where
    /// a machine is moved to another host, they may jump, and in some containers, idle stands still.
    pub fn percent_since(&self, before: &Self) -> anyhow::Result<f64> {
        let mut spent = [0; 8];
        for (index, spent) in spent.iter_mut().enumerate() {
            let (now, then) = (self.ticks[index], before.ticks[index]);
            // Those two may go back by a few ticks.
            let is_idle = matches!(index, IDLE | IOWAIT);
            let difference = now.checked_sub(then).or(is_idle.then_some(0));
            *spent = difference.context("a counter of /proc/stat went back")?;
        }
        let total: u128 = spent.iter().map(|ticks| u128::from(*ticks)).sum();
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let longest = self.read.1.saturating_duration_since(before.read.0);
        let possible = (2 * longest + SLACK).as_secs_f64() * per_second * self.processors as f64;
        anyhow::ensure!(total > 0, "/proc/stat has not changed");
        anyhow::ensure!(total as f64 <= possible, "a counter of /proc/stat jumped ahead");
        let shortest = self.read.0.saturating_duration_since(before.read.1);
        let processors = self.processors.min(before.processors) as f64;
        let expected = shortest.as_secs_f64() * per_second * processors * COUNTED;
        anyhow::ensure!(
            total as f64 >= expected - processors,
            "the counters of /proc/stat do not add up to the time that has passed"
        );
        let idle = u128::from(spent[IDLE]) + u128::from(spent[IOWAIT]);
        Ok((total - idle) as f64 / total as f64 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &[u8] = b"cpu  100 10 40 700 50 5 5 90 60 0\ncpu0 1 2 3\n";

    /// The counters, and after a second these.
    fn percent_of(before: &[u8], later: &[u8]) -> Result<f64, String> {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let before = Times::parse(before, (now, now)).expect("ticks");
        let later = Times::parse(later, (now + second, now + second)).expect("ticks");
        later.percent_since(&before).map_err(|reason| reason.to_string())
    }

    fn percent(later: &[u8]) -> Result<f64, String> {
        percent_of(STAT, later)
    }

    #[test]
    fn waiting_for_the_disk_is_not_work_and_guests_are_counted_once() {
        let later = b"cpu  130 20 50 800 100 5 5 90 70 0\ncpu0 1 2 3\n";
        assert_eq!(percent(later), Ok(25.0));
        let now = (Instant::now(), Instant::now());
        for stat in [&b"cpu 0 0 0 0 0 0 0 0"[..], b"cpu 1 2 3", b"intr 1"] {
            assert!(Times::parse(stat, now).is_none());
        }
    }

    #[test]
    fn a_counter_that_jumps_is_no_reading() {
        for (later, reason) in [
            (STAT, "/proc/stat has not changed"),
            (
                b"cpu  130 20 50 800 100 5 5 18446744073709551000 0 0\ncpu0 1\n",
                "a counter of /proc/stat jumped ahead",
            ),
            (b"cpu  130 20 50 800 100 5 5 89 0 0\ncpu0 1\n", "a counter of /proc/stat went back"),
        ] {
            assert_eq!(percent(later), Err(reason.to_owned()));
        }
        // Then it goes on from there.
        let stuck = b"cpu  100 10 40 700 50 5 5 18446744073709551000 0 0\ncpu0 1\n";
        let later = b"cpu  150 10 40 750 40 5 5 18446744073709551000 0 0\ncpu0 1\n";
        assert_eq!(percent_of(stuck, later), Ok(50.0), "iowait may go back");
    }

    // As a container sees it whose idle counter stands still.
    #[test]
    fn counters_that_do_not_add_up_to_the_time_are_no_reading() {
        let before = b"cpu  100 0 40 700 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n";
        let reason = "the counters of /proc/stat do not add up to the time that has passed";
        let later = b"cpu  120 0 50 700 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n";
        assert_eq!(percent_of(before, later), Err(reason.to_owned()));
        let later = b"cpu  220 0 50 760 0 0 0 0 0 0\ncpu0 1\ncpu1 1\n";
        assert_eq!(percent_of(before, later).map(f64::round), Ok(68.0), "190 of 200 ticks");
    }
}
