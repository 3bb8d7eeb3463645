//! API keys: who holds the one that was presented?
//!
//! The environment's digests are tried first, which costs nothing. Then, for a key of the table's form, the
//! keys table behind a cache. Neither holds a key, only SHA-256 digests.

mod environment;
mod table;

pub use self::environment::{KeyError, Keys};
pub use self::table::KeysTable;

use crate::error::Error;
use crate::heartbeat::ServerId;
use chrono::{DateTime, Utc};
use ring::digest::{Digest, SHA256, digest};
use tokio::time::Instant;

/// Who is let in.
pub struct Auth {
    keys: Keys,
    table: Option<KeysTable>,
}

/// What an accepted key allows.
pub struct Grant<'a> {
    holder: Holder<'a>,
    /// When the keys table was asked, if it was.
    pub asked_at: Option<Instant>,
}

enum Holder<'a> {
    Environment(&'a Keys, Digest),
    /// The one server that the key may write for; none means any.
    Table(Option<ServerId>),
}

impl Auth {
    /// Lets in who holds one of these keys, or one in the table.
    #[must_use]
    pub const fn new(keys: Keys, table: Option<KeysTable>) -> Self {
        Self { keys, table }
    }

    /// Recognises a presented key.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] or [`Error::MalformedKey`] if nobody is let in with it, and whatever a failed
    /// lookup becomes.
    pub async fn authenticate(
        &self,
        presented: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Grant<'_>, Error> {
        let digest = digest(&SHA256, presented);
        if self.keys.contain(&digest) {
            return Ok(Grant {
                holder: Holder::Environment(&self.keys, digest),
                asked_at: None,
            });
        }
        match &self.table {
            Some(table) if table::has_form_of_key(presented) => {
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
            Holder::Environment(keys, digest) => keys.allow(digest, server_id),
            Holder::Table(bound) => bound.as_ref().is_none_or(|bound| bound == server_id),
        }
    }
}
