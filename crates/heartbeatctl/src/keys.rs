//! Creates, lists, revokes and rotates keys in the keys table, which holds only digests.

mod table;

use crate::aws::Aws;
use crate::target::{KEYS, Target};
use crate::terminal::{confirm, print, print_all, printable};
use crate::time;
use anyhow::{anyhow, bail, ensure};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgGroup, Args, Subcommand};
use comfy_table::{Table, presets::NOTHING};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use table::{KeysTable, Listed};
use tables::ServerId;
use tables::key::{PREFIX, StoredKey};
use tables::time::{format, parse};

/// Create, list, revoke and rotate API keys.
#[derive(Subcommand)]
#[command(
    after_help = "Example:\n  heartbeatctl --stack heartbeat keys add web-1 --label \"made by hand\""
)]
pub enum Keys {
    Add(Add),
    List(List),
    Revoke(Revoke),
    Rotate(Rotate),
}

/// Create a key and print it. It is shown only once; the table stores its digest.
#[derive(Args)]
#[command(
    group = ArgGroup::new("holder").required(true),
    after_help = "Example:\n  heartbeatctl --stack heartbeat keys add web-1 --expires 90d"
)]
pub struct Add {
    /// The only server that the key may write for.
    #[arg(group = "holder")]
    server: Option<ServerId>,
    /// A key that may write for every server.
    #[arg(long, group = "holder")]
    shared: bool,
    /// A label to find the key by later.
    #[arg(long)]
    label: Option<String>,
    /// How long the key is valid. Default: forever.
    #[arg(long, value_name = "DURATION", value_parser = time::positive_duration)]
    expires: Option<TimeDelta>,
}

/// List all keys with server, label, age and expiry. The keys themselves are never shown.
///
/// An item that the endpoint cannot read is shown as malformed. Its key is rejected.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat keys list")]
pub struct List {}

/// Revoke all keys of a server, or one by its label or digest.
///
/// Function instances that have cached the key accept it for up to KEY_CACHE_SECONDS (300 by default).
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true),
    after_help = "Examples:\n  heartbeatctl --stack heartbeat keys revoke web-1\n  heartbeatctl --stack heartbeat keys revoke --digest 4c88089b"
)]
pub struct Revoke {
    /// The server whose keys to revoke.
    #[arg(group = "which")]
    server: Option<ServerId>,
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

/// Create a new key for a server, and let its old ones expire after a grace period.
///
/// The lifetime of an old key is never extended. Function instances that have cached an old key accept it for up
/// to KEY_CACHE_SECONDS (300 by default) longer.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat keys rotate web-1 --grace 2h")]
pub struct Rotate {
    /// The server.
    server: ServerId,
    /// How long the old keys stay valid.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = time::duration)]
    grace: TimeDelta,
    /// A label to find the new key by later.
    #[arg(long)]
    label: Option<String>,
    /// How long the new key is valid. Default: forever.
    #[arg(long, value_name = "DURATION", value_parser = time::positive_duration)]
    expires: Option<TimeDelta>,
}

fn digest_prefix(text: &str) -> Result<String, String> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && !text.is_empty() {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a digest consists of hex digits".to_owned())
    }
}

impl Keys {
    /// Runs the command.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let name = aws.name(&KEYS).await?;
        let client = aws.dynamodb().await;
        let table = KeysTable { client, name };
        match self {
            Self::Add(add) => add.run(&table, target.json).await,
            Self::List(_) => list(&table, target.json).await,
            Self::Revoke(revoke) => revoke.run(&table, target.json).await,
            Self::Rotate(rotate) => rotate.run(&table, target.json).await,
        }
    }
}

/// A new key, and the item that stores it.
#[derive(Serialize)]
struct New {
    key: String,
    #[serde(flatten)]
    stored: Listed,
    /// When the keys that it replaces expire at the latest, epoch seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_keys_expire_at: Option<i64>,
}

impl New {
    fn make(
        server_id: Option<ServerId>,
        label: Option<String>,
        expires: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Self> {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| anyhow!("the system's random number generator failed"))?;
        let key = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
        let stored = Listed(StoredKey {
            key_sha256: hex::encode(digest(&SHA256, key.as_bytes())),
            server_id,
            label,
            created_at: Some(format(now)),
            expires_at: expires.map(|expires| now + expires),
            malformed: Vec::new(),
        });
        Ok(Self {
            key,
            stored,
            old_keys_expire_at: None,
        })
    }

    /// Prints the key after it was stored. A key that nobody has read is of no use, but it is valid.
    fn print(&self, json: bool) -> anyhow::Result<()> {
        let printed = if json {
            print_all(&serde_json::to_string(self)?)
        } else {
            print_all(&self.key)
        };
        printed.map_err(|error| {
            let digest = self.stored.short_digest();
            anyhow!(
                "the key with the digest {digest}… is stored, but it could not be printed ({error}): \
                 revoke it with `keys revoke --digest {digest}`"
            )
        })?;
        if !json {
            eprintln!(
                "This key is shown only once. Give it to the agent; the table stores its digest."
            );
        }
        Ok(())
    }
}

impl Add {
    async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let key = New::make(self.server, self.label, self.expires, Utc::now())?;
        table.put(&key.stored).await?;
        key.print(json)
    }
}

async fn list(table: &KeysTable, json: bool) -> anyhow::Result<()> {
    let keys = table.all().await?;
    if json {
        return Ok(print(&serde_json::to_string_pretty(&keys)?)?);
    }
    let now = Utc::now();
    let mut rows = Table::new();
    rows.load_style(NOTHING);
    rows.set_header(["SERVER", "LABEL", "AGE", "EXPIRES", "DIGEST"]);
    for key in &keys {
        let created = key.created_at.as_ref();
        let created = created.and_then(|time| parse(time));
        rows.add_row([
            key.server(),
            printable(key.label.as_deref().unwrap_or("–")),
            created.map_or("–".to_owned(), |time| time::words(now - time)),
            key.expiry(now),
            key.short_digest(),
        ]);
    }
    for column in rows.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Ok(print(&rows.trim_fmt())?)
}

impl Revoke {
    async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let mut keys = table.all().await?;
        keys.retain(|key| {
            (self.server.is_none() || self.server == key.server_id)
                && (self.label.is_none() || self.label == key.label)
                && self
                    .digest
                    .as_ref()
                    .is_none_or(|prefix| key.key_sha256.starts_with(prefix))
        });
        let names: Vec<_> = keys.iter().map(Listed::describe).collect();
        let names = names.join(", ");
        ensure!(
            !keys.is_empty(),
            "there is no such key; `keys list` shows them all"
        );
        let expects_one = self.label.is_some() || self.digest.is_some();
        ensure!(
            !expects_one || keys.len() == 1,
            "several keys match: {names}"
        );
        confirm(&format!("Revoke {names}?"), self.yes)?;
        for key in &keys {
            table.delete(key).await?;
        }
        if json {
            return Ok(print(&serde_json::to_string(&keys)?)?);
        }
        eprintln!(
            "Revoked {names}. Function instances that have cached a key accept it for up to KEY_CACHE_SECONDS."
        );
        Ok(())
    }
}

impl Rotate {
    async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let old_keys = table.of_server(&self.server).await?;
        if old_keys.is_empty() {
            let server = &self.server;
            bail!("{server} has no key: create one with `keys add {server}`");
        }
        let now = Utc::now();
        let expiry = now + self.grace;
        let mut key = New::make(Some(self.server), self.label, self.expires, now)?;
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
