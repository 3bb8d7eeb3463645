//! Instructions, counted by callgrind: they hardly vary, however busy the machine is.

use crate::function::{Function, Stage};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use tokio::process::Command;

/// What a program executes, instructions.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Instructions {
    /// From its start to the answer to its first heartbeat.
    pub first: u64,
    /// For each heartbeat after that.
    pub warm: u64,
}

impl Instructions {
    /// Heartbeats over which the warm figure is taken.
    const HEARTBEATS: u64 = 100;

    /// Counts, or returns none where there is no valgrind.
    pub async fn count(stage: &Stage, program: &Path) -> Result<Option<Self>> {
        if Command::new("valgrind")
            .arg("--version")
            .output()
            .await
            .is_err()
        {
            return Ok(None);
        }
        let first = run(stage, program, 1).await?;
        let all = run(stage, program, 1 + Self::HEARTBEATS).await?;
        Ok(Some(Self {
            first,
            warm: (all - first) / Self::HEARTBEATS,
        }))
    }
}

async fn run(stage: &Stage, program: &Path, heartbeats: u64) -> Result<u64> {
    let out = stage.file("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program);
    let mut function = Function::start(stage, command).await?;
    for _ in 0..heartbeats {
        function.invoke().await?;
    }
    function.stop().await?;
    let counts = fs::read_to_string(&out)?;
    let totals = counts
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.context("callgrind counted nothing")?.parse()?)
}
