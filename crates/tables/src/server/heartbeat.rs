//! What a heartbeat writes to its server's item.

use super::attribute::{
    AGENT_VERSION, ARCHITECTURE, Attribute, DUPLICATE_AT, HOSTNAME, KERNEL_VERSION, LAST_SEEN, M1,
    M2, M3, OS_DISTRIBUTION, OS_VERSION, READING, REGISTERED_AT, REGISTRATION_ID, SERVER_ID,
    STATUS,
};
use super::update::Update;
use super::{Os, Reading, Status};
use crate::{HeartbeatId, Item, ServerId, time};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::S;
use chrono::{DateTime, TimeDelta, Utc};

/// What a heartbeat writes to its server's item.
#[derive(Debug)]
pub struct Upsert<'a> {
    pub server_id: &'a ServerId,
    pub id: &'a HeartbeatId,
    pub hostname: &'a str,
    pub received_at: DateTime<Utc>,
    /// If absent, the stored one is removed.
    pub agent_version: Option<&'a str>,
    /// Tells the senders of one name apart.
    pub fingerprint: &'a str,
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
            .put(
                AGENT_VERSION,
                self.agent_version.map(|version| S(version.to_owned())),
            )
            .set_from(M3, M2, ":m1")
            .set_from(M2, M1, ":m1")
            .set(M1, S(self.fingerprint.to_owned()))
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

/// The time for which a note that two senders use one name is not renewed.
const NOTED_FOR: TimeDelta = TimeDelta::minutes(5);

/// Whether a sender has returned, and nobody has noted it lately, judged by the item before the write: another sender's
/// heartbeat was the last one, and this one's was among the two before.
#[must_use]
pub fn is_unnoted_return(before: &Item, fingerprint: &str, now: DateTime<Utc>) -> bool {
    let is_this = |mark: Attribute| mark.text(before).is_some_and(|text| text == fingerprint);
    let has_returned = M1.of(before).is_some() && !is_this(M1) && (is_this(M2) || is_this(M3));
    let noted_at = || {
        DUPLICATE_AT
            .text(before)
            .and_then(|text| time::parse(&text))
    };
    has_returned && noted_at().is_none_or(|at| (now - at).abs() >= NOTED_FOR)
}

/// Notes that two senders use one name, on condition that the server has not been forgotten.
#[must_use]
pub fn note_duplicate(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    now: DateTime<Utc>,
) -> UpdateItemFluentBuilder {
    Update::of(server_id.as_str())
        .set(DUPLICATE_AT, S(time::format(now)))
        .if_exists()
        .apply(update)
}
