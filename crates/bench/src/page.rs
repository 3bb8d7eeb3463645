//! The cost of the page, as a phone asks for it.

use crate::cpu_share::CpuShare;
use crate::figures::percentile;
use crate::fleet::{Fleet, Items};
use crate::function::{Function, PAGE_AUTHORIZATION, Setup};
use crate::sweep;
use anyhow::{Result, ensure};
use bytes::Bytes;
use chrono::Utc;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// The fleet.
const FLEET: Fleet = Fleet { servers: 100, items: Items::Usual, silent: (1, LOST) };

/// Whoever is silent is so for so many seconds.
const LOST: i64 = 900;

/// The number of functions, and of pages after the first of each.
const SAMPLES: usize = 20;
const WARM: u32 = 20;

/// Prints the time of the first page, with 128 MB's share of a core from the first request on, and what the next ones cost.
pub async fn measure(setup: &Setup, program: &Path, share: Option<&CpuShare>) -> Result<()> {
    println!(
        "\n| servers | bytes | init, ms | first at 128 MB's share, ms | CPU warm, ms | peak memory, MB |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    let (mut init, mut first, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bytes, mut peak) = (0, 0);
    for _ in 0..SAMPLES {
        let pages = FLEET.pages(Utc::now(), None);
        if let Some(share) = share {
            let mut page = start(setup, program, &pages).await?;
            share.admit(page.id()?)?;
            init.push(page.init);
            first.push(page.request(event("/", "")).await?.0);
            page.stop().await?;
        }
        let mut page = start(setup, program, &pages).await?;
        page.request(event("/", "")).await?;
        let before = page.cpu_time()?;
        for _ in 0..WARM {
            let (_, html) = page.request(event("/", "")).await?;
            ensure!(html.contains("server-000042"), "{html}");
            bytes = html.len();
        }
        cpu.push((page.cpu_time()? - before) / WARM);
        peak = page.peak_memory()?.max(peak);
        page.stop().await?;
    }
    let median = |times: Vec<_>| {
        percentile(times.into_iter(), 50).map_or_else(|| "–".to_owned(), sweep::millis)
    };
    println!(
        "| {} | {bytes} | {} | {} | {} | {:.1} |",
        FLEET.servers,
        median(init),
        median(first),
        median(cpu),
        peak as f64 / 1e6
    );
    measure_large(setup, program, share).await
}

async fn start(setup: &Setup, program: &Path, pages: &[Bytes]) -> Result<Function> {
    let page = Function::start(setup, Command::new(program)).await?;
    page.fill(pages.to_vec());
    Ok(page)
}

/// Prints what large fleets cost: each request to a function of its own, and the memory of all of them to one.
async fn measure_large(setup: &Setup, program: &Path, share: Option<&CpuShare>) -> Result<()> {
    println!(
        "\n| servers | items | silent | request | status | bytes | CPU, ms | at 128 MB's share, s | memory of these requests, MB |"
    );
    println!("| ---: | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |");
    for (servers, items, silent) in [
        (10_000, Items::Usual, 0),
        (100_000, Items::Usual, 0),
        (100_000, Items::Usual, 100_000),
        (100_000, Items::Greatest, 0),
        (100_000, Items::Greatest, 100_000),
    ] {
        let fleet = Fleet { servers, items, silent: (silent, LOST) };
        let pages = fleet.pages(Utc::now(), None);
        let mut page = start(setup, program, &pages).await?;
        for (path, query) in [
            ("/", ""),
            ("/", "search=server-000042"),
            ("/api/servers", ""),
            ("/api/servers", "search=server-00004"),
            ("/api/servers", "limit=1000"),
            ("/metrics", ""),
        ] {
            // A fleet that was read lately is not read again.
            tokio::time::sleep(Duration::from_secs(11)).await;
            let before = page.cpu_time()?;
            let (_, status, body) = page.response(event(path, query)).await?;
            let cpu = page.cpu_time()? - before;
            let peak = page.peak_memory()? as f64 / 1e6;
            let mut slow = "–".to_owned();
            if let Some(share) = share.filter(|_| path != "/api/servers" && query.is_empty()) {
                let mut page = start(setup, program, &pages).await?;
                share.admit(page.id()?)?;
                let (time, status, _) = page.response(event(path, query)).await?;
                slow = format!("{:.1} ({status})", time.as_secs_f64());
                page.stop().await?;
            }
            let (items, cpu) = (items.as_str(), sweep::millis(cpu));
            println!(
                "| {servers} | {items} | {silent} | {path}?{query} | {status} | {} | {cpu} | {slow} | {peak:.1} |",
                body.len()
            );
        }
        page.stop().await?;
    }
    Ok(())
}

/// The event of API Gateway for a request with the password, of a client that accepts gzip, as Prometheus does.
fn event(path: &str, query: &str) -> Bytes {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": { "authorization": PAGE_AUTHORIZATION, "accept": "text/html", "accept-encoding": "gzip" },
        "requestContext": {
            "accountId": "123456789012", "apiId": "abcdefghij", "stage": "$default", "routeKey": "$default",
            "requestId": "JKJaXmPLvHcESHA=", "time": "18/Jan/2026:10:30:00 +0000", "timeEpoch": 1768732200000_u64,
            "http": { "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
        },
        "isBase64Encoded": false,
    })
    .to_string()
    .into()
}
