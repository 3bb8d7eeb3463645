//! The two tables and the two writes of a heartbeat.
//!
//! Both writes are conditional, and a failed condition is an outcome, not an error: it means
//! that this heartbeat, or a newer one, has already been written.

use crate::client::Clients;
use crate::error::{Error, Failure};
use crate::heartbeat::{Field, Heartbeat, HeartbeatId, Metrics, OsInfo, Timestamp};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use chrono::TimeDelta;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The tables that hold heartbeats.
pub struct Store {
    clients: Clients,
    servers_table: String,
    metrics_table: String,
    retention: TimeDelta,
}

/// Whether a heartbeat registered its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It did, now or in an earlier attempt.
    New,
    /// The server was already known.
    Known,
}

type Item = HashMap<String, AttributeValue>;

/// Every attribute that heartbeats, the watchdog and `heartbeatctl` write to a server, besides its key.
const SERVER_ATTRIBUTES: [&str; 12] = [
    "registration_id",
    "hostname",
    "status",
    "last_seen",
    "registered_at",
    "os_distribution",
    "os_version",
    "kernel_version",
    "architecture",
    "offline_since",
    "announced",
    "silenced_until",
];

/// The `registration_id` after an update: the item's own, or else the id of the heartbeat that creates the item.
///
/// An item that was created by hand has none. It gets the value of the first of [`SERVER_ATTRIBUTES`] that it
/// does have, so that a retry of its first heartbeat is not mistaken for a registration.
static REGISTRATION_ID: LazyLock<String> = LazyLock::new(|| {
    let names = SERVER_ATTRIBUTES.iter().rev();
    names.fold(":id".to_owned(), |otherwise, name| match *name {
        "status" => format!("if_not_exists(#status, {otherwise})"),
        name => format!("if_not_exists({name}, {otherwise})"),
    })
});

/// The condition of an update: no newer heartbeat has been recorded.
///
/// In DynamoDB, a comparison with a missing attribute, or with one of another type, is false. So a `last_seen` that no
/// heartbeat can have written does not block the server.
const IS_CURRENT: &str = "NOT (last_seen > :now AND last_seen <= :latest)";

/// The latest possible `last_seen`.
const LATEST: &str = "9999-12-31T23:59:59.999999Z";

impl Store {
    /// A store in these two tables. Metrics expire after `retention`.
    #[must_use]
    pub const fn new(
        clients: Clients,
        servers_table: String,
        metrics_table: String,
        retention: TimeDelta,
    ) -> Self {
        Self {
            clients,
            servers_table,
            metrics_table,
            retention,
        }
    }

    /// Writes a heartbeat to both tables. A retry writes only what is still missing.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if the failure is transient, [`Error::Internal`] if it is permanent. One of the
    /// writes may have succeeded.
    pub async fn record(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        received_at: Timestamp,
    ) -> Result<Registration, Error> {
        let (registration, appended) = tokio::join!(
            self.upsert_server(heartbeat, id, received_at),
            self.append_metrics(heartbeat, id, received_at),
        );
        match (registration, appended) {
            (Ok(registration), Ok(())) => Ok(registration),
            (registration, appended) => {
                let failures = [registration.err(), appended.err()];
                Err(Failure::join(failures.into_iter().flatten()))
            }
        }
    }

    /// Marks the server as online, unless a newer heartbeat has already done so.
    async fn upsert_server(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        received_at: Timestamp,
    ) -> Result<Registration, Failure> {
        let now = AttributeValue::S(received_at.to_string());
        let mut changes = format!(
            "SET hostname = :hostname, #status = :online, last_seen = :now, \
             registered_at = if_not_exists(registered_at, :now), \
             registration_id = {}",
            *REGISTRATION_ID,
        );
        let mut update = self
            .clients
            .servers
            .update_item()
            .table_name(&self.servers_table)
            .set_key(Some(key(heartbeat)))
            .condition_expression(IS_CURRENT)
            .expression_attribute_names("#status", "status")
            .set_expression_attribute_values(Some(HashMap::from([
                (
                    ":hostname".into(),
                    AttributeValue::S(heartbeat.hostname.as_str().into()),
                ),
                (":online".into(), AttributeValue::S("online".into())),
                (":now".into(), now),
                (":latest".into(), AttributeValue::S(LATEST.into())),
                (":id".into(), AttributeValue::S(id.as_str().into())),
            ])))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(os_info) = &heartbeat.os_info {
            update = replace_os_info(os_info, update, &mut changes);
        }
        match update.update_expression(changes).send().await {
            Ok(output) => Ok(registration(output.attributes.as_ref(), id)),
            Err(error) => match error.as_service_error() {
                // Even without an item in the response, the server is known: it has a newer heartbeat.
                Some(UpdateItemError::ConditionalCheckFailedException(newer)) => Ok(newer
                    .item()
                    .map_or(Registration::Known, |item| registration(Some(item), id))),
                _ => Err(Failure::classify(error)),
            },
        }
    }

    /// Appends one row, unless an earlier attempt of this heartbeat has already done so.
    async fn append_metrics(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        received_at: Timestamp,
    ) -> Result<(), Failure> {
        let Some(metrics) = &heartbeat.metrics else {
            return Ok(());
        };
        let sent = self
            .clients
            .metrics
            .put_item()
            .table_name(&self.metrics_table)
            .set_item(Some(self.row(heartbeat, metrics, id, received_at)))
            .condition_expression("attribute_not_exists(server_id)")
            .send()
            .await;
        match sent {
            Err(error)
                if !matches!(
                    error.as_service_error(),
                    Some(PutItemError::ConditionalCheckFailedException(_))
                ) =>
            {
                Err(Failure::classify(error))
            }
            _ => Ok(()),
        }
    }

    fn row(
        &self,
        heartbeat: &Heartbeat,
        metrics: &Metrics,
        id: &HeartbeatId,
        received_at: Timestamp,
    ) -> Item {
        let timestamp = heartbeat.timestamp.to_string();
        let expires_at = received_at.epoch_seconds() + self.retention.num_seconds();
        let mut row = metrics.attributes();
        row.extend(key(heartbeat));
        row.insert(
            "recorded_at".into(),
            AttributeValue::S(format!("{timestamp}#{}", id.as_str())),
        );
        row.insert("timestamp".into(), AttributeValue::S(timestamp));
        row.insert(
            "received_at".into(),
            AttributeValue::S(received_at.to_string()),
        );
        row.insert(
            "expires_at".into(),
            AttributeValue::N(expires_at.to_string()),
        );
        row
    }
}

fn key(heartbeat: &Heartbeat) -> Item {
    HashMap::from([(
        "server_id".into(),
        AttributeValue::S(heartbeat.server_id.as_str().into()),
    )])
}

/// Adds the four values to an update: those that were sent are set, the others are removed.
fn replace_os_info(
    os_info: &OsInfo,
    mut update: UpdateItemFluentBuilder,
    changes: &mut String,
) -> UpdateItemFluentBuilder {
    let OsInfo {
        distribution,
        version,
        kernel,
        architecture,
    } = os_info;
    let mut removed = Vec::new();
    for (name, value) in [
        ("os_distribution", distribution.attribute()),
        ("os_version", version.attribute()),
        ("kernel_version", kernel.attribute()),
        ("architecture", architecture.attribute()),
    ] {
        if let Some(value) = value {
            changes.push_str(&format!(", {name} = :{name}"));
            update = update.expression_attribute_values(format!(":{name}"), value);
        } else {
            removed.push(name);
        }
    }
    if !removed.is_empty() {
        changes.push_str(" REMOVE ");
        changes.push_str(&removed.join(", "));
    }
    update
}

/// Whether a heartbeat registered its server, judged by the item before the write.
///
/// An attribute outside [`SERVER_ATTRIBUTES`] shows that the item was created by hand.
fn registration(before: Option<&Item>, id: &HeartbeatId) -> Registration {
    let Some(item) = before else {
        return Registration::New;
    };
    let mut other_names = item.keys().filter(|name| *name != "server_id");
    let has_own_id = item
        .get("registration_id")
        .and_then(|value| value.as_s().ok())
        .is_some_and(|own| own == id.as_str());
    let is_new = if has_own_id {
        other_names.all(|name| SERVER_ATTRIBUTES.contains(&name.as_str()))
    } else {
        other_names.next().is_none()
    };
    if is_new {
        Registration::New
    } else {
        Registration::Known
    }
}
