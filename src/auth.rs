//! API keys. The function holds their SHA-256 digests, never a key.

use crate::heartbeat::ServerId;
use ring::digest::{Digest, SHA256, digest};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// The digests of the accepted keys.
pub struct Keys(Vec<Key>);

struct Key {
    digest: [u8; 32],
    /// The one server that the key may write for; none means any.
    server_id: Option<ServerId>,
}

impl Keys {
    /// Reads a comma-separated list of SHA-256 digests in hex. A digest may be bound to one server:
    /// `<hex>:<server_id>`.
    ///
    /// # Errors
    /// No digest at all, or which entry is not one.
    pub fn parse(list: &str) -> Result<Self, KeyError> {
        if list.trim().is_empty() {
            return Err(KeyError::None);
        }
        let key =
            |(index, entry)| Key::parse(entry).ok_or(KeyError::Malformed { entry: index + 1 });
        list.split(',')
            .enumerate()
            .map(key)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Recognises a presented key, in the same time whichever digest matches or none does.
    #[must_use]
    pub fn authenticate(&self, presented: &[u8]) -> Option<Grant<'_>> {
        let grant = Grant {
            keys: self,
            digest: digest(&SHA256, presented),
        };
        grant.any(|_| true).then_some(grant)
    }
}

impl Key {
    fn parse(entry: &str) -> Option<Self> {
        let (digest, server_id) = match entry.trim().split_once(':') {
            Some((digest, server_id)) => (digest, Some(ServerId::new(server_id).ok()?)),
            None => (entry.trim(), None),
        };
        let mut key = Self {
            digest: [0; 32],
            server_id,
        };
        hex::decode_to_slice(digest, &mut key.digest).ok()?;
        Some(key)
    }
}

/// What an accepted key allows.
pub struct Grant<'a> {
    keys: &'a Keys,
    digest: Digest,
}

impl Grant<'_> {
    /// Whether the key may write for this server.
    #[must_use]
    pub fn allows(&self, server_id: &ServerId) -> bool {
        self.any(|key| {
            key.server_id
                .as_ref()
                .is_none_or(|bound| bound == server_id)
        })
    }

    /// Whether the key is among those that fulfil a condition. Looks at all of them, always.
    fn any(&self, condition: impl Fn(&Key) -> bool) -> bool {
        let matches = |key: &Key| {
            key.digest.as_slice().ct_eq(self.digest.as_ref())
                & Choice::from(u8::from(condition(key)))
        };
        self.keys
            .0
            .iter()
            .map(matches)
            .fold(Choice::from(0), |any, one| any | one)
            .into()
    }
}

/// Why a list of digests cannot be used. It never repeats what was given.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is none, so nobody could ever be let in.
    None,
    /// An entry, counted from 1, is not `<64 hex digits>` or `<64 hex digits>:<server_id>`.
    Malformed {
        /// Its place in the list.
        entry: usize,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("it holds no digest"),
            Self::Malformed { entry } => {
                write!(
                    f,
                    "entry {entry} is not 64 hex digits, alone or with :server_id behind them"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    // C2.2: which comparisons are made cannot be seen from outside, so it is looked at here.
    #[test]
    fn every_digest_is_compared_whichever_matches() {
        let names = ["first", "middle", "last"];
        let digests = names.map(|key| hex::encode(digest(&SHA256, key.as_bytes())));
        let Ok(keys) = Keys::parse(&digests.join(",")) else {
            panic!("three digests are a list")
        };
        for (presented, is_known) in names
            .map(|name| (name, true))
            .into_iter()
            .chain([("none", false)])
        {
            let grant = Grant {
                keys: &keys,
                digest: digest(&SHA256, presented.as_bytes()),
            };
            let compared = Cell::new(0);
            let matches = grant.any(|_| {
                compared.set(compared.get() + 1);
                true
            });
            assert_eq!((compared.get(), matches), (3, is_known), "{presented}");
            assert_eq!(keys.authenticate(presented.as_bytes()).is_some(), is_known);
        }
    }
}
