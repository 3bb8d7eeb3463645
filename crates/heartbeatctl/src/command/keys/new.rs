//! A new key: made here, stored as its digest, and printed once.

use crate::key::Listed;
use crate::terminal::print_all;
use anyhow::anyhow;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use tables::Group;
use tables::key::{PREFIX, Scope, StoredKey};
use tables::time::format;

/// A new key, and the item that stores it.
#[derive(Serialize)]
pub struct New {
    key: String,
    #[serde(flatten)]
    pub stored: Listed,
    /// When the keys that it replaces expire at the latest, epoch seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_keys_expire_at: Option<i64>,
}

impl New {
    pub fn make(
        scope: Option<Scope>,
        group: Option<Group>,
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
            scope,
            group,
            label,
            created_at: Some(format(now)),
            expires_at: expires.map(|expires| now + expires),
            malformed: Vec::new(),
        });
        Ok(Self { key, stored, old_keys_expire_at: None })
    }

    /// The key itself, which goes nowhere but to the agent.
    pub fn secret(&self) -> &str {
        &self.key
    }

    /// Prints the key after it was stored. A key that nobody has read is of no use, but it is valid.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return self.print_with(&serde_json::to_string(self)?);
        }
        self.print_with(&self.key)?;
        eprintln!(
            "This key is shown only once. Give it to the agent; the table stores its digest."
        );
        Ok(())
    }

    /// Prints a text that holds the key, after it was stored.
    pub fn print_with(&self, text: &str) -> anyhow::Result<()> {
        print_all(text).map_err(|error| {
            let digest = self.stored.short_digest();
            anyhow!(
                "the key with the digest {digest}… is stored, but it could not be printed ({error}): \
                 revoke it with `keys revoke --digest {digest}`"
            )
        })
    }
}
