//! Instruction counts by callgrind, which hardly vary, however busy the machine is.

use crate::function::{Function, Setup};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use tokio::process::Command;

/// The instructions that a program executes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Instructions {
    /// From its start to the response to its first heartbeat.
    pub first: u64,
    /// For each heartbeat after that.
    pub warm: u64,
}

impl Instructions {
    /// The number of heartbeats that the warm figure is averaged over.
    const HEARTBEATS: u64 = 100;

    /// Counts the instructions; `None` if valgrind is not installed.
    pub async fn count(setup: &Setup, program: &Path) -> Result<Option<Self>> {
        if Command::new("valgrind").arg("--version").output().await.is_err() {
            return Ok(None);
        }
        let first = run(setup, program, 1).await?;
        let all = run(setup, program, 1 + Self::HEARTBEATS).await?;
        Ok(Some(Self { first, warm: (all - first) / Self::HEARTBEATS }))
    }
}

async fn run(setup: &Setup, program: &Path, heartbeats: u64) -> Result<u64> {
    let out = setup.file("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program);
    let mut function = Function::start(setup, command).await?;
    for _ in 0..heartbeats {
        function.invoke().await?;
    }
    function.stop().await?;
    let counts = fs::read_to_string(&out)?;
    let totals = counts.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.context("callgrind counted nothing")?.parse()?)
}
