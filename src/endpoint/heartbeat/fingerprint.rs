//! The fingerprint of a sender: whether two heartbeats of one name come from the same boot of the same machine.

use super::Heartbeat;
use super::text::Text;
use ring::digest::{Context, SHA256};

impl Heartbeat {
    /// The first 8 hex digits of the SHA-256 of the host name, `server_guid` and `boot_id`. What is absent counts as
    /// empty. Each is preceded by its length in bytes, as a big-endian number of 32 bits, so that no two senders are
    /// hashed alike.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Context::new(&SHA256);
        for text in [
            self.hostname.as_str(),
            self.server_guid.0.as_ref().map_or("", Text::as_str),
            self.boot_id.0.as_ref().map_or("", Text::as_str),
        ] {
            hash.update(&(text.len() as u32).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hex::encode(&hash.finish().as_ref()[..4])
    }
}
