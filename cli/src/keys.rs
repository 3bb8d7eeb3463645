//! Keys in the keys table: made, listed, revoked and rotated. The table holds digests, never a key.

use crate::aws::{Aws, explain};
use crate::{Place, confirm, print, server_id, time};
use anyhow::{anyhow, bail, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgGroup, Args, Subcommand};
use comfy_table::{Table, presets::NOTHING};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use std::collections::HashMap;

/// Make, list, revoke and rotate API keys.
#[derive(Subcommand)]
pub enum Keys {
    Add(Add),
    List(List),
    Revoke(Revoke),
    Rotate(Rotate),
}

/// Make a key, and print it. It is shown once: the table keeps its digest.
#[derive(Args)]
#[command(
    group = ArgGroup::new("holder").required(true),
    after_help = "Example:\n  heartbeatctl --stack heartbeat keys add web-1 --expires 90d"
)]
pub struct Add {
    /// The only server that the key may write for.
    #[arg(group = "holder", value_parser = server_id::parse)]
    server: Option<String>,
    /// A key that may write for every server.
    #[arg(long, group = "holder")]
    shared: bool,
    /// What to find the key by later.
    #[arg(long)]
    label: Option<String>,
    /// How long the key is valid; for ever if not given.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    expires: Option<TimeDelta>,
}

/// List every key: whose it is, how old, until when. Never the key.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat keys list")]
pub struct List {}

/// Revoke all keys of a server, or one by its label or digest.
///
/// Function instances that have seen the key accept it for up to KEY_CACHE_SECONDS (300 by default).
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true),
    after_help = "Examples:\n  heartbeatctl --stack heartbeat keys revoke web-1\n  heartbeatctl --stack heartbeat keys revoke --digest 4c88089b"
)]
pub struct Revoke {
    /// The server whose keys to revoke.
    #[arg(group = "which", value_parser = server_id::parse)]
    server: Option<String>,
    /// The label of one key.
    #[arg(long, group = "which")]
    label: Option<String>,
    /// How the digest of one key begins.
    #[arg(long, group = "which", value_name = "PREFIX")]
    digest: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Make a new key for a server, and let its old ones expire after a grace period.
///
/// No old key lives longer than it would have.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat keys rotate web-1 --grace 2h")]
pub struct Rotate {
    /// The server.
    #[arg(value_parser = server_id::parse)]
    server: String,
    /// How long the old keys stay valid.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = time::duration)]
    grace: TimeDelta,
    /// What to find the new key by later.
    #[arg(long)]
    label: Option<String>,
    /// How long the new key is valid; for ever if not given.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    expires: Option<TimeDelta>,
}

impl Keys {
    /// Does what was asked for.
    pub async fn run(self, place: &Place) -> anyhow::Result<()> {
        let aws = Aws::new(place).await;
        let table = KeysTable {
            client: aws.dynamodb(),
            name: aws.keys_table().await?,
        };
        match self {
            Self::Add(add) => add.run(&table, place.json).await,
            Self::List(_) => list(&table, place.json).await,
            Self::Revoke(revoke) => revoke.run(&table, place.json).await,
            Self::Rotate(rotate) => rotate.run(&table, place.json).await,
        }
    }
}

struct KeysTable {
    client: Client,
    name: String,
}

/// A key as the table holds it.
#[derive(Clone, Serialize)]
struct Stored {
    key_sha256: String,
    /// The only server that it may write for; none means any.
    server_id: Option<String>,
    label: Option<String>,
    created_at: Option<String>,
    /// When it expires, epoch seconds.
    expires_at: Option<i64>,
}

/// A key that nobody has seen yet.
#[derive(Serialize)]
struct New {
    key: String,
    #[serde(flatten)]
    stored: Stored,
}

impl New {
    fn make(
        server_id: Option<String>,
        label: Option<String>,
        expires: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Self> {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| anyhow!("this machine has no random numbers"))?;
        let key = format!("hb_{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
        let stored = Stored {
            key_sha256: hex::encode(digest(&SHA256, key.as_bytes())),
            server_id,
            label,
            created_at: Some(time::stored(now)),
            expires_at: expires.map(|expires| (now + expires).timestamp()),
        };
        Ok(Self { key, stored })
    }

    fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return print(&serde_json::to_string(self)?);
        }
        print(&self.key)?;
        eprintln!("This key is shown once. Give it to the agent; the table holds its digest.");
        Ok(())
    }
}

impl KeysTable {
    async fn put(&self, key: &Stored) -> anyhow::Result<()> {
        let text = |text: &String| AttributeValue::S(text.clone());
        let attributes = [
            ("key_sha256", Some(text(&key.key_sha256))),
            ("server_id", key.server_id.as_ref().map(text)),
            ("label", key.label.as_ref().map(text)),
            ("created_at", key.created_at.as_ref().map(text)),
            (
                "expires_at",
                key.expires_at.map(|at| AttributeValue::N(at.to_string())),
            ),
        ];
        let attributes = attributes.into_iter();
        let item = attributes.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item.collect()))
            .condition_expression("attribute_not_exists(key_sha256)")
            .send()
            .await
            .map_err(explain)?;
        Ok(())
    }

    /// Every key, by server and age.
    async fn all(&self) -> anyhow::Result<Vec<Stored>> {
        let scan = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true);
        let mut pages = scan.into_paginator().items().send();
        let mut keys = Vec::new();
        while let Some(item) = pages.next().await {
            keys.push(Stored::read(&item.map_err(explain)?));
        }
        keys.sort_by(|one, other| {
            (&one.server_id, &one.created_at).cmp(&(&other.server_id, &other.created_at))
        });
        Ok(keys)
    }

    async fn of_server(&self, server: &str) -> anyhow::Result<Vec<Stored>> {
        let mut keys = self.all().await?;
        keys.retain(|key| key.server_id.as_deref() == Some(server));
        Ok(keys)
    }

    async fn delete(&self, key: &Stored) -> anyhow::Result<()> {
        self.client
            .delete_item()
            .table_name(&self.name)
            .key("key_sha256", AttributeValue::S(key.key_sha256.clone()))
            .send()
            .await
            .map_err(explain)?;
        Ok(())
    }

    /// Lets a key expire at this time, unless it is gone or expires earlier.
    async fn expire(&self, key: &Stored, at: DateTime<Utc>) -> anyhow::Result<()> {
        let expired = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("key_sha256", AttributeValue::S(key.key_sha256.clone()))
            .update_expression("SET expires_at = :at")
            .condition_expression(
                "attribute_exists(key_sha256) AND \
                 (attribute_not_exists(expires_at) OR expires_at > :at)",
            )
            .expression_attribute_values(":at", AttributeValue::N(at.timestamp().to_string()))
            .send()
            .await;
        match expired {
            Err(error)
                if !matches!(
                    error.as_service_error(),
                    Some(UpdateItemError::ConditionalCheckFailedException(_))
                ) =>
            {
                Err(explain(error))
            }
            _ => Ok(()),
        }
    }
}

impl Stored {
    fn read(item: &HashMap<String, AttributeValue>) -> Self {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        Self {
            key_sha256: text("key_sha256").unwrap_or_default(),
            server_id: text("server_id"),
            label: text("label"),
            created_at: text("created_at"),
            expires_at: item
                .get("expires_at")
                .and_then(|at| at.as_n().ok()?.parse().ok()),
        }
    }

    /// What a person needs to recognise it.
    fn describe(&self) -> String {
        let server = self.server_id.as_deref().unwrap_or("every server");
        let label = self.label.as_ref();
        let label = label.map_or(String::new(), |label| format!(", {label:?}"));
        format!("{} ({server}{label})", short(&self.key_sha256))
    }
}

/// The beginning of a digest, enough to tell it from others.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
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
        return print(&serde_json::to_string_pretty(&keys)?);
    }
    let now = Utc::now();
    let mut rows = Table::new();
    rows.load_style(NOTHING);
    rows.set_header(["SERVER", "LABEL", "AGE", "EXPIRES", "DIGEST"]);
    for key in &keys {
        let created = key.created_at.as_ref();
        let created = created.and_then(|time| time.parse::<DateTime<Utc>>().ok());
        let expires = key
            .expires_at
            .and_then(|at| DateTime::from_timestamp(at, 0));
        let expires = expires.map_or("never".to_owned(), |at| match at - now {
            left if left > TimeDelta::zero() => format!("in {}", time::words(left)),
            past => format!("{} ago", time::words(past)),
        });
        rows.add_row([
            key.server_id.as_deref().unwrap_or("(every server)"),
            &key.label
                .as_deref()
                .unwrap_or("–")
                .replace(char::is_control, "\u{fffd}"),
            &created.map_or("–".to_owned(), |time| time::words(now - time)),
            &expires,
            short(&key.key_sha256),
        ]);
    }
    for column in rows.column_iter_mut() {
        column.set_padding((0, 2));
    }
    print(&rows.trim_fmt())
}

impl Revoke {
    async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let mut keys = table.all().await?;
        let prefix = self
            .digest
            .as_ref()
            .map(|prefix| prefix.to_ascii_lowercase());
        keys.retain(|key| {
            let is_its =
                |wanted: &Option<String>, own: &Option<String>| wanted.is_none() || wanted == own;
            is_its(&self.server, &key.server_id)
                && is_its(&self.label, &key.label)
                && prefix
                    .as_ref()
                    .is_none_or(|prefix| key.key_sha256.starts_with(prefix))
        });
        let names: Vec<_> = keys.iter().map(Stored::describe).collect();
        let names = names.join(", ");
        ensure!(
            !keys.is_empty(),
            "there is no such key; `keys list` shows them all"
        );
        let is_one = self.label.is_some() || self.digest.is_some();
        ensure!(!is_one || keys.len() == 1, "several keys match: {names}");
        confirm(&format!("Revoke {names}?"), self.yes)?;
        for key in &keys {
            table.delete(key).await?;
        }
        if json {
            return print(&serde_json::to_string(&keys)?);
        }
        eprintln!(
            "Revoked {names}. Function instances that know a key accept it for up to KEY_CACHE_SECONDS."
        );
        Ok(())
    }
}

impl Rotate {
    async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let old = table.of_server(&self.server).await?;
        if old.is_empty() {
            let server = &self.server;
            bail!("there is no key of {server}: make one with `keys add {server}`");
        }
        let now = Utc::now();
        let key = New::make(Some(self.server), self.label, self.expires, now)?;
        table.put(&key.stored).await?;
        key.print(json)?;
        for key in &old {
            table.expire(key, now + self.grace).await?;
        }
        eprintln!(
            "The old keys expire at {} at the latest.",
            time::stored(now + self.grace)
        );
        Ok(())
    }
}
