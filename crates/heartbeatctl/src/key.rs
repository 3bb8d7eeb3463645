//! The keys table, and its items as people and programs see them.

use crate::aws::Aws;
use crate::target::KEYS;
use crate::terminal::printable;
use announcement::words::Natural;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use page::{Clock, explain_in};
use serde::{Serialize, Serializer};
use std::ops::{Deref, Not};
use syntax::duration::rounded;
use tables::key::{Scope, StoredKey};
use tables::{Group, ServerId, condition_failed};

/// The keys table.
pub struct KeysTable {
    /// A client for it.
    pub client: Client,
    /// Its name.
    pub name: String,
    clock: Clock,
}

/// A key as it is listed.
pub struct Listed(pub StoredKey);

impl Deref for Listed {
    type Target = StoredKey;

    fn deref(&self) -> &StoredKey {
        &self.0
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            key_sha256: &'a str,
            server_id: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            group: Option<&'a str>,
            label: Option<&'a str>,
            created_at: Option<&'a str>,
            /// Epoch seconds.
            expires_at: Option<i64>,
            /// Whether the endpoint cannot read the item, and so rejects the key.
            #[serde(skip_serializing_if = "Not::not")]
            malformed: bool,
        }
        let fields = Fields {
            key_sha256: &self.key_sha256,
            server_id: self.scope.as_ref().map(Scope::to_string),
            group: self.group.as_ref().map(Group::as_str),
            label: self.label.as_deref(),
            created_at: self.created_at.as_deref(),
            expires_at: self.expires_at.map(|at| at.timestamp()),
            malformed: !self.malformed.is_empty(),
        };
        fields.serialize(serializer)
    }
}

impl KeysTable {
    pub async fn new(aws: &Aws<'_>) -> anyhow::Result<Self> {
        let (client, clock) = aws.dynamodb().await?;
        Ok(Self { client, name: aws.name(&KEYS).await?, clock })
    }

    /// The time, for what is to be written.
    pub async fn now(&self) -> anyhow::Result<DateTime<Utc>> {
        self.clock.ask(&self.client, &self.name).await
    }

    /// Stores a new key.
    pub async fn put(&self, key: &StoredKey) -> anyhow::Result<()> {
        let put = self.client.put_item().table_name(&self.name);
        key.add(put).send().await.map_err(explain_in(&self.name))?;
        Ok(())
    }

    /// All keys, sorted by server and age.
    pub async fn all(&self) -> anyhow::Result<Vec<Listed>> {
        let scan = self.client.scan().table_name(&self.name).consistent_read(true);
        let mut pages = scan.into_paginator().items().send();
        let mut keys = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(explain_in(&self.name))?;
            keys.push(Listed(StoredKey::from_item(&item)));
        }
        keys.sort_by_cached_key(|key| {
            let scope = key.scope.as_ref().map(|scope| Natural::of(&scope.to_string()));
            (scope, key.created_at.clone())
        });
        Ok(keys)
    }

    /// All keys of a server, sorted by age, without those that are for others, too.
    pub async fn of_server(&self, server: &ServerId) -> anyhow::Result<Vec<Listed>> {
        self.of(&Scope::Server(server.clone())).await
    }

    /// All keys of exactly this scope, sorted by age.
    pub async fn of(&self, scope: &Scope) -> anyhow::Result<Vec<Listed>> {
        let mut keys = self.all().await?;
        keys.retain(|key| key.scope.as_ref() == Some(scope));
        Ok(keys)
    }

    /// Deletes a key.
    pub async fn delete(&self, key: &StoredKey) -> anyhow::Result<()> {
        let delete = self.client.delete_item().table_name(&self.name);
        key.revoke(delete).send().await.map_err(explain_in(&self.name))?;
        Ok(())
    }

    /// Sets the expiry of a key, unless the key is deleted or already expires earlier.
    pub async fn expire(&self, key: &StoredKey, at: DateTime<Utc>) -> anyhow::Result<()> {
        let update = self.client.update_item().table_name(&self.name);
        match key.expire(update, at).send().await {
            Err(error) if !condition_failed(&error) => Err(explain_in(&self.name)(error)),
            _ => Ok(()),
        }
    }
}

impl Listed {
    /// The servers that the key is for, as they may be shown.
    pub fn server(&self) -> String {
        match &self.scope {
            Some(scope) => scope.to_string(),
            None if self.has_malformed_server() => "malformed".to_owned(),
            None => "every server".to_owned(),
        }
    }

    /// When the key expires, relative to now.
    pub fn expiry(&self, now: DateTime<Utc>) -> String {
        match self.expires_at {
            Some(at) if at > now => format!("in {}", rounded(at - now)),
            Some(at) => format!("{} ago", rounded(now - at)),
            None if self.has_malformed_expiry() => "malformed".to_owned(),
            None => "never".to_owned(),
        }
    }

    /// A description for people.
    pub fn describe(&self) -> String {
        let label = self
            .label
            .as_ref()
            .map_or_else(String::new, |label| format!(", \"{}\"", printable(label)));
        format!("{} ({}{label})", self.short_digest(), self.server())
    }

    /// A prefix of the digest, long enough to identify it.
    pub fn short_digest(&self) -> String {
        printable(&self.key_sha256).chars().take(12).collect()
    }
}
