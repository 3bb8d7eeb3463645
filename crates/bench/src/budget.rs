//! The instruction counts that must not grow.

use crate::callgrind::Instructions;
use crate::function::Setup;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// By how much a count may exceed its budget.
const MARGIN: f64 = 0.05;

/// Counts the instructions, and fails if a count exceeds its budget by more than the margin.
pub async fn check(setup: &Setup, program: &Path, budgets: &Path) -> Result<()> {
    let budget: Instructions = serde_json::from_slice(&fs::read(budgets)?)?;
    let Some(count) = count(setup, program).await? else {
        return Ok(());
    };
    let mut exceeded = false;
    for (name, count, budget) in [
        ("start → first response", count.first, budget.first),
        ("warm heartbeat", count.warm, budget.warm),
    ] {
        let growth = count as f64 / budget as f64 - 1.0;
        exceeded |= growth > MARGIN;
        println!("{name}: {count} instructions, {:+.1} % of {budget}", growth * 100.0);
    }
    if exceeded {
        bail!("above budget by more than {:.0} %", MARGIN * 100.0);
    }
    Ok(())
}

/// Counts the instructions, and records the counts as the budgets.
pub async fn record(setup: &Setup, program: &Path, budgets: &Path) -> Result<()> {
    if let Some(count) = count(setup, program).await? {
        fs::write(budgets, serde_json::to_string_pretty(&count)? + "\n")?;
    }
    Ok(())
}

/// Counts the instructions, or prints why the counts could not be compared with the budgets.
async fn count(setup: &Setup, program: &Path) -> Result<Option<Instructions>> {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the budgets are counted on x86_64");
        return Ok(None);
    }
    let count = Instructions::count(setup, program).await?;
    if count.is_none() {
        println!("skipped: needs valgrind");
    }
    Ok(count)
}
