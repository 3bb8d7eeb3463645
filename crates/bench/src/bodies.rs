//! The cost of a heartbeat by what its body holds.

use crate::figures::percentile;
use crate::function::{Function, Setup};
use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tokio::process::Command;

/// The number of heartbeats in a sample, and of samples.
const HEARTBEATS: u32 = 20;
const SAMPLES: usize = 20;

/// The largest body, bytes.
const LARGEST: usize = 1024 * 1024;

/// Prints a table of bodies: the usual one, one in the form of HomelabCmd's agent with 600 packages, and the largest that is
/// accepted. The samples are interleaved.
pub async fn measure(setup: &Setup, root: &Path, program: &Path) -> Result<()> {
    let event = fs::read(root.join("events/homelabcmd.json"))?;
    let event: Value = serde_json::from_slice(&event)?;
    let mut bodies = [
        ("every-field", setup.event_with(None)?),
        ("600 packages, 10 file systems, 20 services", event.to_string().into()),
        ("1 MiB of packages", largest(event)?),
    ]
    .map(|(name, event)| (name, event, Vec::new(), 0));
    println!("\n| body | event, bytes | CPU, µs | peak memory, MB |\n| --- | ---: | ---: | ---: |");
    for _ in 0..SAMPLES {
        for (_, event, cpu, peak) in &mut bodies {
            let mut function = Function::start(setup, Command::new(program)).await?;
            function.invoke_with(event.clone()).await?;
            let before = function.cpu_time()?;
            for _ in 0..HEARTBEATS {
                function.invoke_with(event.clone()).await?;
            }
            cpu.push((function.cpu_time()? - before) / HEARTBEATS);
            *peak = function.peak_memory()?.max(*peak);
            function.stop().await?;
        }
    }
    for (name, event, cpu, peak) in bodies {
        let cpu = percentile(cpu.into_iter(), 50).map_or(0, |time| time.as_micros());
        println!("| {name} | {} | {cpu} | {:.1} |", event.len(), peak as f64 / 1e6);
    }
    Ok(())
}

/// The event with as many packages as fit into the largest body.
fn largest(mut event: Value) -> Result<Bytes> {
    let mut body: Value = serde_json::from_str(event["body"].as_str().context("no body")?)?;
    let mut length = body.to_string().len();
    let packages = body["packages"].as_array_mut().context("no packages")?;
    let more: Vec<_> = packages
        .iter()
        .cycle()
        .take_while(|package| {
            length += package.to_string().len() + 1;
            length <= LARGEST
        })
        .cloned()
        .collect();
    packages.extend(more);
    event["body"] = body.to_string().into();
    Ok(event.to_string().into())
}
