//! The cost of the page, as a phone asks for it.

use crate::cpu_share::CpuShare;
use crate::figures::percentile;
use crate::function::{Function, PAGE_AUTHORIZATION, Setup};
use crate::sweep::{self, fleet};
use anyhow::{Result, ensure};
use bytes::Bytes;
use chrono::Utc;
use serde_json::json;
use std::path::Path;
use tokio::process::Command;

/// The number of servers in the fleet.
const SERVERS: usize = 100;

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
        if let Some(share) = share {
            let mut page = start(setup, program).await?;
            share.admit(page.id()?)?;
            init.push(page.init);
            first.push(page.request(event()).await?.0);
            page.stop().await?;
        }
        let mut page = start(setup, program).await?;
        page.request(event()).await?;
        let before = page.cpu_time()?;
        for _ in 0..WARM {
            let (_, html) = page.request(event()).await?;
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
        "| {SERVERS} | {bytes} | {} | {} | {} | {:.1} |",
        median(init),
        median(first),
        median(cpu),
        peak as f64 / 1e6
    );
    Ok(())
}

async fn start(setup: &Setup, program: &Path) -> Result<Function> {
    let page = Function::start(setup, Command::new(program)).await?;
    page.fill(fleet(SERVERS, 1, Utc::now()));
    Ok(page)
}

/// The event of API Gateway for a request with the password.
fn event() -> Bytes {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": { "authorization": PAGE_AUTHORIZATION, "accept": "text/html" },
        "requestContext": {
            "accountId": "123456789012", "apiId": "abcdefghij", "stage": "$default", "routeKey": "$default",
            "requestId": "JKJaXmPLvHcESHA=", "time": "18/Jan/2026:10:30:00 +0000", "timeEpoch": 1768732200000_u64,
            "http": { "method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1" },
        },
        "isBase64Encoded": false,
    })
    .to_string()
    .into()
}
