//! The cost of a key in the keys table, compared with one in the environment.

use crate::ROUNDS;
use crate::figures::percentile;
use crate::function::{Function, Setup};
use anyhow::Result;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// The number of heartbeats in a sample.
const HEARTBEATS: u32 = 100;

/// A function whose heartbeats carry one kind of key, with a sample for each round.
struct Kind {
    name: &'static str,
    /// The key of the n-th heartbeat; `None` is the environment's key.
    key: fn(u32) -> Option<String>,
    function: Function,
    /// Heartbeats so far.
    sent: u32,
    /// Calls to DynamoDB in the last sample.
    calls: usize,
    /// CPU time per heartbeat, a figure for each sample.
    cpu: Vec<Duration>,
    /// Time from event to response, a figure for each heartbeat.
    times: Vec<Duration>,
}

impl Kind {
    /// Starts a function and sends its first heartbeat, which is not measured.
    async fn start(
        setup: &Setup,
        program: &Path,
        name: &'static str,
        key: fn(u32) -> Option<String>,
    ) -> Result<Self> {
        let function = Function::start(setup, Command::new(program)).await?;
        let mut kind =
            Self { name, key, function, sent: 0, calls: 0, cpu: Vec::new(), times: Vec::new() };
        kind.send(setup).await?;
        Ok(kind)
    }

    async fn send(&mut self, setup: &Setup) -> Result<Duration> {
        let event = setup.event_with((self.key)(self.sent))?;
        self.sent += 1;
        self.function.invoke_with(event).await
    }

    async fn sample(&mut self, setup: &Setup) -> Result<()> {
        let calls = self.function.calls();
        let cpu = self.function.cpu_time()?;
        for _ in 0..HEARTBEATS {
            let time = self.send(setup).await?;
            self.times.push(time);
        }
        self.cpu.push((self.function.cpu_time()? - cpu) / HEARTBEATS);
        self.calls = self.function.calls() - calls;
        Ok(())
    }
}

/// Prints a table of the kinds of keys. The rounds are interleaved, so that load on the machine affects all kinds
/// equally. The relative CPU time is the median over the rounds.
pub async fn measure(setup: &Setup, program: &Path) -> Result<()> {
    let kinds = [
        Kind::start(setup, program, "in the environment", |_| None).await?,
        Kind::start(setup, program, "in the table, cached", |_| key(0)).await?,
        Kind::start(setup, program, "in the table, looked up", key).await?,
    ];
    println!("\n| key | calls | CPU, µs | CPU relative to the environment's, % | p50, µs |");
    compare(setup, kinds).await
}

/// Prints a table of two builds, for a key of the environment.
pub async fn compare_builds(setup: &Setup, before: &Path, after: &Path) -> Result<()> {
    let kinds = [
        Kind::start(setup, before, "before", |_| None).await?,
        Kind::start(setup, after, "after", |_| None).await?,
    ];
    println!("\n| build | calls | CPU, µs | CPU relative to before, % | p50, µs |");
    compare(setup, kinds).await
}

/// Prints a row for each kind, whose samples are interleaved. The percentage is the median of the ratios of the rounds.
async fn compare<const N: usize>(setup: &Setup, mut kinds: [Kind; N]) -> Result<()> {
    for _ in 0..ROUNDS {
        for kind in &mut kinds {
            kind.sample(setup).await?;
        }
    }
    println!("| --- | ---: | ---: | ---: | ---: |");
    let first = kinds[0].cpu.clone();
    for kind in kinds {
        let ratios = kind.cpu.iter().zip(&first);
        let mut ratios: Vec<_> =
            ratios.map(|(cpu, first)| cpu.as_secs_f64() / first.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "| {} | {:.2} | {} | {:+.1} | {} |",
            kind.name,
            kind.calls as f64 / f64::from(HEARTBEATS),
            micros(&kind.cpu),
            (ratios[ratios.len() / 2] - 1.0) * 100.0,
            micros(&kind.times),
        );
        kind.function.stop().await?;
    }
    Ok(())
}

/// A key in the table's format, a different one for each number.
fn key(number: u32) -> Option<String> {
    Some(format!("hb_{number:043}"))
}

/// The median, in microseconds.
fn micros(times: &[Duration]) -> u128 {
    percentile(times.iter().copied(), 50).map_or(0, |time| time.as_micros())
}
