//! The fingerprint of a sender: whether two heartbeats of one name come from the same boot of the same machine.

use ring::digest::{Context, SHA256};

/// The first 8 hex digits of the SHA-256 of the host name, `server_guid` and `boot_id`; what is absent is empty. Each is
/// preceded by its length in bytes, as a big-endian number of 32 bits, so that no two senders are hashed alike.
#[must_use]
pub fn fingerprint(hostname: &str, server_guid: &str, boot_id: &str) -> String {
    let mut hash = Context::new(&SHA256);
    for text in [hostname, server_guid, boot_id] {
        hash.update(&(text.len() as u32).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hex::encode(&hash.finish().as_ref()[..4])
}
