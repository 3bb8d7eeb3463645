//! What the watchdog has announced: items of the metrics table, under an id that no server can have (C12).

use crate::row::{EXPIRES_AT, RECORDED_AT, between, is_expired};
use crate::{Item, SERVER_ID, text, time};
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use chrono::{DateTime, TimeDelta, Utc};

/// The id of all events. No agent can send it.
const EVENTS: &str = "#events";

/// The message, as JSON.
const SAID: &str = "said";

/// One announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The time of the sweep.
    pub recorded_at: DateTime<Utc>,
    /// The message that was published, as JSON.
    pub said: String,
}

impl Event {
    /// Writes the event, which expires after `retention`.
    #[must_use]
    pub fn put(&self, put: PutItemFluentBuilder, retention: TimeDelta) -> PutItemFluentBuilder {
        let expires_at = self.recorded_at.timestamp() + retention.num_seconds();
        put.item(SERVER_ID, S(EVENTS.to_owned()))
            .item(RECORDED_AT, S(time::format(self.recorded_at)))
            .item(SAID, S(self.said.clone()))
            .item(EXPIRES_AT, N(expires_at.to_string()))
    }

    /// Selects the events from a time on, up to another.
    #[must_use]
    pub fn select(query: QueryFluentBuilder, period: [DateTime<Utc>; 2]) -> QueryFluentBuilder {
        between(query, EVENTS, period)
    }

    /// Reads an event that [`Self::select`] found, unless it has expired.
    #[must_use]
    pub fn from_item(item: &Item, now: DateTime<Utc>) -> Option<Self> {
        Some(Self {
            recorded_at: time::parse(&text(item, RECORDED_AT)?)?,
            said: text(item, SAID).filter(|_| !is_expired(item, now))?,
        })
    }
}
