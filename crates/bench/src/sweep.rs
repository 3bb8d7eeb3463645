//! The cost of a sweep of the watchdog, by the size of the fleet and of its items.

use crate::cpu_share::CpuShare;
use crate::figures::percentile;
use crate::fleet::{DIGEST_AT, Fleet, Items, LIMITS};
use crate::function::{Function, Setup};
use anyhow::Result;
use bytes::Bytes;
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

/// A sweep.
#[derive(Clone, Copy)]
struct Case {
    fleet: Fleet,
    days: Days,
    /// Whether the watchdog has to send a digest.
    is_digest_due: bool,
}

/// Which days a sweep writes for the servers in its slot: one in 1,440.
#[derive(Clone, Copy, PartialEq)]
enum Days {
    /// `HISTORY_DAYS=0`
    None,
    /// The last.
    One,
    /// The last, and those that are made up for.
    All,
}

/// Prints a table of sweeps over fleets of several sizes, each in its own process. With a share of a processor, that of 512 MB,
/// also the time of a sweep over the largest fleets.
pub async fn measure(setup: &Setup, program: &Path, share: Option<&CpuShare>) -> Result<()> {
    println!(
        "\n| servers | items | silent | days | time, ms | CPU, ms | peak memory, MB | calls |"
    );
    println!("| ---: | --- | --- | --- | ---: | ---: | ---: | ---: |");
    for servers in [1_000, 10_000, 100_000] {
        row(setup, program, Case::new(servers, Items::Usual), 5).await?;
        row(setup, program, Case::new(servers, Items::Usual).silent(servers / 100, LOST), 5)
            .await?;
    }
    for days in [Days::One, Days::All] {
        row(setup, program, Case { days, ..Case::new(100_000, Items::Usual) }, 5).await?;
    }
    let servers = 100_000;
    for items in [Items::Usual, Items::Greatest] {
        let case = Case::new(servers, items);
        if items == Items::Greatest {
            row(setup, program, case, 3).await?;
        }
        for silent_for in [HELD, LOST] {
            let case = case.silent(servers, silent_for);
            row(setup, program, Case { is_digest_due: true, ..case }, 1).await?;
        }
    }
    let Some(share) = share else { return Ok(()) };
    println!("\n| servers | items | days | time at 512 MB's share and 40 ms a page, s |");
    println!("| ---: | --- | --- | ---: |");
    for (servers, items, days) in [
        (100_000, Items::Usual, Days::None),
        (100_000, Items::Usual, Days::One),
        (100_000, Items::Usual, Days::All),
        (300_000, Items::Usual, Days::One),
        (500_000, Items::Usual, Days::One),
        (100_000, Items::Greatest, Days::None),
        (150_000, Items::Greatest, Days::None),
    ] {
        let case = Case { days, ..Case::new(servers, items) };
        let pages = case.pages(setup, program).await?;
        let mut watchdog = case.start(setup, program).await?;
        watchdog.delay_pages(PAGE_TIME);
        watchdog.fill(pages);
        share.admit(watchdog.id()?)?;
        let time = watchdog.sweep(NOW, SystemTime::now() + TIMEOUT).await;
        let time = time.map_or("–".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
        println!("| {servers} | {} | {} | {time} |", items.as_str(), days.as_str());
        watchdog.stop().await?;
    }
    Ok(())
}

async fn row(setup: &Setup, program: &Path, case: Case, sweeps: usize) -> Result<()> {
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    let (mut calls, mut peak) = (0, 0);
    let pages = case.pages(setup, program).await?;
    for _ in 0..sweeps {
        let mut watchdog = case.start(setup, program).await?;
        watchdog.fill(pages.clone());
        let calls_before = watchdog.calls();
        let cpu_before = watchdog.cpu_time()?;
        times.push(watchdog.sweep(NOW, SystemTime::now() + TIMEOUT).await?);
        cpu.push(watchdog.cpu_time()? - cpu_before);
        calls = watchdog.calls() - calls_before;
        peak = watchdog.peak_memory()?.max(peak);
        watchdog.stop().await?;
    }
    let Fleet { servers, items, silent } = case.fleet;
    let silent = match silent {
        (0, _) => "none".to_owned(),
        (count, HELD) => format!("{count}, held"),
        (count, _) => format!("{count}, marked"),
    };
    println!(
        "| {servers} | {} | {silent} | {} | {} | {} | {:.1} | {calls} |",
        items.as_str(),
        case.days.as_str(),
        median(times),
        median(cpu),
        peak as f64 / 1e6
    );
    Ok(())
}

impl Case {
    const fn new(servers: usize, items: Items) -> Self {
        let fleet = Fleet { servers, items, silent: (0, 0) };
        Self { fleet, days: Days::None, is_digest_due: false }
    }

    const fn silent(mut self, servers: usize, seconds: i64) -> Self {
        self.fleet.silent = (servers, seconds);
        self
    }

    async fn start(&self, setup: &Setup, program: &Path) -> Result<Function> {
        let mut command = Command::new(program);
        command.env("LIMITS", LIMITS);
        if self.is_digest_due {
            command.env("DIGEST_AT", DIGEST_AT);
        }
        if self.days == Days::None {
            command.env("HISTORY_DAYS", "0");
        }
        let function = Function::start(setup, command).await?;
        if self.days == Days::One {
            function.add_days();
        }
        Ok(function)
    }

    /// The fleet as this watchdog reads it, which a sweep over an empty table says.
    async fn pages(&self, setup: &Setup, program: &Path) -> Result<Vec<Bytes>> {
        let now = NOW.parse()?;
        let mut watchdog = self.start(setup, program).await?;
        watchdog.fill(Fleet { servers: 0, ..self.fleet }.pages(now, None));
        watchdog.sweep(NOW, SystemTime::now() + TIMEOUT).await?;
        let projection = watchdog.projection();
        watchdog.stop().await?;
        Ok(self.fleet.pages(now, projection.as_deref()))
    }
}

impl Days {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One => "one each",
            Self::All => "eight each",
        }
    }
}

fn median(times: Vec<Duration>) -> String {
    millis(percentile(times.into_iter(), 50).unwrap_or_default())
}

pub fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
