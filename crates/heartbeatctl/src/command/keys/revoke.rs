//! `keys revoke`

use crate::key::{KeysTable, Listed};
use crate::terminal::{confirm, print_json};
use anyhow::ensure;
use clap::{ArgGroup, Args};
use tables::key::Scope;

/// Revoke all keys of a server, or one by its label or digest.
///
/// Function instances that have cached the key accept it for up to KEY_CACHE_SECONDS (300 by default).
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true),
    after_help = "Examples:\n  heartbeatctl --stack heartbeat keys revoke web-1\n  heartbeatctl --stack heartbeat keys revoke --digest 4c88089b"
)]
pub struct Revoke {
    /// The server whose keys to revoke, or a prefix as in 'web-*'.
    #[arg(group = "which")]
    server: Option<Scope>,
    /// The label of one key.
    #[arg(long, group = "which")]
    label: Option<String>,
    /// A prefix of the digest of one key, in hex.
    #[arg(long, group = "which", value_name = "PREFIX", value_parser = digest_prefix)]
    digest: Option<String>,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

fn digest_prefix(text: &str) -> Result<String, String> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && !text.is_empty() {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a digest consists of hex digits".to_owned())
    }
}

impl Revoke {
    pub async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let mut keys = table.all().await?;
        keys.retain(|key| {
            (self.server.is_none() || self.server == key.scope)
                && (self.label.is_none() || self.label == key.label)
                && self.digest.as_ref().is_none_or(|prefix| key.key_sha256.starts_with(prefix))
        });
        ensure!(!keys.is_empty(), "there is no such key; `keys list` shows them all");
        let descriptions: Vec<_> = keys.iter().map(Listed::describe).collect();
        let names = descriptions.join(", ");
        let expects_one = self.label.is_some() || self.digest.is_some();
        ensure!(!expects_one || keys.len() == 1, "several keys match: {names}");
        confirm(&format!("Revoke {names}?"), self.yes)?;
        for key in &keys {
            table.delete(key).await?;
        }
        if json {
            return Ok(print_json(&keys)?);
        }
        eprintln!(
            "Revoked {names}. Function instances that have cached a key accept it for up to KEY_CACHE_SECONDS."
        );
        Ok(())
    }
}
