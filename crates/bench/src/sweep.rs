//! The cost of a sweep of the watchdog, by the size of the fleet.

use crate::dynamodb::READING;
use crate::figures::percentile;
use crate::function::{Function, Setup};
use anyhow::Result;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// The number of sweeps of each fleet, each in its own process.
const SWEEPS: usize = 5;

/// The number of servers of 600 bytes in a page of a scan, which holds 1 MiB.
const PAGE: usize = 1024 * 1024 / 600;

/// The time of the sweeps.
const NOW: &str = "2026-01-18T10:30:00Z";

/// Prints a table of sweeps over fleets of several sizes, with no late server and with one in a hundred late.
pub async fn measure(setup: &Setup, program: &Path) -> Result<()> {
    println!("\n| servers | late | time, ms | CPU, ms | peak memory, MB | calls |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for servers in [1_000, 10_000, 100_000] {
        for late in [0, servers / 100] {
            let (mut times, mut cpu) = (Vec::new(), Vec::new());
            let (mut calls, mut peak) = (0, 0);
            for _ in 0..SWEEPS {
                let mut watchdog = Function::start(setup, Command::new(program)).await?;
                watchdog.fill(fleet(servers, late, NOW.parse()?));
                let calls_before = watchdog.calls();
                let cpu_before = watchdog.cpu_time()?;
                times.push(watchdog.sweep(NOW).await?);
                cpu.push(watchdog.cpu_time()? - cpu_before);
                calls = watchdog.calls() - calls_before;
                peak = watchdog.peak_memory()?.max(peak);
                watchdog.stop().await?;
            }
            println!(
                "| {servers} | {late} | {} | {} | {:.1} | {calls} |",
                median(times),
                median(cpu),
                peak as f64 / 1e6
            );
        }
    }
    Ok(())
}

/// The pages of a scan over `servers` servers, `late` of which are late.
pub fn fleet(servers: usize, late: usize, now: DateTime<Utc>) -> Vec<Bytes> {
    let stored = |ago| tables::time::format(now - TimeDelta::seconds(ago));
    let numbers: Vec<_> = (0..servers).collect();
    let pages = numbers.chunks(PAGE);
    let last = pages.len() - 1;
    let page = |(number, servers): (usize, &[usize])| {
        // As if sweeps had been running.
        let own = (number == last).then(|| {
            json!({
                "server_id": { "S": "#watchdog" },
                "swept_at": { "S": stored(60) },
            })
        });
        let items = servers.iter().map(|server| {
            let silent = if *server < late { 570 } else { 30 };
            let mut item = json!({
                "server_id": { "S": format!("server-{server:06}") },
                "hostname": { "S": format!("server-{server:06}.eu-central.example.com") },
                "status": { "S": "online" },
                "last_seen": { "S": stored(silent) },
                "registered_at": { "S": "2026-01-02T08:00:41.000312Z" },
                "reading": *READING,
            });
            let reading = &mut item["reading"]["M"];
            reading["disks"] = json!({ "M": {
                "/": { "N": "82.1" }, "/data": { "N": "40.5" }, "/var": { "N": "20" },
            } });
            reading["services"] = json!({ "M": {} });
            // One in a hundred has a problem, which has been said.
            if server % 100 == 99 {
                reading["disks"]["M"]["/data"] = json!({ "N": "95.5" });
                item["problems"] = json!({ "M": { "disk_percent:/data": { "M": {
                    "since": { "S": "2026-01-17T10:30:00.000000Z" }, "limit": { "N": "90" },
                } } } });
            }
            item
        });
        let items: Vec<_> = items.chain(own).collect();
        let mut page = json!({ "Items": items, "Count": items.len(), "ScannedCount": items.len() });
        if number < last {
            let next = (number + 1).to_string();
            page["LastEvaluatedKey"] = json!({ "server_id": { "S": next } });
        }
        page.to_string().into()
    };
    pages.enumerate().map(page).collect()
}

fn median(times: Vec<Duration>) -> String {
    millis(percentile(times.into_iter(), 50).unwrap_or_default())
}

pub fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
