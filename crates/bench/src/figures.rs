//! The measurements of a program, and the table that shows them.

use crate::callgrind::Instructions;
use crate::cpu_share::CpuShare;
use crate::function::{Function, Setup};
use anyhow::Result;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// The number of heartbeats that a function receives after its first.
const WARM: u32 = 100;

/// One program and its figures, with a sample for each round.
pub struct Figures {
    /// Its name in the table.
    pub name: &'static str,
    program: PathBuf,
    /// Cold starts with a whole core.
    pub cold: Vec<Cold>,
    /// Cold starts with 128 MB's share of a core from the first heartbeat on.
    pub capped: Vec<Cold>,
    warm: Vec<Duration>,
    cpu: Vec<Duration>,
    calls: usize,
    peak_memory: u64,
    binary: u64,
    /// Instruction counts; `None` without valgrind.
    pub instructions: Option<Instructions>,
}

/// One cold start.
pub struct Cold {
    /// Spawn → the first `next`.
    pub init: Duration,
    /// The first event → its response.
    pub first: Duration,
    handshakes_in_init: usize,
    handshakes_in_first: usize,
}

impl Figures {
    /// A program without figures.
    pub fn new(name: &'static str, program: PathBuf) -> Result<Self> {
        Ok(Self {
            name,
            binary: std::fs::metadata(&program)?.len(),
            program,
            cold: Vec::new(),
            capped: Vec::new(),
            warm: Vec::new(),
            cpu: Vec::new(),
            calls: 0,
            peak_memory: 0,
            instructions: None,
        })
    }

    /// Takes one sample of all timings, and of memory.
    pub async fn sample(&mut self, setup: &Setup, share: Option<&CpuShare>) -> Result<()> {
        let mut function = Function::start(setup, Command::new(&self.program)).await?;
        self.cold.push(Cold::sample(&mut function).await?);
        let before = function.cpu_time()?;
        let calls_before = function.calls();
        for _ in 0..WARM {
            self.warm.push(function.invoke().await?);
        }
        self.cpu.push((function.cpu_time()? - before) / WARM);
        self.calls = function.calls() - calls_before;
        self.peak_memory = self.peak_memory.max(function.peak_memory()?);
        function.stop().await?;

        let Some(share) = share else { return Ok(()) };
        let mut function = Function::start(setup, Command::new(&self.program)).await?;
        share.admit(function.id()?)?;
        self.capped.push(Cold::sample(&mut function).await?);
        function.stop().await
    }

    /// Counts instructions.
    pub async fn count(&mut self, setup: &Setup) -> Result<()> {
        self.instructions = Instructions::count(setup, &self.program).await?;
        Ok(())
    }
}

impl Cold {
    async fn sample(function: &mut Function) -> Result<Self> {
        let handshakes_in_init = function.handshakes();
        let first = function.invoke().await?;
        Ok(Self {
            init: function.init,
            first,
            handshakes_in_init,
            handshakes_in_first: function.handshakes() - handshakes_in_init,
        })
    }

    /// Init and the first heartbeat.
    pub fn total(&self) -> Duration {
        self.init + self.first
    }
}

/// The median of a field of the samples.
pub fn median(samples: &[Cold], field: impl Fn(&Cold) -> Duration) -> Option<Duration> {
    percentile(samples.iter().map(field), 50)
}

/// A percentile of the samples.
pub fn percentile(samples: impl Iterator<Item = Duration>, percent: usize) -> Option<Duration> {
    let mut samples: Vec<_> = samples.collect();
    samples.sort();
    samples.get(samples.len() * percent / 100).copied()
}

/// All figures, side by side, in Markdown.
pub struct Table<'a>(pub &'a [Figures]);

impl Table<'_> {
    fn row<T: Display>(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        figure: impl Fn(&Figures) -> Option<T>,
    ) -> fmt::Result {
        write!(f, "| {name} |")?;
        for figures in self.0 {
            match figure(figures) {
                Some(figure) => write!(f, " {figure} |")?,
                None => write!(f, " – |")?,
            }
        }
        writeln!(f)
    }
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row(f, "", |it| Some(it.name))?;
        self.row(f, "---", |_| Some("---:"))?;
        for (share, samples) in [
            ("a whole core", (|it| &it.cold) as fn(&Figures) -> &Vec<Cold>),
            ("128 MB's share", |it| &it.capped),
        ] {
            let time = |field: fn(&Cold) -> Duration| {
                move |it: &Figures| median(samples(it), field).map(millis)
            };
            self.row(f, &format!("init, {share}, ms"), time(|cold| cold.init))?;
            self.row(f, &format!("first heartbeat, {share}, ms"), time(|cold| cold.first))?;
            self.row(f, &format!("init + first, {share}, ms"), time(Cold::total))?;
        }
        let most = |field: fn(&Cold) -> usize| {
            move |it: &Figures| it.cold.iter().chain(&it.capped).map(field).max()
        };
        self.row(f, "TLS handshakes in init", most(|cold| cold.handshakes_in_init))?;
        self.row(
            f,
            "TLS handshakes in the first heartbeat",
            most(|cold| cold.handshakes_in_first),
        )?;
        for percent in [50, 90, 99] {
            self.row(f, &format!("warm heartbeat, p{percent}, µs"), |it| {
                percentile(it.warm.iter().copied(), percent).map(|time| time.as_micros())
            })?;
        }
        self.row(f, "CPU for a warm heartbeat, µs", |it| {
            percentile(it.cpu.iter().copied(), 50).map(|time| time.as_micros())
        })?;
        self.row(f, "calls to DynamoDB per heartbeat", |it| {
            Some(it.calls as f64 / f64::from(WARM))
        })?;
        self.row(f, "peak memory, MB", |it| Some(millions(it.peak_memory)))?;
        self.row(f, "binary, MB", |it| Some(millions(it.binary)))?;
        self.row(f, "instructions, start → first response, million", |it| {
            it.instructions.map(|count| millions(count.first))
        })?;
        self.row(f, "instructions for a warm heartbeat, million", |it| {
            it.instructions.map(|count| millions(count.warm))
        })
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

fn millions(count: u64) -> String {
    format!("{:.3}", count as f64 / 1e6)
}
