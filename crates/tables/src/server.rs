//! The servers table: one item for each server.
//!
//! Heartbeats, the watchdog and operators write to the same item, each its own attributes, and every write has a
//! condition. [`Server::from_item`] is lenient: an attribute that cannot be read never loses the others. The watchdog and `notify`
//! keep items of their own in the same table, under ids that no server can have, and so are the rules of groups.

mod attribute;
mod change;
mod groups;
mod heartbeat;
mod item;
mod memory;
mod notify;
mod operator;
mod scan;
mod update;
mod watchdog;

pub use attribute::{ATTRIBUTES, Attribute};
pub(crate) use attribute::{Restored, is_silence, restored};
pub use change::Change;
pub(crate) use groups::GROUPS;
pub use groups::{GroupRules, Groups};
pub use heartbeat::{Upsert, is_registration, is_unnoted_return, last_sender, note_duplicate};
pub use item::{FullOn, MAX_OFFLINE_AFTER, Os, Reading, Server};
pub(crate) use memory::WATCHDOG;
pub use memory::{Gap, Memory, Rules, VERSION};
pub use notify::{Delivery, Outcome, Report, Reported, Undelivered, webhook_name};
pub use operator::{ItemOf, expect, find, forget, forget_unheard, group, limit, quiet, silence};
pub use scan::{key_of, scan, scan_for_watchdog, scan_group, server_with};
pub use update::Update;
pub use watchdog::write_full_on;

use aws_sdk_dynamodb::types::AttributeValue::{self, S};
use item::PENDING;

/// Whether a server sends heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Heartbeats set this.
    Online,
    /// The watchdog sets this.
    Offline,
}

impl Status {
    /// Reads what is stored.
    fn parse(text: &str) -> Option<Self> {
        [Self::Online, Self::Offline].into_iter().find(|status| status.as_str() == text)
    }

    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    pub(crate) fn value(self) -> AttributeValue {
        S(self.as_str().to_owned())
    }
}
