//! The two tables and the two writes of a heartbeat.
//!
//! Both writes are conditional, and a failed condition is an outcome, not an error: it says that what
//! this heartbeat would write is there already.

use crate::error::{Error, Fault};
use crate::heartbeat::{Field, Heartbeat, HeartbeatId, Metrics, OsInfo, Timestamp};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use chrono::TimeDelta;
use std::collections::HashMap;

/// Where heartbeats are kept.
pub struct Store {
    client: Client,
    servers_table: String,
    metrics_table: String,
    retention: TimeDelta,
}

/// What a heartbeat did for its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It is the one that registered the server, now or when it was sent before.
    New,
    /// The server was there already.
    Known,
}

type Item = HashMap<String, AttributeValue>;

/// Every attribute of a server that heartbeats write.
const SERVER_ATTRIBUTES: [&str; 10] = [
    "server_id",
    "hostname",
    "status",
    "last_seen",
    "registered_at",
    "registration_id",
    "os_distribution",
    "os_version",
    "kernel_version",
    "architecture",
];

/// The id that an item keeps: the one it has, or that of the heartbeat that makes it.
///
/// An item made by hand has none. It is given the value of an attribute that it does have, so that no
/// repeat of its first heartbeat is taken for a registration.
const REGISTRATION_ID: &str = "if_not_exists(registration_id, if_not_exists(hostname, if_not_exists(#status, \
     if_not_exists(last_seen, if_not_exists(registered_at, if_not_exists(os_distribution, \
     if_not_exists(os_version, if_not_exists(kernel_version, if_not_exists(architecture, :id)))))))))";

impl Store {
    /// A store in these two tables that keeps metrics for this long.
    #[must_use]
    pub const fn new(
        client: Client,
        servers_table: String,
        metrics_table: String,
        retention: TimeDelta,
    ) -> Self {
        Self {
            client,
            servers_table,
            metrics_table,
            retention,
        }
    }

    /// Writes a heartbeat to both tables. Repeating it changes nothing but completes what is missing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where a repeat can help, [`Error::Internal`] where none can. Either write
    /// may have landed.
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
            (Err(fault @ Error::Internal(_)), _) | (_, Err(fault)) | (Err(fault), _) => Err(fault),
        }
    }

    /// Marks the server as online, unless a newer heartbeat has already done so.
    async fn upsert_server(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        received_at: Timestamp,
    ) -> Result<Registration, Error> {
        let now = AttributeValue::S(received_at.to_string());
        let mut changes = format!(
            "SET hostname = :hostname, #status = :online, last_seen = :now, \
             registered_at = if_not_exists(registered_at, :now), \
             registration_id = {REGISTRATION_ID}",
        );
        let mut update = self
            .client
            .update_item()
            .table_name(&self.servers_table)
            .set_key(Some(key(heartbeat)))
            .condition_expression("attribute_not_exists(last_seen) OR last_seen <= :now")
            .expression_attribute_names("#status", "status")
            .set_expression_attribute_values(Some(HashMap::from([
                (
                    ":hostname".into(),
                    AttributeValue::S(heartbeat.hostname.as_str().into()),
                ),
                (":online".into(), AttributeValue::S("online".into())),
                (":now".into(), now),
                (":id".into(), AttributeValue::S(id.as_str().into())),
            ])))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(os_info) = &heartbeat.os_info {
            update = replace_os_info(os_info, update, &mut changes);
        }
        let before = match update.update_expression(changes).send().await {
            Ok(output) => output.attributes,
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(stale)) => stale.item.clone(),
                _ => return Err(fault(error)),
            },
        };
        Ok(registration(before.as_ref(), id))
    }

    /// Appends one row, unless this very heartbeat has already done so.
    async fn append_metrics(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        received_at: Timestamp,
    ) -> Result<(), Error> {
        let Some(metrics) = &heartbeat.metrics else {
            return Ok(());
        };
        let sent = self
            .client
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
                Err(fault(error))
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

/// Adds the four values to an update: what was sent is set, what was not is removed.
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

/// Whether a heartbeat is the one that registered its server, from the item as it was before the write.
///
/// Attributes that heartbeats do not write show that the item was made by hand.
fn registration(before: Option<&Item>, id: &HeartbeatId) -> Registration {
    let Some(item) = before else {
        return Registration::New;
    };
    let is_new = item.keys().all(|name| name == "server_id");
    let has_own_id = item
        .get("registration_id")
        .and_then(|value| value.as_s().ok())
        .is_some_and(|own| own == id.as_str());
    let is_repeated = has_own_id
        && item
            .keys()
            .all(|name| SERVER_ATTRIBUTES.contains(&name.as_str()));
    if is_new || is_repeated {
        Registration::New
    } else {
        Registration::Known
    }
}

/// Codes with which DynamoDB refuses a write that it may accept a moment later.
const PASSING: [&str; 6] = [
    "ItemCollectionSizeLimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TransactionConflictException",
];

/// Tells what a repeat can cure from what it cannot.
///
/// Lasting is what DynamoDB itself says of the request (a missing table, denied access), or a request
/// that could not even be made. All else, from a refused connection to an answer that makes no sense,
/// may be over in a moment.
fn fault<E>(error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let lasting = match &error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(refusal) => {
            refusal.raw().status().is_client_error()
                && refusal
                    .err()
                    .code()
                    .is_some_and(|code| !PASSING.contains(&code))
        }
        _ => false,
    };
    let fault: Fault = error.into();
    if lasting {
        Error::Internal(fault)
    } else {
        Error::Unavailable(fault)
    }
}
