//! The keys table, and its items.

use crate::aws::explain_in;
use crate::terminal::printable;
use crate::{server_id, time};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use std::collections::HashMap;

/// The keys table.
pub struct KeysTable {
    /// A client for it.
    pub client: Client,
    /// Its name.
    pub name: String,
}

/// A key as the table holds it.
#[derive(Clone, Serialize)]
pub struct Stored {
    /// The digest of the key, in hex.
    pub key_sha256: String,
    /// The only server that it may write for; `None` means any.
    pub server_id: Option<String>,
    /// What the operator calls it.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Option<String>,
    /// When it expires, epoch seconds.
    pub expires_at: Option<i64>,
    /// The attributes that the endpoint cannot read. If there is one, it rejects the key.
    #[serde(serialize_with = "as_true", skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<&'static str>,
}

fn as_true<S: Serializer>(_: &[&str], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(true)
}

impl KeysTable {
    /// Stores a new key.
    pub async fn put(&self, key: &Stored) -> anyhow::Result<()> {
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
            .map_err(explain_in(&self.name))?;
        Ok(())
    }

    /// All keys, sorted by server and age.
    pub async fn all(&self) -> anyhow::Result<Vec<Stored>> {
        let scan = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true);
        let mut pages = scan.into_paginator().items().send();
        let mut keys = Vec::new();
        while let Some(item) = pages.next().await {
            keys.push(Stored::read(&item.map_err(explain_in(&self.name))?));
        }
        keys.sort_by(|left, right| {
            (&left.server_id, &left.created_at).cmp(&(&right.server_id, &right.created_at))
        });
        Ok(keys)
    }

    /// All keys of a server, sorted by age.
    pub async fn of_server(&self, server: &str) -> anyhow::Result<Vec<Stored>> {
        let mut keys = self.all().await?;
        keys.retain(|key| key.server_id.as_deref() == Some(server));
        Ok(keys)
    }

    /// Deletes a key.
    pub async fn delete(&self, key: &Stored) -> anyhow::Result<()> {
        self.client
            .delete_item()
            .table_name(&self.name)
            .key("key_sha256", AttributeValue::S(key.key_sha256.clone()))
            .send()
            .await
            .map_err(explain_in(&self.name))?;
        Ok(())
    }

    /// Sets the expiry of a key, unless the key is deleted or already expires earlier.
    pub async fn expire(&self, key: &Stored, at: DateTime<Utc>) -> anyhow::Result<()> {
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
                Err(explain_in(&self.name)(error))
            }
            _ => Ok(()),
        }
    }
}

impl Stored {
    /// Reads an item. What the endpoint cannot read is left out, and named in `malformed`.
    fn read(item: &HashMap<String, AttributeValue>) -> Self {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        let server_id = text("server_id").filter(|id| server_id::parse(id).is_ok());
        let expires_at = item.get("expires_at").and_then(|at| {
            let seconds = at.as_n().ok()?.parse().ok()?;
            DateTime::from_timestamp(seconds, 0).map(|_| seconds)
        });
        let is_read = [
            ("server_id", server_id.is_some()),
            ("expires_at", expires_at.is_some()),
        ];
        let malformed = is_read
            .into_iter()
            .filter(|(name, is_read)| !is_read && item.contains_key(*name))
            .map(|(name, _)| name)
            .collect();
        Self {
            key_sha256: text("key_sha256").unwrap_or_default(),
            server_id,
            label: text("label"),
            created_at: text("created_at"),
            expires_at,
            malformed,
        }
    }

    /// The server that the key is for, as it may be shown.
    pub fn server(&self) -> String {
        match &self.server_id {
            Some(server) => server.clone(),
            None if self.malformed.contains(&"server_id") => "malformed".to_owned(),
            None => "every server".to_owned(),
        }
    }

    /// When the key expires, relative to now.
    pub fn expiry(&self, now: DateTime<Utc>) -> String {
        let at = self
            .expires_at
            .and_then(|at| DateTime::from_timestamp(at, 0));
        match at {
            Some(at) if at > now => format!("in {}", time::words(at - now)),
            Some(at) => format!("{} ago", time::words(now - at)),
            None if self.malformed.contains(&"expires_at") => "malformed".to_owned(),
            None => "never".to_owned(),
        }
    }

    /// A description for people.
    pub fn describe(&self) -> String {
        let label = self.label.as_ref();
        let label = label.map_or(String::new(), |label| format!(", \"{}\"", printable(label)));
        format!("{} ({}{label})", self.short_digest(), self.server())
    }

    /// A prefix of the digest, long enough to identify it.
    pub fn short_digest(&self) -> String {
        printable(&self.key_sha256).chars().take(12).collect()
    }
}
