//! What the watchdog has announced: items of the metrics table, under ids that no server can have (C12).

use crate::row::{EXPIRES_AT, RECORDED_AT, between, is_expired};
use crate::{Item, SERVER_ID, ServerId, text, time};
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
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
    /// The message that was published, or what it says of one server, as JSON.
    pub said: String,
}

/// Whose events are selected.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    Fleet,
    Server {
        id: &'a ServerId,
        /// From when on its events are kept by themselves ([`Memory`](crate::server::Memory)).
        events_since: Option<DateTime<Utc>>,
    },
}

/// Events that are together in the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    id: String,
    period: [DateTime<Utc>; 2],
}

/// The id of what was said of one server. No agent can send it, either.
fn events_of(server_id: &str) -> String {
    format!("{EVENTS}:{server_id}")
}

impl Event {
    /// Writes the event, which expires after `retention`.
    #[must_use]
    pub fn put(self, put: PutItemFluentBuilder, retention: TimeDelta) -> PutItemFluentBuilder {
        put.set_item(Some(self.item(EVENTS.to_owned(), retention)))
    }

    /// The same of what was said of one server.
    #[must_use]
    pub fn put_of_server(
        self,
        server_id: &ServerId,
        put: PutItemFluentBuilder,
        retention: TimeDelta,
    ) -> PutItemFluentBuilder {
        put.set_item(Some(self.item(events_of(server_id.as_str()), retention)))
    }

    /// Writes what was said of one server, in a batch.
    ///
    /// # Errors
    /// If the SDK demands more of an item.
    pub fn put_of(self, server_id: &str, retention: TimeDelta) -> Result<WriteRequest, BuildError> {
        let item = self.item(events_of(server_id), retention);
        let put = PutRequest::builder().set_item(Some(item)).build()?;
        Ok(WriteRequest::builder().put_request(put).build())
    }

    fn item(self, id: String, retention: TimeDelta) -> Item {
        let expires_at = self.recorded_at.timestamp() + retention.num_seconds();
        let attributes = [
            (SERVER_ID, S(id)),
            (RECORDED_AT, S(time::format(self.recorded_at))),
            (SAID, S(self.said)),
            (EXPIRES_AT, N(expires_at.to_string())),
        ];
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Reads an event that [`Part::select`] found, unless it has expired.
    #[must_use]
    pub fn from_item(item: &Item, now: DateTime<Utc>) -> Option<Self> {
        Some(Self {
            recorded_at: time::parse(&text(item, RECORDED_AT)?)?,
            said: text(item, SAID).filter(|_| !is_expired(item, now))?,
        })
    }
}

impl Subject<'_> {
    /// Where its events from a time on, up to another, are: the oldest part first. What was said before servers had events of
    /// their own has to be looked for among those of all.
    #[must_use]
    pub fn parts(self, [since, until]: [DateTime<Utc>; 2]) -> Vec<Part> {
        let all = |until| Part { id: EVENTS.to_owned(), period: [since, until] };
        let Self::Server { id, events_since: Some(from) } = self else {
            return vec![all(until)];
        };
        let before = all(until.min(from - TimeDelta::microseconds(1)));
        let own = Part { id: events_of(id.as_str()), period: [since.max(from), until] };
        let parts = [before, own].into_iter();
        parts.filter(|Part { period: [since, until], .. }| since <= until).collect()
    }
}

impl Part {
    /// Whether these are the events of one server alone.
    #[must_use]
    pub fn is_of_one_server(&self) -> bool {
        self.id != EVENTS
    }

    #[must_use]
    pub fn select(&self, query: QueryFluentBuilder) -> QueryFluentBuilder {
        between(query, &self.id, self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C12
    #[test]
    fn what_was_said_of_a_server_before_it_had_events_of_its_own_is_among_those_of_all() {
        let at =
            |seconds: i64| DateTime::from_timestamp(1_768_732_200 + seconds, 0).expect("a time");
        let id: ServerId = "web-1".parse().expect("an id");
        let parts = |events_since: Option<i64>| {
            let subject = Subject::Server { id: &id, events_since: events_since.map(at) };
            let parts = subject.parts([at(0), at(60)]).into_iter();
            let seconds = |time: DateTime<Utc>| (time - at(0)).as_seconds_f64();
            parts.map(|part| (part.id, part.period.map(seconds))).collect::<Vec<_>>()
        };
        let all = |until| ("#events".to_owned(), [0.0, until]);
        let own = |since| ("#events:web-1".to_owned(), [since, 60.0]);
        for (events_since, expected) in [
            (None, vec![all(60.0)]),
            (Some(-30), vec![own(0.0)]),
            (Some(0), vec![own(0.0)]),
            (Some(30), vec![all(29.999_999), own(30.0)]),
            (Some(90), vec![all(60.0)]),
        ] {
            assert_eq!(parts(events_since), expected, "{events_since:?}");
        }
    }
}
