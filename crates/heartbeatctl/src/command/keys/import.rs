//! `keys import`: digests of keys that another system issued.

use crate::key::KeysTable;
use crate::terminal::print_json;
use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use page::explain_in;
use serde::Serialize;
use std::io::{self, BufRead};
use tables::key::{Scope, StoredKey};
use tables::time::format;
use tables::{ServerId, condition_failed};

/// Import keys from another system by their SHA-256 digests. Lines on standard input: `digest[,server[,label]]`
///
/// A key that the table holds already stays as it is. A line that cannot be read is named by its number and left out.
/// A key with a server may write for that one only, under the id that its agent sends.
#[derive(Args)]
#[command(
    after_help = "Example:\n  heartbeatctl --stack heartbeat keys import < keys.csv\n\nThe query that exports the keys of HomelabCmd is in docs/run.md."
)]
pub struct Import {}

/// What became of the lines.
#[derive(Default, Serialize)]
struct Outcome {
    added: usize,
    /// Those that the table held already.
    known: usize,
    /// The numbers of the lines that were left out, from 1.
    left_out: Vec<usize>,
}

impl Import {
    pub async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let mut outcome = Outcome::default();
        let now = table.now().await?;
        for (index, line) in io::stdin().lock().split(b'\n').enumerate() {
            let number = index + 1;
            let line = line.context("standard input cannot be read")?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match parse(&line, now) {
                // The line itself may hold a key, and is not printed.
                Err(reason) => {
                    eprintln!("line {number}: {reason}");
                    outcome.left_out.push(number);
                }
                Ok(key)
                    if add(table, &key).await.with_context(|| {
                        format!(
                            "line {number}, after {} were added and {} were there",
                            outcome.added, outcome.known
                        )
                    })? =>
                {
                    outcome.added += 1;
                }
                Ok(_) => outcome.known += 1,
            }
        }
        if json {
            print_json(&outcome)?;
        } else {
            let Outcome { added, known, .. } = outcome;
            eprintln!("Added {added}; {known} were there already.");
        }
        match outcome.left_out.len() {
            0 => Ok(()),
            1 => bail!("a line was left out"),
            lines => bail!("{lines} lines were left out"),
        }
    }
}

fn parse(line: &[u8], now: DateTime<Utc>) -> Result<StoredKey, &'static str> {
    let line = str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let mut fields = line.splitn(3, ',').map(str::trim);
    let digest = fields.next().unwrap_or_default();
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_digest {
        return Err("the digest is not 64 hex digits");
    }
    let mut field = || fields.next().filter(|field| !field.is_empty());
    let server_id = field().map(ServerId::new).transpose();
    Ok(StoredKey {
        key_sha256: digest.to_ascii_lowercase(),
        scope: server_id.map_err(|_| "the server is not the id of one")?.map(Scope::Server),
        group: None,
        label: field().map(str::to_owned),
        created_at: Some(format(now)),
        expires_at: None,
        malformed: Vec::new(),
    })
}

/// Adds a key unless the table holds it; whether it was added.
async fn add(table: &KeysTable, key: &StoredKey) -> anyhow::Result<bool> {
    let put = table.client.put_item().table_name(&table.name);
    match key.add(put).send().await {
        Ok(_) => Ok(true),
        Err(error) if condition_failed(&error) => Ok(false),
        Err(error) => Err(explain_in(&table.name)(error)),
    }
}
