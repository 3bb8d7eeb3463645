//! The load average, and the time since the start of the machine.

use super::{lines, read};
use anyhow::Context;

/// Of one, five and fifteen minutes.
pub fn average() -> anyhow::Result<[f64; 3]> {
    let content = read("/proc/loadavg")?;
    let mut words = words(&content);
    let load = (|| Some([words.next()??, words.next()??, words.next()??]))();
    load.context("/proc/loadavg cannot be understood")
}

/// Seconds.
pub fn uptime() -> anyhow::Result<u64> {
    let content = read("/proc/uptime")?;
    let seconds = words(&content).next().flatten();
    let seconds = seconds.context("/proc/uptime cannot be understood")?;
    Ok(seconds as u64)
}

/// The words of the first line, as numbers.
fn words(content: &[u8]) -> impl Iterator<Item = Option<f64>> {
    let line = lines(content).next().unwrap_or_default();
    line.split_whitespace().map(|word| word.parse().ok())
}
