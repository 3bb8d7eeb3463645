//! `keys rotate`

use super::new::New;
use crate::key::KeysTable;
use anyhow::{bail, ensure};
use chrono::TimeDelta;
use clap::Args;
use syntax::duration;
use tables::key::Scope;
use tables::time::format;

/// Create a new key for a server or a prefix, and let its old ones expire after a grace period.
///
/// The lifetime of an old key is never extended. Function instances that have cached an old key accept it for up
/// to KEY_CACHE_SECONDS (300 by default) longer.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat keys rotate web-1 --grace 2h")]
pub struct Rotate {
    /// The server, or a prefix as in 'web-*'.
    server: Scope,
    /// How long the old keys stay valid.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration::parse)]
    grace: TimeDelta,
    /// A label to find the new key by later.
    #[arg(long)]
    label: Option<String>,
    /// How long the new key is valid. Default: forever.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    expires: Option<TimeDelta>,
}

impl Rotate {
    pub async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let old_keys = table.of(&self.server).await?;
        let Some(last) = old_keys.last() else {
            let server = &self.server;
            bail!("{server} has no key: create one with `keys add`");
        };
        let now = table.now().await?;
        let expiry = now + self.grace;
        let mut key =
            New::make(Some(self.server), last.group.clone(), self.label, self.expires, now)?;
        key.old_keys_expire_at = Some(expiry.timestamp());
        table.put(&key.stored).await?;
        key.print(json)?;
        let mut failures = Vec::new();
        for old_key in &old_keys {
            if let Err(error) = table.expire(old_key, expiry).await {
                failures.push(format!("{}: {error:#}", old_key.describe()));
            }
        }
        ensure!(
            failures.is_empty(),
            "the new key is stored and valid, but the expiry of old keys could not be set; \
             revoke them when the new key is in use: {}",
            failures.join("; ")
        );
        eprintln!(
            "The old keys expire at {} at the latest. Function instances that have cached one accept it for up to \
             KEY_CACHE_SECONDS longer.",
            format(expiry)
        );
        Ok(())
    }
}
