//! Keys in a table of their own (`KEYS_TABLE`): for a server or for many, created and revoked without a deployment.

use super::AuthError;
use crate::fault::Fault;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::Digest;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tables::Group;
use tables::key::{Scope, StoredKey};
use tokio::time::Instant;

/// The maximum number of cached keys, about 11 MB.
const CAPACITY: usize = 32_768;

/// The keys table, and a cache of the keys that it holds.
pub struct TableKeys {
    client: Client,
    name: String,
    cache_for: TimeDelta,
    known: Mutex<HashMap<[u8; 32], KnownKey>>,
}

/// A key that the table held when it was read. It may have expired since.
#[derive(Clone)]
pub(super) struct KnownKey {
    /// The servers that the key may write for; `None` means any.
    pub scope: Option<Scope>,
    pub group: Option<Group>,
    expires_at: Option<DateTime<Utc>>,
    read_at: DateTime<Utc>,
}

impl TableKeys {
    /// A table with this name. KnownKey keys are cached for `cache_for`; unknown keys are not cached.
    #[must_use]
    pub fn new(client: Client, name: String, cache_for: TimeDelta) -> Self {
        Self { client, name, cache_for, known: Mutex::default() }
    }

    /// Finds a key by its digest. Returns also when the lookup started if there was one.
    pub(super) async fn find(
        &self,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<(KnownKey, Option<Instant>), AuthError> {
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
        Ok((key, asked_at))
    }

    /// One eventually consistent `GetItem`.
    async fn look_up(&self, digest: &Digest, now: DateTime<Utc>) -> Result<KnownKey, AuthError> {
        let get = self.client.get_item().table_name(&self.name);
        let found = StoredKey::find(get, hex::encode(digest)).send().await;
        let item = found.map_err(Fault::of)?.item.ok_or(AuthError::Unknown)?;
        let key = StoredKey::from_item(&item);
        match key.malformed.first() {
            Some(attribute) => Err(AuthError::Malformed(attribute)),
            None => Ok(KnownKey {
                scope: key.scope,
                group: key.group,
                expires_at: key.expires_at,
                read_at: now,
            }),
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

    /// Caches a key. If the cache is full, an eighth is evicted first, the oldest: to find them, all have to be looked at.
    fn cache(&self, digest: [u8; 32], key: KnownKey) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY && !known.contains_key(&digest) {
            let mut times: Vec<_> = known.values().map(|key| key.read_at).collect();
            let (_, newest, _) = times.select_nth_unstable(CAPACITY / 8 - 1);
            known.retain(|_, key| key.read_at > *newest);
        }
        known.insert(digest, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C2.9: memory is bounded, and the oldest keys are evicted.
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
        let end = start + TimeDelta::seconds(CAPACITY as i64 + 10);
        let cached = |table: &TableKeys| {
            let numbers = 0..CAPACITY as u32 + 10;
            numbers
                .filter(|number| table.cached(&digest(*number), end).is_some())
                .collect::<Vec<_>>()
        };
        let (full, many) = (CAPACITY as u32, CAPACITY as u32 + 10);
        for number in 0..many {
            let key = KnownKey {
                scope: None,
                group: None,
                expires_at: None,
                read_at: start + TimeDelta::seconds(number.into()),
            };
            table.cache(digest(number), key);
            if number == full - 1 {
                assert_eq!(cached(&table), (0..full).collect::<Vec<_>>());
            }
        }
        assert_eq!(cached(&table), (full / 8..many).collect::<Vec<_>>());
    }
}
