//! The instruction counts that must not grow.

use crate::callgrind::Instructions;
use crate::function::Stage;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// How far above the recorded count is still the same.
const MARGIN: f64 = 0.05;

/// Counts, and fails where a count is above its budget.
pub async fn check(stage: &Stage, program: &Path, budgets: &Path) -> Result<()> {
    let budget: Instructions = serde_json::from_slice(&fs::read(budgets)?)?;
    let Some(count) = count(stage, program).await? else {
        return Ok(());
    };
    let mut exceeded = false;
    for (name, count, budget) in [
        ("start → first answer", count.first, budget.first),
        ("warm heartbeat", count.warm, budget.warm),
    ] {
        let growth = count as f64 / budget as f64 - 1.0;
        exceeded |= growth > MARGIN;
        println!(
            "{name}: {count} instructions, {:+.1} % of {budget}",
            growth * 100.0
        );
    }
    if exceeded {
        bail!("above budget by more than {:.0} %", MARGIN * 100.0);
    }
    Ok(())
}

/// Counts, and makes the counts the budget.
pub async fn record(stage: &Stage, program: &Path, budgets: &Path) -> Result<()> {
    if let Some(count) = count(stage, program).await? {
        fs::write(budgets, serde_json::to_string_pretty(&count)? + "\n")?;
    }
    Ok(())
}

/// Counts where that can be compared with other machines' counts; says so where it cannot.
async fn count(stage: &Stage, program: &Path) -> Result<Option<Instructions>> {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the budgets are counted on x86_64");
        return Ok(None);
    }
    let count = Instructions::count(stage, program).await?;
    if count.is_none() {
        println!("skipped: there is no valgrind here");
    }
    Ok(count)
}
