//! The metrics table: one row for each heartbeat that had metrics, under its server and the time of its reading.

use crate::disk::items::DISKS;
use crate::{
    Disk, HeartbeatId, Item, Metrics, RECEIVED_AT, SERVER_ID, ServerId, TIMESTAMP, metric, text,
    time,
};
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use aws_sdk_dynamodb::types::Select;
use chrono::{DateTime, TimeDelta, Utc};

/// The sort key: `<the agent's timestamp>#<the heartbeat's id>`.
pub(crate) const RECORDED_AT: &str = "recorded_at";

/// From this time on, in epoch seconds, DynamoDB deletes the row.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// One row.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// When the agent took the reading, by its own clock.
    pub timestamp: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    pub metrics: Metrics,
    /// The fullest file systems; `None` if the agent sent no list.
    pub disks: Option<&'a [Disk]>,
}

/// A row as it was read. One that a person has made may lack `received_at`.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// When the agent took the reading, by its own clock.
    pub timestamp: DateTime<Utc>,
    pub received_at: Option<DateTime<Utc>>,
    pub metrics: Metrics,
    /// The fullest file systems. None if the agent sent no list, or the row is older than these lists.
    pub disks: Vec<Disk>,
}

impl Row<'_> {
    /// Appends the row of a heartbeat, unless it is there. It expires after `retention`.
    #[must_use]
    pub fn append(
        &self,
        put: PutItemFluentBuilder,
        server_id: &ServerId,
        id: &HeartbeatId,
        retention: TimeDelta,
    ) -> PutItemFluentBuilder {
        let timestamp = time::format(self.timestamp);
        let recorded_at = format!("{timestamp}#{}", id.as_str());
        let expires_at = self.received_at.timestamp() + retention.num_seconds();
        let mut item: Item = self.metrics.attributes().collect();
        for (name, value) in [
            (SERVER_ID, S(server_id.as_str().to_owned())),
            (RECORDED_AT, S(recorded_at)),
            (TIMESTAMP, S(timestamp)),
            (RECEIVED_AT, S(time::format(self.received_at))),
            (EXPIRES_AT, N(expires_at.to_string())),
        ] {
            item.insert(name.to_owned(), value);
        }
        if let Some(disks) = self.disks {
            item.insert(DISKS.to_owned(), Disk::attribute(disks));
        }
        put.set_item(Some(item)).condition_expression("attribute_not_exists(server_id)")
    }

    /// Selects the rows of a server from a time on and before another, by its own clock, with these metrics only. With
    /// `disk_percent`, they have the file systems, too.
    #[must_use]
    pub fn select(
        query: QueryFluentBuilder,
        server_id: &str,
        period: [DateTime<Utc>; 2],
        metrics: &[&str],
    ) -> QueryFluentBuilder {
        let disks = metrics.contains(&metric!("disk_percent").name).then_some(DISKS);
        let own = [RECORDED_AT, RECEIVED_AT, EXPIRES_AT].into_iter().chain(disks);
        let names: Vec<_> = own.chain(metrics.iter().copied()).collect();
        between(query, server_id, period).projection_expression(names.join(", "))
    }

    /// Counts the rows of a server from a time on and before another, by its own clock.
    #[must_use]
    pub fn count(
        query: QueryFluentBuilder,
        server_id: &str,
        period: [DateTime<Utc>; 2],
    ) -> QueryFluentBuilder {
        between(query, server_id, period).select(Select::Count)
    }

    /// Reads a row that [`Self::select`] found, unless it has expired. DynamoDB deletes it within days after that.
    #[must_use]
    pub fn from_item(item: &Item, now: DateTime<Utc>) -> Option<Recorded> {
        if is_expired(item, now) {
            return None;
        }
        Some(Recorded {
            timestamp: Self::recorded_at(item)?,
            received_at: text(item, RECEIVED_AT).and_then(|text| time::parse(&text)),
            metrics: Metrics::from_item(item),
            disks: Disk::from_item(item).unwrap_or_default(),
        })
    }

    /// The agent's timestamp in the key of a row.
    #[must_use]
    pub fn recorded_at(item: &Item) -> Option<DateTime<Utc>> {
        time::parse(text(item, RECORDED_AT)?.split('#').next()?)
    }
}

/// Whether DynamoDB may delete it any time.
pub(crate) fn is_expired(item: &Item, now: DateTime<Utc>) -> bool {
    let expires_at = item.get(EXPIRES_AT).and_then(|at| at.as_n().ok());
    expires_at.and_then(|at| at.parse::<i64>().ok()).is_some_and(|at| at <= now.timestamp())
}

pub(crate) fn between(
    query: QueryFluentBuilder,
    server_id: &str,
    [since, until]: [DateTime<Utc>; 2],
) -> QueryFluentBuilder {
    query
        .key_condition_expression("server_id = :server AND recorded_at BETWEEN :since AND :until")
        .expression_attribute_values(":server", S(server_id.to_owned()))
        .expression_attribute_values(":since", S(time::format(since)))
        .expression_attribute_values(":until", S(time::format(until)))
}
