//! What a heartbeat writes to its server's item.

use super::attribute::{
    ARCHITECTURE, HOSTNAME, KERNEL_VERSION, LAST_SEEN, OS_DISTRIBUTION, OS_VERSION, READING,
    REGISTERED_AT, REGISTRATION_ID, SERVER_ID, STATUS,
};
use super::update::Update;
use super::{Os, Reading, Status};
use crate::{HeartbeatId, Item, ServerId, time};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::S;
use chrono::{DateTime, Utc};

/// What a heartbeat writes to its server's item.
#[derive(Debug)]
pub struct Upsert<'a> {
    pub server_id: &'a ServerId,
    pub id: &'a HeartbeatId,
    pub hostname: &'a str,
    pub received_at: DateTime<Utc>,
    /// If present, it replaces the four stored values as a block.
    pub os: Option<Os<&'a str>>,
    /// If present, it replaces the stored one.
    pub reading: Option<&'a Reading>,
}

/// A comparison with a missing attribute, or with one of another type, is false. So a `last_seen` that no heartbeat can
/// have written does not block the server.
const IS_CURRENT: &str = "NOT (last_seen > :last_seen AND last_seen <= :latest)";

impl Upsert<'_> {
    /// Marks the server as online, on condition that no newer heartbeat has been recorded.
    #[must_use]
    pub fn apply(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let now = S(time::format(self.received_at));
        let mut upsert = Update::of(self.server_id.as_str())
            .set(HOSTNAME, S(self.hostname.to_owned()))
            .set(STATUS, Status::Online.value())
            .set(LAST_SEEN, now.clone())
            .set_if_absent(REGISTERED_AT, now)
            .set_if_absent(REGISTRATION_ID, S(self.id.as_str().to_owned()))
            .value(":latest", S(time::LATEST.to_owned()))
            .if_holds(IS_CURRENT);
        if let Some(reading) = self.reading {
            upsert = upsert.set(READING, reading.value());
        }
        if let Some(os) = &self.os {
            for (attribute, value) in [
                (OS_DISTRIBUTION, os.distribution),
                (OS_VERSION, os.version),
                (KERNEL_VERSION, os.kernel),
                (ARCHITECTURE, os.architecture),
            ] {
                upsert = upsert.put(attribute, value.map(|text| S(text.to_owned())));
            }
        }
        upsert.apply(update)
    }
}

/// Whether a heartbeat registered its server, judged by the item before the write: the item did not exist, held nothing
/// but its key, or was created by this heartbeat in an earlier attempt.
#[must_use]
pub fn is_registration(before: Option<&Item>, id: &HeartbeatId) -> bool {
    before.is_none_or(|item| {
        item.keys().all(|name| name == SERVER_ID.name())
            || REGISTRATION_ID.text(item).as_deref() == Some(id.as_str())
    })
}
