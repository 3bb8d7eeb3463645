//! Authenticates API keys.
//!
//! The digests in the environment are checked first, which needs no call. A key in the table's format is then looked
//! up in the keys table, behind a cache. Neither place holds keys, only SHA-256 digests.

mod environment;
mod table;

pub use self::environment::{KeyError, Keys};
pub use self::table::KeysTable;

use crate::error::Error;
use crate::heartbeat::ServerId;
use chrono::{DateTime, Utc};
use ring::digest::{Digest, SHA256, digest};
use tokio::time::Instant;

/// The keys that are accepted.
pub struct Auth {
    keys: Keys,
    table: Option<KeysTable>,
}

/// What an accepted key allows.
pub struct Grant<'a> {
    holder: Holder<'a>,
    /// When the lookup in the keys table started, if there was one.
    pub asked_at: Option<Instant>,
}

enum Holder<'a> {
    Environment(&'a Keys, Digest),
    /// The only server that the key may write for; `None` means any.
    Table(Option<ServerId>),
}

impl Auth {
    /// Accepts these keys, and those in the table if there is one.
    #[must_use]
    pub const fn new(keys: Keys, table: Option<KeysTable>) -> Self {
        Self { keys, table }
    }

    /// Authenticates a presented key.
    ///
    /// # Errors
    /// Returns [`Error::Unauthorized`] if the key is unknown or has expired, [`Error::MalformedKey`] if its item in the
    /// table is malformed, and [`Error::Unavailable`] or [`Error::Internal`] if the lookup failed.
    pub async fn authenticate(
        &self,
        presented: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Grant<'_>, Error> {
        let digest = digest(&SHA256, presented);
        if self.keys.contains(&digest) {
            return Ok(Grant {
                holder: Holder::Environment(&self.keys, digest),
                asked_at: None,
            });
        }
        match &self.table {
            Some(table) if table::has_key_format(presented) => {
                let (server_id, asked_at) = table.find(&digest, now).await?;
                let holder = Holder::Table(server_id);
                Ok(Grant { holder, asked_at })
            }
            _ => Err(Error::Unauthorized),
        }
    }
}

impl Grant<'_> {
    /// Whether the key may write for this server.
    #[must_use]
    pub fn allows(&self, server_id: &ServerId) -> bool {
        match &self.holder {
            Holder::Environment(keys, digest) => keys.allows(digest, server_id),
            Holder::Table(bound) => bound.as_ref().is_none_or(|bound| bound == server_id),
        }
    }
}
