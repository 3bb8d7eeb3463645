//! The use of all processors together.

use super::{lines, read};
use anyhow::Context;
use std::thread;
use std::time::{Duration, Instant};

/// How long the processors are watched if there is no earlier reading to compare with.
const SAMPLE: Duration = Duration::from_millis(200);

/// The most that counters may be ahead of the time that has passed, besides as much again.
const SLACK: Duration = Duration::from_secs(10);

/// The processors, as they were at the previous heartbeat.
#[derive(Default)]
pub struct Cpu {
    before: Option<(Instant, Times)>,
}

impl Cpu {
    /// The average since the previous heartbeat, or else of a sample.
    pub fn percent(&mut self) -> anyhow::Result<f64> {
        let (since, before) = match self.before.take() {
            Some(before) => before,
            None => {
                let before = (Instant::now(), Times::read()?);
                thread::sleep(SAMPLE);
                before
            }
        };
        let (now, times) = (Instant::now(), Times::read()?);
        let percent = times.percent_since(&before, now - since);
        self.before = Some((now, times));
        percent
    }
}

/// What the processors have done since the start, in ticks: user, nice, system, idle, iowait, irq, softirq, steal. The time
/// of guests is part of user and nice.
#[derive(Debug, Clone, Copy)]
struct Times {
    ticks: [u64; 8],
    processors: usize,
}

const IDLE: usize = 3;
const IOWAIT: usize = 4;

impl Times {
    fn read() -> anyhow::Result<Self> {
        Self::parse(&read("/proc/stat")?).context("/proc/stat cannot be understood")
    }

    fn parse(stat: &[u8]) -> Option<Self> {
        let line = lines(stat).find_map(|line| line.strip_prefix("cpu "))?;
        let words: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        let words = words.ok().filter(|words| words.len() > IDLE)?;
        let mut ticks = [0; 8];
        for (ticks, word) in ticks.iter_mut().zip(words) {
            *ticks = word;
        }
        let processors = lines(stat).filter(|line| line.starts_with("cpu")).count() - 1;
        ticks
            .iter()
            .any(|ticks| *ticks > 0)
            .then_some(Self { ticks, processors: processors.max(1) })
    }

    /// The share of the time that was not idle. Where a machine is moved to another host, its counters may jump: what
    /// goes back, or is far ahead of the time that has passed, is no reading.
    fn percent_since(&self, before: &Self, elapsed: Duration) -> anyhow::Result<f64> {
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
        let possible = (2 * elapsed + SLACK).as_secs_f64() * per_second * self.processors as f64;
        anyhow::ensure!(total > 0, "/proc/stat has not changed");
        anyhow::ensure!(total as f64 <= possible, "a counter of /proc/stat jumped ahead");
        let idle = u128::from(spent[IDLE]) + u128::from(spent[IOWAIT]);
        Ok((total - idle) as f64 / total as f64 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &[u8] = b"cpu  100 10 40 700 50 5 5 90 60 0\ncpu0 1 2 3\n";
    const SECOND: Duration = Duration::from_secs(1);

    fn times(stat: &[u8]) -> Times {
        Times::parse(stat).expect("ticks")
    }

    fn percent(later: &[u8]) -> Result<f64, String> {
        let percent = times(later).percent_since(&times(STAT), SECOND);
        percent.map_err(|reason| reason.to_string())
    }

    #[test]
    fn waiting_for_the_disk_is_not_work_and_guests_are_counted_once() {
        let later = b"cpu  130 20 50 800 100 5 5 90 70 0\ncpu0 1 2 3\n";
        assert_eq!(percent(later), Ok(25.0));
        assert!(Times::parse(b"cpu 0 0 0 0 0 0 0 0").is_none());
        assert!(Times::parse(b"cpu 1 2 3").is_none());
        assert!(Times::parse(b"intr 1").is_none());
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
        let stuck = times(b"cpu  100 10 40 700 50 5 5 18446744073709551000 0 0\ncpu0 1\n");
        let later = times(b"cpu  150 10 40 750 40 5 5 18446744073709551000 0 0\ncpu0 1\n");
        let percent = later.percent_since(&stuck, SECOND).ok();
        assert_eq!(percent, Some(50.0), "iowait may go back");
    }
}
