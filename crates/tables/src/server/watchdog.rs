//! What the watchdog writes to a server's item.

use super::attribute::{
    ANNOUNCED, FULL_ON, LAST_SEEN, OFFLINE_SINCE, PROBLEMS, REGISTERED_AT, RETURNED_AT, SAID_AT,
    STATUS,
};
use super::{Change, FullOn, PENDING, Server, Status};
use crate::problem::Problems;
use crate::{Item, ServerId, time};
use aws_sdk_dynamodb::types::AttributeValue::{self, L, M, N, S};
use chrono::{DateTime, Utc};

impl Server {
    /// The server after it has been marked as offline: in the absence whose return was not recorded, or in a new one.
    #[must_use]
    pub fn marked_offline(&self, now: DateTime<Utc>) -> Self {
        let mut marked = self.clone();
        marked.status = Some(Status::Offline);
        marked.offline_since = marked.offline_since.or(marked.last_seen.clone());
        marked.returned_at = None;
        if !self.is_silenced(now) && !self.is_gone() {
            marked.announced.get_or_insert_with(|| PENDING.to_owned());
        }
        marked
    }

    /// Marks a server as offline, given [`marked_offline`](Self::marked_offline), on condition that no heartbeat has
    /// arrived since it was read. `offline_since` is always written, so that no overlapping sweep can lose it.
    #[must_use]
    pub fn mark_offline(&self) -> Change {
        let mark = Change::of(&self.server_id)
            .set(STATUS, Status::Offline.value())
            .set(OFFLINE_SINCE, stored(&self.offline_since))
            .remove(RETURNED_AT)
            .if_is(LAST_SEEN, Some(stored(&self.last_seen)))
            .if_is(STATUS, Some(Status::Online.value()));
        match &self.announced {
            Some(_) => mark.set_if_absent(ANNOUNCED, S(PENDING.to_owned())),
            None => mark,
        }
    }

    /// Writes ahead that something about this absence may have been published, on condition that it is still the same one
    /// and still going on, or still over.
    #[must_use]
    pub fn write_ahead(&self) -> Change {
        self.in_this_absence().set(ANNOUNCED, S(PENDING.to_owned()))
    }

    /// Records that an absence was announced, on condition that no other one has begun.
    #[must_use]
    pub fn record_announced(&self) -> Change {
        let since = stored(&self.offline_since);
        Change::of(&self.server_id).set(ANNOUNCED, since.clone()).if_is(OFFLINE_SINCE, Some(since))
    }

    /// Writes ahead that its removal may have been published, on condition that no heartbeat has arrived since it was read.
    #[must_use]
    pub fn write_removal_ahead(&self) -> Change {
        self.unheard(Change::of(&self.server_id).set(ANNOUNCED, S(PENDING.to_owned())))
    }

    /// Deletes the item, on the same condition.
    #[must_use]
    pub fn remove(&self) -> Change {
        self.unheard(Change::deletion(&self.server_id))
    }

    fn unheard(&self, change: Change) -> Change {
        let status = self.status.unwrap_or(Status::Offline);
        change.if_is(LAST_SEEN, Some(stored(&self.last_seen))).if_is(STATUS, Some(status.value()))
    }

    /// Notes when the server was first found online again.
    #[must_use]
    pub fn note_return(&self) -> Change {
        self.in_this_absence().set(RETURNED_AT, stored(&self.returned_at))
    }

    /// Removes an ended absence from the item, on condition that no other one has begun.
    #[must_use]
    pub fn end_absence(&self) -> Change {
        self.in_this_absence().remove(OFFLINE_SINCE).remove(ANNOUNCED).remove(RETURNED_AT)
    }

    /// On condition that `offline_since` and `status` are still those that were read.
    fn in_this_absence(&self) -> Change {
        let status = self.status.unwrap_or(Status::Online);
        Change::of(&self.server_id)
            .if_is(OFFLINE_SINCE, Some(stored(&self.offline_since)))
            .if_is(STATUS, Some(status.value()))
    }

    /// Writes `problems` as a whole, on condition that it is what was read or last written, and that the server has not
    /// been forgotten and registered again.
    #[must_use]
    pub fn write_problems(&self, problems: &Problems) -> Change {
        Change::of(&self.server_id)
            .put(PROBLEMS, problems.value())
            .if_exists()
            .if_is(PROBLEMS, problems.stored().cloned())
            .if_is(REGISTERED_AT, self.registered_at.clone().map(S))
    }
}

/// Writes when the file systems of a server are full, on condition that it has not been forgotten.
#[must_use]
pub fn write_full_on(server_id: &ServerId, full_on: &FullOn) -> Change {
    let days = full_on.iter().map(|(mount, day)| (mount.clone(), S(day.to_string())));
    let days: Item = days.collect();
    Change::of(server_id.as_str()).put(FULL_ON, (!days.is_empty()).then_some(M(days))).if_exists()
}

impl Change {
    /// Records when messages named the server.
    #[must_use]
    pub fn record_said(self, said_at: &[DateTime<Utc>]) -> Self {
        self.set(SAID_AT, seconds(said_at))
    }

    /// Removes when messages named the server, on condition that it is what was read: none has named it since.
    #[must_use]
    pub fn remove_said(self, said_at: &[DateTime<Utc>]) -> Self {
        self.remove(SAID_AT).if_is(SAID_AT, Some(seconds(said_at)))
    }
}

fn seconds(times: &[DateTime<Utc>]) -> AttributeValue {
    L(times.iter().map(|time| N(time.timestamp().to_string())).collect())
}

fn stored(time: &Option<time::Stored>) -> AttributeValue {
    S(time.as_ref().map_or_else(String::new, |time| time.text.clone()))
}
