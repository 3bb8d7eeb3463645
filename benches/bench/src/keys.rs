//! What a key in the keys table costs, beside one in the environment.

use crate::ROUNDS;
use crate::figures::percentile;
use crate::function::{Function, Stage};
use anyhow::Result;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// Heartbeats of one sample.
const HEARTBEATS: u32 = 100;

/// A function whose heartbeats carry one sort of key, and a sample of them for each round.
struct Sort {
    name: &'static str,
    /// The key of a heartbeat, by its number; the environment's without one.
    key: fn(u32) -> Option<String>,
    function: Function,
    /// Heartbeats so far.
    sent: u32,
    /// Calls to DynamoDB for the last sample.
    calls: usize,
    /// CPU for a heartbeat, a figure for each sample.
    cpu: Vec<Duration>,
    /// From an event to its answer, a figure for each heartbeat.
    times: Vec<Duration>,
}

impl Sort {
    /// Starts a function and sends its first heartbeat, which is not measured.
    async fn start(
        stage: &Stage,
        program: &Path,
        name: &'static str,
        key: fn(u32) -> Option<String>,
    ) -> Result<Self> {
        let function = Function::start(stage, Command::new(program)).await?;
        let mut sort = Self {
            name,
            key,
            function,
            sent: 0,
            calls: 0,
            cpu: Vec::new(),
            times: Vec::new(),
        };
        sort.send(stage).await?;
        Ok(sort)
    }

    async fn send(&mut self, stage: &Stage) -> Result<Duration> {
        let event = stage.event_with((self.key)(self.sent))?;
        self.sent += 1;
        self.function.invoke_with(event).await
    }

    async fn sample(&mut self, stage: &Stage) -> Result<()> {
        let calls = self.function.calls();
        let cpu = self.function.cpu_time()?;
        for _ in 0..HEARTBEATS {
            let time = self.send(stage).await?;
            self.times.push(time);
        }
        self.cpu
            .push((self.function.cpu_time()? - cpu) / HEARTBEATS);
        self.calls = self.function.calls() - calls;
        Ok(())
    }
}

/// Prints a table of the sorts of keys. The rounds are interleaved, so what slows the machine slows them all;
/// the CPU beside the environment's is the median of what the rounds say.
pub async fn measure(stage: &Stage, program: &Path) -> Result<()> {
    let mut sorts = [
        Sort::start(stage, program, "in the environment", |_| None).await?,
        Sort::start(stage, program, "in the table, remembered", |_| key(0)).await?,
        Sort::start(stage, program, "in the table, looked up", key).await?,
    ];
    for _ in 0..ROUNDS {
        for sort in &mut sorts {
            sort.sample(stage).await?;
        }
    }
    println!("\n| key | calls | CPU, µs | CPU beside the environment's, % | p50, µs |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let environment = sorts[0].cpu.clone();
    for sort in sorts {
        let ratios = sort.cpu.iter().zip(&environment);
        let mut ratios: Vec<_> = ratios
            .map(|(cpu, environment)| cpu.as_secs_f64() / environment.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "| {} | {:.2} | {} | {:+.1} | {} |",
            sort.name,
            sort.calls as f64 / f64::from(HEARTBEATS),
            micros(&sort.cpu),
            (ratios[ratios.len() / 2] - 1.0) * 100.0,
            micros(&sort.times),
        );
        sort.function.stop().await?;
    }
    Ok(())
}

/// A key of the table's form, a different one for each number.
fn key(number: u32) -> Option<String> {
    Some(format!("hb_{number:043}"))
}

/// The median, in microseconds.
fn micros(times: &[Duration]) -> u128 {
    percentile(times.iter().copied(), 50).map_or(0, |time| time.as_micros())
}
