//! Keys in a table of their own (`KEYS_TABLE`): one for each server, created and revoked without a deployment.

use crate::error::{Error, Failure};
use crate::heartbeat::ServerId;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::Digest;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// The prefix of a key in the table.
const PREFIX: &[u8] = b"hb_";

/// The length of the rest of a key: 256 bits in base64url.
const SECRET_LENGTH: usize = 43;

/// The maximum number of cached keys, about half a megabyte.
const CAPACITY: usize = 4096;

/// The keys table, and a cache of accepted keys.
pub struct KeysTable {
    client: Client,
    name: String,
    cache_for: TimeDelta,
    accepted: Mutex<HashMap<[u8; 32], Accepted>>,
}

/// A key that the table holds.
#[derive(Clone)]
struct Accepted {
    /// The only server that the key may write for; `None` means any.
    server_id: Option<ServerId>,
    expires_at: Option<DateTime<Utc>>,
    read_at: DateTime<Utc>,
}

/// Whether a key has the format of those in the table. Only such keys are looked up, so other guesses cost no read.
pub(super) fn has_key_format(presented: &[u8]) -> bool {
    presented.strip_prefix(PREFIX).is_some_and(|secret| {
        let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        secret.len() == SECRET_LENGTH && secret.iter().all(is_base64url)
    })
}

impl KeysTable {
    /// A table with this name. Accepted keys are cached for `cache_for`; unknown keys are not cached.
    #[must_use]
    pub fn new(client: Client, name: String, cache_for: TimeDelta) -> Self {
        Self {
            client,
            name,
            cache_for,
            accepted: Mutex::default(),
        }
    }

    /// Finds a key by its digest. Returns the only server that it may write for, and when the lookup started if there
    /// was one.
    pub(super) async fn find(
        &self,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<(Option<ServerId>, Option<Instant>), Error> {
        let mut digest_bytes = [0; 32];
        digest_bytes.copy_from_slice(digest.as_ref());
        let (key, asked_at) = match self.cached(&digest_bytes, now) {
            Some(key) => (key, None),
            None => {
                let asked_at = Instant::now();
                let key = self.look_up(digest, now).await?;
                (key, Some(asked_at))
            }
        };
        if key.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(Error::Unauthorized);
        }
        if asked_at.is_some() {
            self.cache(digest_bytes, key.clone());
        }
        Ok((key.server_id, asked_at))
    }

    /// One eventually consistent `GetItem`.
    async fn look_up(&self, digest: &Digest, now: DateTime<Utc>) -> Result<Accepted, Error> {
        let found = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("key_sha256", AttributeValue::S(hex::encode(digest)))
            .send()
            .await
            .map_err(|error| Failure::join([Failure::classify(error)]))?;
        let item = found.item.ok_or(Error::Unauthorized)?;
        let server_id = item.get("server_id").map(|value| {
            let server_id = value.as_s().ok().and_then(|id| ServerId::new(id).ok());
            server_id.ok_or(Error::MalformedKey("server_id"))
        });
        let expires_at = item.get("expires_at").map(|value| {
            let seconds = value.as_n().ok().and_then(|seconds| seconds.parse().ok());
            let expires_at = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
            expires_at.ok_or(Error::MalformedKey("expires_at"))
        });
        Ok(Accepted {
            server_id: server_id.transpose()?,
            expires_at: expires_at.transpose()?,
            read_at: now,
        })
    }

    /// Returns a cached key that was read less than `cache_for` ago. A key that was read in the future is not trusted,
    /// because the clock has been set back since. Keys that are not trusted are evicted, so that no later clock change
    /// makes them valid again.
    fn cached(&self, digest: &[u8; 32], now: DateTime<Utc>) -> Option<Accepted> {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        let key = accepted.get(digest)?;
        let age = now - key.read_at;
        if TimeDelta::zero() <= age && age < self.cache_for {
            return Some(key.clone());
        }
        accepted.remove(digest);
        None
    }

    /// Caches a key, and evicts the oldest one if the cache is full.
    fn cache(&self, digest: [u8; 32], key: Accepted) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.len() >= CAPACITY && !accepted.contains_key(&digest) {
            let oldest = accepted.iter().min_by_key(|(_, key)| key.read_at);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                accepted.remove(&oldest);
            }
        }
        accepted.insert(digest, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C2.8
    #[test]
    fn only_keys_in_the_table_format_are_looked_up() {
        let secret = "Az09-_".repeat(7) + "x";
        for (presented, is_looked_up) in [
            (format!("hb_{secret}"), true),
            (format!("hb_{secret}x"), false),
            (format!("hb_{}", &secret[1..]), false),
            (format!("HB_{secret}"), false),
            (format!(" hb_{secret}"), false),
            (format!("hb_{}+", &secret[1..]), false),
            (format!("hb_{}=", &secret[1..]), false),
            (format!("hb_{}é", &secret[2..]), false),
            (secret.clone(), false),
            ("hb_".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(
                has_key_format(presented.as_bytes()),
                is_looked_up,
                "{presented}"
            );
        }
    }

    // C2.9: memory is bounded, and the oldest key is evicted.
    #[tokio::test]
    async fn the_cache_is_bounded() {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .build();
        let client = Client::from_conf(config);
        let table = KeysTable::new(client, "keys".to_owned(), TimeDelta::days(1));
        let start = DateTime::UNIX_EPOCH;
        let digest = |number: u32| {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&number.to_le_bytes());
            digest
        };
        let many = CAPACITY as u32 + 10;
        for number in 0..many {
            let key = Accepted {
                server_id: None,
                expires_at: None,
                read_at: start + TimeDelta::seconds(number.into()),
            };
            table.cache(digest(number), key);
        }
        let now = start + TimeDelta::seconds(many.into());
        let cached = (0..many).filter(|number| table.cached(&digest(*number), now).is_some());
        assert_eq!(cached.collect::<Vec<_>>(), (10..many).collect::<Vec<_>>());
    }
}
