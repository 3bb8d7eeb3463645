//! Keys in a table of their own (`KEYS_TABLE`): one for each server, created and revoked without a deployment.

use super::AuthError;
use crate::fault::Fault;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::Digest;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tables::ServerId;
use tables::key::StoredKey;
use tokio::time::Instant;

/// The maximum number of cached keys, about half a megabyte.
const CAPACITY: usize = 4096;

/// The keys table, and a cache of the keys that it holds.
pub struct TableKeys {
    client: Client,
    name: String,
    cache_for: TimeDelta,
    known: Mutex<HashMap<[u8; 32], KnownKey>>,
}

/// A key that the table held when it was read. It may have expired since.
#[derive(Clone)]
struct KnownKey {
    /// The only server that the key may write for; `None` means any.
    server_id: Option<ServerId>,
    expires_at: Option<DateTime<Utc>>,
    read_at: DateTime<Utc>,
}

impl TableKeys {
    /// A table with this name. KnownKey keys are cached for `cache_for`; unknown keys are not cached.
    #[must_use]
    pub fn new(client: Client, name: String, cache_for: TimeDelta) -> Self {
        Self { client, name, cache_for, known: Mutex::default() }
    }

    /// Finds a key by its digest. Returns the only server that it may write for, and when the lookup started if there
    /// was one.
    pub(super) async fn find(
        &self,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<(Option<ServerId>, Option<Instant>), AuthError> {
        let mut digest_bytes = [0; 32];
        digest_bytes.copy_from_slice(digest.as_ref());
        let (key, asked_at) = match self.cached(&digest_bytes, now) {
            Some(key) => (key, None),
            None => {
                let asked_at = Instant::now();
                (self.look_up(digest, now).await?, Some(asked_at))
            }
        };
        if key.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(AuthError::Unknown);
        }
        if asked_at.is_some() {
            self.cache(digest_bytes, key.clone());
        }
        Ok((key.server_id, asked_at))
    }

    /// One eventually consistent `GetItem`.
    async fn look_up(&self, digest: &Digest, now: DateTime<Utc>) -> Result<KnownKey, AuthError> {
        let get = self.client.get_item().table_name(&self.name);
        let found = StoredKey::find(get, hex::encode(digest)).send().await;
        let item = found.map_err(Fault::of)?.item.ok_or(AuthError::Unknown)?;
        let key = StoredKey::from_item(&item);
        match key.malformed.first() {
            Some(attribute) => Err(AuthError::Malformed(attribute)),
            None => {
                Ok(KnownKey { server_id: key.server_id, expires_at: key.expires_at, read_at: now })
            }
        }
    }

    /// Returns a cached key that was read less than `cache_for` ago. A key that was read in the future is not trusted,
    /// because the clock has been set back since. Keys that are not trusted are evicted, so that no later clock change
    /// makes them valid again.
    fn cached(&self, digest: &[u8; 32], now: DateTime<Utc>) -> Option<KnownKey> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = known.get(digest)?;
        let age = now - key.read_at;
        if TimeDelta::zero() <= age && age < self.cache_for {
            return Some(key.clone());
        }
        known.remove(digest);
        None
    }

    /// Caches a key, and evicts the oldest one if the cache is full.
    fn cache(&self, digest: [u8; 32], key: KnownKey) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY && !known.contains_key(&digest) {
            let oldest = known.iter().min_by_key(|(_, key)| key.read_at);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                known.remove(&oldest);
            }
        }
        known.insert(digest, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C2.9: memory is bounded, and the oldest key is evicted.
    #[tokio::test]
    async fn the_cache_is_bounded() {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .build();
        let client = Client::from_conf(config);
        let table = TableKeys::new(client, "keys".to_owned(), TimeDelta::days(1));
        let start = DateTime::UNIX_EPOCH;
        let digest = |number: u32| {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&number.to_le_bytes());
            digest
        };
        let many = CAPACITY as u32 + 10;
        for number in 0..many {
            let key = KnownKey {
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
