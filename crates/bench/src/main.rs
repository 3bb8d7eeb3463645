//! Measures the release binary against a baseline (in `baselines/`), then bodies, the kinds of keys, the
//! watchdog's sweep, and the page.
//!
//! `bench` prints the tables and draws the first heartbeat; `bench bodies PROGRAM`, `bench keys PROGRAM`, `bench sweep PROGRAM`
//! and `bench page PROGRAM` print only one table, `bench agent` that of the agents, and `bench compare BEFORE AFTER` one of two builds. `bench count PROGRAM…` counts the instructions of other builds. `bench check PROGRAM` compares a
//! build's counts with the recorded ones, and `bench record PROGRAM` records them.

// The tables are what it is for: a bench that cannot print them has failed.
#![allow(clippy::print_stdout)]

mod agent;
mod bodies;
mod budget;
mod callgrind;
mod cpu_share;
mod dynamodb;
mod figures;
mod fleet;
mod function;
mod keys;
mod page;
mod plot;
mod sweep;

use anyhow::{Result, bail};
use callgrind::Instructions;
use cpu_share::CpuShare;
use figures::{Figures, Table};
use function::Setup;
use std::fs;
use std::path::{Path, PathBuf};

/// The number of rounds. Each takes one sample of every program.
const ROUNDS: usize = 20;

#[tokio::main]
async fn main() -> Result<()> {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let setup = Setup::new(&root)?;
    let function = root.join("target/release/heartbeat");
    let budgets = root.join("crates/bench/budgets.json");
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] => measure(&setup, &root, function).await,
        ["count", ref programs @ ..] => count(&setup, programs).await,
        ["bodies", program] => bodies::measure(&setup, &root, Path::new(program)).await,
        ["keys", program] => keys::measure(&setup, Path::new(program)).await,
        ["agent"] => agent::measure(&root).await,
        ["compare", before, after] => {
            keys::compare_builds(&setup, Path::new(before), Path::new(after)).await
        }
        ["page", program] => {
            let share = cpu_share(128);
            page::measure(&setup, Path::new(program), share.as_ref()).await
        }
        ["sweep", program] => {
            let share = cpu_share(512);
            sweep::measure(&setup, Path::new(program), share.as_ref()).await
        }
        ["check", program] => budget::check(&setup, Path::new(program), &budgets).await,
        ["record", program] => budget::record(&setup, Path::new(program), &budgets).await,
        _ => bail!(
            "bench [count PROGRAM… | bodies PROGRAM | keys PROGRAM | compare BEFORE AFTER | agent | sweep PROGRAM | page PROGRAM | check PROGRAM | record PROGRAM]"
        ),
    }
}

async fn measure(setup: &Setup, root: &Path, function: PathBuf) -> Result<()> {
    let baselines = root.join("crates/bench/baselines/target/release");
    let mut all = [
        Figures::new("heartbeat", function.clone())?,
        Figures::new("SDK defaults", baselines.join("sdk-defaults"))?,
    ];
    let share = cpu_share(128);
    for _ in 0..ROUNDS {
        for figures in &mut all {
            figures.sample(setup, share.as_ref()).await?;
        }
    }
    for figures in &mut all {
        figures.count(setup).await?;
    }
    println!("{}\n\n{}", machine(), Table(&all));
    bodies::measure(setup, root, &function).await?;
    keys::measure(setup, &function).await?;
    let watchdog = root.join("target/release/watchdog");
    sweep::measure(setup, &watchdog, cpu_share(512).as_ref()).await?;
    page::measure(setup, &root.join("target/release/page"), share.as_ref()).await?;
    agent::measure(root).await?;
    plot::draw(&all, &root.join("crates/bench/first-heartbeat.svg"))
}

fn cpu_share(memory: u32) -> Option<CpuShare> {
    CpuShare::new(memory)
        .inspect_err(|reason| {
            println!(
                "skipped: the CPU cannot be limited to {memory} MB's share of a core: {reason:#}\n"
            )
        })
        .ok()
}

async fn count(setup: &Setup, programs: &[&str]) -> Result<()> {
    for program in programs {
        match Instructions::count(setup, Path::new(program)).await? {
            Some(Instructions { first, warm }) => println!("{first:>12} {warm:>10} {program}"),
            None => bail!("valgrind is not installed"),
        }
    }
    Ok(())
}

/// The date and the machine, according to Linux.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<_> =
        cpus.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": ")).collect();
    let model = models.first().map_or("unknown CPU", |model| model.1);
    let today = chrono::Utc::now().date_naive();
    format!("{today}, {} × {model}, {ROUNDS} rounds", models.len())
}
