//! The cost of a sweep of the watchdog, by the size of the fleet and of its items.

use crate::cpu_share::CpuShare;
use crate::figures::percentile;
use crate::fleet::{Fleet, Items, LIMITS};
use crate::function::{Function, Setup};
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::process::Command;

/// The time of the sweeps.
const NOW: &str = "2026-01-18T10:30:00Z";

/// The time limit of a sweep, as in the template.
const TIMEOUT: Duration = Duration::from_secs(50);

/// How long DynamoDB takes for a page of a scan, where it is not the processor's time that is measured.
const PAGE_TIME: Duration = Duration::from_millis(40);

/// Silent for so many seconds, servers are late, but held: a mass absence. Or they are marked as offline.
const HELD: i64 = 240;
const LOST: i64 = 900;

/// Prints a table of sweeps over fleets of several sizes, each in its own process. With a share of a processor, that of 512 MB,
/// also the time of a sweep over the largest fleet.
pub async fn measure(setup: &Setup, program: &Path, share: Option<&CpuShare>) -> Result<()> {
    println!("\n| servers | items | silent | time, ms | CPU, ms | peak memory, MB | calls |");
    println!("| ---: | --- | --- | ---: | ---: | ---: | ---: |");
    for servers in [1_000, 10_000, 100_000] {
        row(setup, program, servers, Items::Usual, None, 5).await?;
        row(setup, program, servers, Items::Usual, Some((servers / 100, LOST)), 5).await?;
    }
    for items in [Items::Usual, Items::Greatest] {
        let servers = 100_000;
        if items == Items::Greatest {
            row(setup, program, servers, items, None, 3).await?;
        }
        for silent_for in [HELD, LOST] {
            row(setup, program, servers, items, Some((servers, silent_for)), 1).await?;
        }
    }
    let Some(share) = share else { return Ok(()) };
    println!("\n| servers | items | time at 512 MB's share and 40 ms a page, s |");
    println!("| ---: | --- | ---: |");
    for (servers, items) in [
        (100_000, Items::Usual),
        (300_000, Items::Usual),
        (400_000, Items::Usual),
        (100_000, Items::Greatest),
        (150_000, Items::Greatest),
    ] {
        let mut watchdog = start(setup, program, false).await?;
        watchdog.delay_pages(PAGE_TIME);
        watchdog.fill(fleet(servers, items, None).pages(NOW.parse()?));
        share.admit(watchdog.id()?)?;
        let time = watchdog.sweep(NOW, SystemTime::now() + TIMEOUT).await;
        let time = time.map_or("–".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
        println!("| {servers} | {} | {time} |", items.as_str());
        watchdog.stop().await?;
    }
    Ok(())
}

async fn row(
    setup: &Setup,
    program: &Path,
    servers: usize,
    items: Items,
    silent: Option<(usize, i64)>,
    sweeps: usize,
) -> Result<()> {
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    let (mut calls, mut peak) = (0, 0);
    let pages = fleet(servers, items, silent).pages(NOW.parse()?);
    for _ in 0..sweeps {
        let mut watchdog = start(setup, program, silent.is_some_and(|it| it.0 == servers)).await?;
        watchdog.fill(pages.clone());
        let calls_before = watchdog.calls();
        let cpu_before = watchdog.cpu_time()?;
        times.push(watchdog.sweep(NOW, SystemTime::now() + TIMEOUT).await?);
        cpu.push(watchdog.cpu_time()? - cpu_before);
        calls = watchdog.calls() - calls_before;
        peak = watchdog.peak_memory()?.max(peak);
        watchdog.stop().await?;
    }
    let silent = match silent {
        None => "none".to_owned(),
        Some((count, HELD)) => format!("{count}, held"),
        Some((count, _)) => format!("{count}, marked"),
    };
    println!(
        "| {servers} | {} | {silent} | {} | {} | {:.1} | {calls} |",
        items.as_str(),
        median(times),
        median(cpu),
        peak as f64 / 1e6
    );
    Ok(())
}

/// A watchdog, which may have to say its message of the day, too.
async fn start(setup: &Setup, program: &Path, is_digest_due: bool) -> Result<Function> {
    let mut command = Command::new(program);
    command.env("LIMITS", LIMITS);
    if is_digest_due {
        command.env("DIGEST_AT", "10:00/always");
    }
    Function::start(setup, command).await
}

const fn fleet(servers: usize, items: Items, silent: Option<(usize, i64)>) -> Fleet {
    let silent = match silent {
        Some(silent) => silent,
        None => (0, 0),
    };
    Fleet { servers, items, silent, is_for_page: false }
}

fn median(times: Vec<Duration>) -> String {
    millis(percentile(times.into_iter(), 50).unwrap_or_default())
}

pub fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
