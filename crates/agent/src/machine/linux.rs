//! Linux: what `/proc`, `/sys` and the kernel say.

use super::disk::Disks;
use super::{Problem, Readings};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How long the processors are watched if there is no earlier reading to compare with.
const SAMPLE: Duration = Duration::from_millis(200);

pub struct System {
    disks: Disks,
    /// Of the previous heartbeat.
    cpu: Option<CpuTime>,
}

impl System {
    pub fn new(disks: Vec<String>) -> Self {
        Self {
            disks: Disks::new(disks),
            cpu: None,
        }
    }

    pub fn read(&mut self, readings: &mut Readings) {
        readings.cpu(self.cpu_percent());
        readings.memory(memory());
        readings.load(load());
        readings.uptime(uptime());
        readings.network(network());
        match read("/proc/self/mountinfo") {
            Ok(mounts) => {
                let (usage, problems) = self.disks.fullest(&mounts);
                readings.problems.extend(problems);
                if let Some(usage) = usage {
                    readings.disk(usage);
                }
            }
            Err(reason) => readings
                .problems
                .push(Problem::new("disk", format!("{reason:#}"))),
        }
    }

    /// The average since the previous heartbeat, or else of a sample.
    fn cpu_percent(&mut self) -> Result<f64, String> {
        let mut percent = || {
            let before = match self.cpu.take() {
                Some(before) => before,
                None => {
                    let before = CpuTime::read()?;
                    thread::sleep(SAMPLE);
                    before
                }
            };
            let now = CpuTime::read()?;
            let percent = now.percent_since(before);
            self.cpu = Some(now);
            percent.context("/proc/stat has not changed")
        };
        percent().map_err(|reason| format!("{reason:#}"))
    }
}

/// The time that all processors together have spent since the start, in ticks.
#[derive(Debug, Clone, Copy)]
struct CpuTime {
    busy: u64,
    total: u64,
}

impl CpuTime {
    fn read() -> anyhow::Result<Self> {
        Self::parse(&read("/proc/stat")?).context("/proc/stat cannot be understood")
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        let ticks = ticks.ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user and nice.
        let total: u64 = ticks.iter().take(8).sum();
        let idle = ticks.get(3)? + ticks.get(4).unwrap_or(&0);
        (total > 0).then_some(Self {
            busy: total.saturating_sub(idle),
            total,
        })
    }

    fn percent_since(self, before: Self) -> Option<f64> {
        let total = self
            .total
            .checked_sub(before.total)
            .filter(|total| *total > 0)?;
        let busy = self.busy.saturating_sub(before.busy);
        Some(busy as f64 / total as f64 * 100.0)
    }
}

fn read(path: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    ensure!(!text.is_empty(), "{path} is empty");
    Ok(text)
}

fn one_line<T>(read: anyhow::Result<T>) -> Result<T, String> {
    read.map_err(|reason| format!("{reason:#}"))
}

/// Total and used memory, bytes. As for `free`, what the kernel would give back at once is not used.
fn memory() -> Result<(u64, u64), String> {
    let parse = || {
        let text = read("/proc/meminfo")?;
        let bytes = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib: u64 = line?.trim().strip_suffix(" kB")?.parse().ok()?;
            kib.checked_mul(1024)
        };
        let total = bytes("MemTotal").filter(|total| *total > 0);
        let both = total.zip(bytes("MemAvailable"));
        let (total, available) = both.context("/proc/meminfo lacks MemTotal or MemAvailable")?;
        Ok((total, total.saturating_sub(available)))
    };
    one_line(parse())
}

fn load() -> Result<[f64; 3], String> {
    let parse = || {
        let text = read("/proc/loadavg")?;
        let mut words = text.split_whitespace().map(str::parse);
        let mut next = || words.next()?.ok();
        let load = (|| Some([next()?, next()?, next()?]))();
        load.context("/proc/loadavg cannot be understood")
    };
    one_line(parse())
}

fn uptime() -> Result<u64, String> {
    let parse = || {
        let text = read("/proc/uptime")?;
        let seconds = text
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<f64>().ok());
        let seconds = seconds.context("/proc/uptime cannot be understood")?;
        Ok(seconds as u64)
    };
    one_line(parse())
}

/// Received and sent bytes of the physical interfaces; of all but `lo` where none is, as in a container.
fn network() -> Result<(u64, u64), String> {
    let parse = || {
        let text = read("/proc/net/dev")?;
        let interfaces: Vec<_> = text.lines().filter_map(interface).collect();
        let is_physical = |name: &str| {
            Path::new("/sys/class/net")
                .join(name)
                .join("device")
                .exists()
        };
        let has_physical = interfaces.iter().any(|(name, ..)| is_physical(name));
        let counted = interfaces.iter().filter(|(name, ..)| {
            if has_physical {
                is_physical(name)
            } else {
                *name != "lo"
            }
        });
        let mut sums = None;
        for (_, received, sent) in counted {
            let (all_received, all_sent) = sums.unwrap_or((0_u64, 0_u64));
            sums = Some((
                all_received.wrapping_add(*received),
                all_sent.wrapping_add(*sent),
            ));
        }
        sums.context("there is no interface besides lo")
    };
    one_line(parse())
}

/// Name, received and sent bytes of a line of `/proc/net/dev`.
fn interface(line: &str) -> Option<(&str, u64, u64)> {
    let (name, counters) = line.split_once(':')?;
    let mut counters = counters.split_whitespace();
    let received = counters.next()?.parse().ok()?;
    let sent = counters.nth(7)?.parse().ok()?;
    Some((name.trim(), received, sent))
}

/// The host name, and what the endpoint calls `os_info`.
pub fn identity() -> (Option<String>, Value) {
    let kernel = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_str().ok().map(str::to_owned);
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = line?.trim().trim_matches(['"', '\'']);
        Some(value.chars().take(100).collect::<String>())
    };
    let os_info = json!({
        "distribution": value("NAME"),
        "version": value("VERSION_ID"),
        "kernel": text(kernel.release()),
        "architecture": text(kernel.machine()),
    });
    let hostname = text(kernel.nodename()).filter(|name| !name.is_empty());
    (hostname, os_info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_the_disk_is_not_work_and_guests_are_counted_once() {
        let stat = "cpu  100 10 40 700 50 5 5 90 60 0\ncpu0 1 2 3\n";
        let time = CpuTime::parse(stat).expect("ticks");
        assert_eq!((time.busy, time.total), (250, 1000));
        let later = CpuTime {
            busy: 300,
            total: 1200,
        };
        assert_eq!(later.percent_since(time), Some(25.0));
        assert_eq!(time.percent_since(time), None);
        assert!(CpuTime::parse("cpu 0 0 0 0 0 0 0 0").is_none());
        assert!(CpuTime::parse("intr 1").is_none());
    }

    #[test]
    fn counters_of_interfaces_are_read() {
        let line = "  eth0: 1234567 100 0 0 0 0 0 0 7654321 90 0 0 0 0 0 0";
        assert_eq!(interface(line), Some(("eth0", 1_234_567, 7_654_321)));
        assert_eq!(interface("Inter-|   Receive"), None);
    }
}
