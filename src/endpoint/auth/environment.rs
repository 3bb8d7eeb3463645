//! Keys whose SHA-256 digests are in the environment (`API_KEY_SHA256`).

use ring::digest::Digest;
use std::fmt;
use subtle::{Choice, ConstantTimeEq};
use tables::ServerId;

/// The digests of the accepted keys.
#[derive(Default)]
pub struct EnvironmentKeys(Vec<Key>);

struct Key {
    digest: [u8; 32],
    /// The only server that the key may write for; `None` means any.
    server_id: Option<ServerId>,
}

impl fmt::Debug for EnvironmentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl EnvironmentKeys {
    /// Reads a comma-separated list of SHA-256 digests in hex. A digest may be bound to one server:
    /// `<hex>:<server_id>`.
    ///
    /// # Errors
    /// If the list is empty, or if an entry is malformed.
    pub fn parse(list: &str) -> Result<Self, InvalidKeys> {
        if list.trim().is_empty() {
            return Err(InvalidKeys::Empty);
        }
        let key =
            |(index, entry)| Key::parse(entry).ok_or(InvalidKeys::Malformed { entry: index + 1 });
        list.split(',').enumerate().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the digest is among these. Takes the same time whichever digest matches, or if none does.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.any(digest, |_| true)
    }

    /// Whether a key with this digest may write for this server.
    pub(super) fn allows(&self, digest: &Digest, server_id: &ServerId) -> bool {
        self.any(digest, |key| key.server_id.as_ref().is_none_or(|bound| bound == server_id))
    }

    /// Whether a key with this digest meets a condition. Always compares every key.
    fn any(&self, digest: &Digest, condition: impl Fn(&Key) -> bool) -> bool {
        let matches = |key: &Key| {
            key.digest.as_slice().ct_eq(digest.as_ref()) & Choice::from(u8::from(condition(key)))
        };
        self.0.iter().map(matches).fold(Choice::from(0), |left, right| left | right).into()
    }
}

impl Key {
    fn parse(entry: &str) -> Option<Self> {
        let (digest, server_id) = match entry.trim().split_once(':') {
            Some((digest, server_id)) => (digest, Some(ServerId::new(server_id).ok()?)),
            None => (entry.trim(), None),
        };
        let mut key = Self { digest: [0; 32], server_id };
        hex::decode_to_slice(digest, &mut key.digest).ok()?;
        Some(key)
    }
}

/// Why a list of digests is invalid. It never contains the list.
#[derive(Debug, PartialEq, Eq)]
pub enum InvalidKeys {
    /// The list is empty.
    Empty,
    /// An entry, counted from 1, is not `<64 hex digits>` or `<64 hex digits>:<server_id>`.
    Malformed {
        /// Its position in the list.
        entry: usize,
    },
}

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it holds no digest"),
            Self::Malformed { entry } => {
                write!(f, "entry {entry} is not 64 hex digits, alone or followed by :server_id")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::digest::{SHA256, digest};
    use std::cell::Cell;

    // C2.2: a black-box test cannot see which comparisons are made.
    #[test]
    fn every_digest_is_compared_whichever_matches() {
        let names = ["first", "middle", "last"];
        let digests = names.map(|key| hex::encode(digest(&SHA256, key.as_bytes())));
        let Ok(keys) = EnvironmentKeys::parse(&digests.join(",")) else {
            panic!("three digests are a list")
        };
        let known = names.map(|name| (name, true));
        for (presented, is_known) in known.into_iter().chain([("none", false)]) {
            let digest = digest(&SHA256, presented.as_bytes());
            let compared = Cell::new(0);
            let matches = keys.any(&digest, |_| {
                compared.set(compared.get() + 1);
                true
            });
            assert_eq!((compared.get(), matches), (3, is_known), "{presented}");
            assert_eq!(keys.contains(&digest), is_known, "{presented}");
        }
    }
}
