//! The two writes of a heartbeat.
//!
//! Both are conditional, and a failed condition is an outcome, not an error: it means that this heartbeat, or a newer
//! one, has already been written.

use super::heartbeat::{Heartbeat, OsInfo};
use crate::aws::Clients;
use crate::fault::Fault;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, TimeDelta, Utc};
use tables::HeartbeatId;
use tables::row::Row;
use tables::server::{Reading, Upsert, is_registration};

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

    /// Writes a heartbeat to both tables, or a backlog to the metrics table only. A retry writes only what is still
    /// missing.
    ///
    /// # Errors
    /// Returns the fault of each write that failed. The other one may have succeeded.
    pub async fn record(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        received_at: DateTime<Utc>,
    ) -> Result<Registration, Vec<Fault>> {
        let append = self.append_metrics(heartbeat, id, received_at);
        if heartbeat.backlog == Some(true) {
            let appended = append.await.map_err(|fault| vec![fault]);
            return appended.map(|()| Registration::Known);
        }
        let upsert = self.upsert_server(heartbeat, id, received_at);
        let (registration, appended) = tokio::join!(upsert, append);
        match (registration, appended) {
            (Ok(registration), Ok(())) => Ok(registration),
            (registration, appended) => {
                let faults = [registration.err(), appended.err()];
                Err(faults.into_iter().flatten().collect())
            }
        }
    }

    /// Marks the server as online, unless a newer heartbeat has already done so.
    async fn upsert_server(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        received_at: DateTime<Utc>,
    ) -> Result<Registration, Fault> {
        let reading = heartbeat.metrics.map(|metrics| Reading {
            metrics,
            timestamp: Some(heartbeat.timestamp),
            received_at: Some(received_at),
        });
        let upsert = Upsert {
            server_id: &heartbeat.server_id,
            id,
            hostname: heartbeat.hostname.as_str(),
            received_at,
            os: heartbeat.os_info.as_ref().map(OsInfo::as_os),
            reading: reading.as_ref(),
        };
        let update = self.clients.servers.update_item();
        let sent = upsert
            .apply(update.table_name(&self.servers_table))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let is_new = match sent {
            Ok(output) => is_registration(output.attributes.as_ref(), id),
            Err(error) => match error.as_service_error() {
                // Even without an item in the response, the server is known: it has a newer heartbeat.
                Some(UpdateItemError::ConditionalCheckFailedException(newer)) => newer
                    .item()
                    .is_some_and(|item| is_registration(Some(item), id)),
                _ => return Err(Fault::of(error)),
            },
        };
        Ok(if is_new {
            Registration::New
        } else {
            Registration::Known
        })
    }

    /// Appends one row, unless an earlier attempt of this heartbeat has already done so.
    async fn append_metrics(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        received_at: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let Some(metrics) = heartbeat.metrics else {
            return Ok(());
        };
        let row = Row {
            timestamp: heartbeat.timestamp,
            received_at,
            metrics,
        };
        let put = self
            .clients
            .metrics
            .put_item()
            .table_name(&self.metrics_table);
        let sent = row
            .append(put, &heartbeat.server_id, id, self.retention)
            .send()
            .await;
        match sent {
            Err(error)
                if !matches!(
                    error.as_service_error(),
                    Some(PutItemError::ConditionalCheckFailedException(_))
                ) =>
            {
                Err(Fault::of(error))
            }
            _ => Ok(()),
        }
    }
}
