//! The fingerprint of a heartbeat's sender.

use super::Heartbeat;
use super::text::Text;

impl Heartbeat {
    /// Tells the senders of one name apart.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        tables::fingerprint(
            self.hostname.as_str(),
            self.server_guid.0.as_ref().map_or("", Text::as_str),
            self.boot_id.0.as_ref().map_or("", Text::as_str),
        )
    }
}
