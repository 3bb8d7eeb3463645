//! Authenticates API keys.
//!
//! The digests in the environment are checked first, which needs no call. A key in the table's format is then looked
//! up in the keys table, behind a cache. Neither place holds keys, only SHA-256 digests.

mod environment;
mod table;

pub use self::environment::{EnvironmentKeys, InvalidKeys};
pub use self::table::TableKeys;

use crate::fault::Fault;
use chrono::{DateTime, Utc};
use ring::digest::{Digest, SHA256, digest};
use tables::key::{self, Scope};
use tables::{Group, ServerId};
use tokio::time::Instant;

/// The keys that are accepted.
pub struct Auth {
    environment: EnvironmentKeys,
    table: Option<TableKeys>,
}

/// Why a key was not accepted.
#[derive(Debug)]
pub enum AuthError {
    /// It is unknown, or has expired.
    Unknown,
    /// Its item in the table has an unreadable attribute with this name.
    Malformed(&'static str),
    /// The lookup failed.
    Fault(Fault),
}

impl From<Fault> for AuthError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What an accepted key allows.
pub struct Grant<'a> {
    holder: Holder<'a>,
    /// When the lookup in the keys table started, if there was one.
    pub asked_at: Option<Instant>,
}

enum Holder<'a> {
    Environment(&'a EnvironmentKeys, Digest),
    Table {
        /// The servers that the key may write for; `None` means any.
        scope: Option<Scope>,
        group: Option<Group>,
    },
}

impl Auth {
    /// Accepts these keys, and those in the table if there is one.
    #[must_use]
    pub const fn new(environment: EnvironmentKeys, table: Option<TableKeys>) -> Self {
        Self { environment, table }
    }

    /// Authenticates a presented key.
    ///
    /// # Errors
    /// If the key is not accepted, or the lookup failed.
    pub async fn authenticate(
        &self,
        presented: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Grant<'_>, AuthError> {
        let digest = digest(&SHA256, presented);
        if self.environment.contains(&digest) {
            return Ok(Grant {
                holder: Holder::Environment(&self.environment, digest),
                asked_at: None,
            });
        }
        match &self.table {
            Some(table) if key::has_format(presented) => {
                let (key, asked_at) = table.find(&digest, now).await?;
                let holder = Holder::Table { scope: key.scope, group: key.group };
                Ok(Grant { holder, asked_at })
            }
            _ => Err(AuthError::Unknown),
        }
    }
}

impl Grant<'_> {
    /// Whether the key may write for this server.
    #[must_use]
    pub fn allows(&self, server_id: &ServerId) -> bool {
        match &self.holder {
            Holder::Environment(keys, digest) => keys.allows(digest, server_id),
            Holder::Table { scope, .. } => scope.as_ref().is_none_or(|scope| scope.has(server_id)),
        }
    }

    /// The group of those of its servers that have none.
    #[must_use]
    pub const fn group(&self) -> Option<&Group> {
        match &self.holder {
            Holder::Environment(..) => None,
            Holder::Table { group, .. } => group.as_ref(),
        }
    }
}
