//! The two writes of a heartbeat, and the rare third one.
//!
//! Both are conditional, and a failed condition is an outcome, not an error: it means that this heartbeat, or a newer
//! one, has already been written.

use super::heartbeat::{Heartbeat, OsInfo, Text};
use crate::aws::Clients;
use crate::fault::Fault;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, TimeDelta, Utc};
use tables::row::Row;
use tables::server::{Reading, Upsert, is_registration, is_unnoted_return, note_duplicate};
use tables::{Group, HeartbeatId, ServerId, condition_failed};

/// The tables that hold heartbeats.
pub struct Store {
    clients: Clients,
    servers_table: String,
    metrics_table: String,
    retention: TimeDelta,
}

/// What a heartbeat that was written says about its server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Whether it registered the server, now or in an earlier attempt.
    pub is_registration: bool,
    /// Whether its sender has returned, which has to be noted.
    pub is_unnoted_return: bool,
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
        Self { clients, servers_table, metrics_table, retention }
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
        group: Option<&Group>,
        received_at: DateTime<Utc>,
    ) -> Result<Recorded, Vec<Fault>> {
        let append = self.append_metrics(heartbeat, id, received_at);
        if heartbeat.backlog == Some(true) {
            return append.await.map_err(|fault| vec![fault]).map(|()| Recorded::default());
        }
        let upsert = self.upsert_server(heartbeat, id, group, received_at);
        let (upserted, appended) = tokio::join!(upsert, append);
        match (upserted, appended) {
            (Ok(recorded), Ok(())) => Ok(recorded),
            (upserted, appended) => {
                let faults = [upserted.err(), appended.err()];
                Err(faults.into_iter().flatten().collect())
            }
        }
    }

    /// Marks the server as online, unless a newer heartbeat has already done so.
    async fn upsert_server(
        &self,
        heartbeat: &Heartbeat,
        id: &HeartbeatId,
        group: Option<&Group>,
        received_at: DateTime<Utc>,
    ) -> Result<Recorded, Fault> {
        let fingerprint = heartbeat.fingerprint();
        let reading = heartbeat.metrics.map(|metrics| Reading {
            metrics,
            timestamp: Some(heartbeat.timestamp),
            received_at: Some(received_at),
            disks: heartbeat.filesystems.0.clone(),
            services: heartbeat.services.0.clone(),
        });
        let upsert = Upsert {
            server_id: &heartbeat.server_id,
            id,
            hostname: heartbeat.hostname.stored(),
            received_at,
            is_leaving: heartbeat.leaving.0 == Some(true),
            group,
            agent_version: heartbeat.agent_version.0.as_ref().map(Text::as_str),
            fingerprint: &fingerprint,
            os: heartbeat.os_info.as_ref().map(OsInfo::stored),
            reading: reading.as_ref(),
        };
        let update = self.clients.servers.update_item();
        let sent = upsert
            .apply(update.table_name(&self.servers_table))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(output) => {
                let before = output.attributes.as_ref();
                Ok(Recorded {
                    is_registration: is_registration(before, id),
                    is_unnoted_return: before
                        .is_some_and(|item| is_unnoted_return(item, &fingerprint, received_at)),
                })
            }
            Err(error) => match error.as_service_error() {
                // Even without an item in the response, the server is known: it has a newer heartbeat.
                Some(UpdateItemError::ConditionalCheckFailedException(newer)) => Ok(Recorded {
                    is_registration: newer
                        .item()
                        .is_some_and(|item| is_registration(Some(item), id)),
                    is_unnoted_return: false,
                }),
                _ => Err(Fault::of(error)),
            },
        }
    }

    /// Notes that two senders use one name.
    ///
    /// # Errors
    /// Returns the fault if it could not be noted. The next return notes it.
    pub async fn note_duplicate(
        &self,
        server_id: &ServerId,
        received_at: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let update = self.clients.servers.update_item().table_name(&self.servers_table);
        match note_duplicate(update, server_id, received_at).send().await {
            Err(error) if !condition_failed(&error) => Err(Fault::of(error)),
            // Whoever is forgotten in between is not noted.
            _ => Ok(()),
        }
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
            disks: heartbeat.filesystems.0.as_deref(),
        };
        let put = self.clients.metrics.put_item().table_name(&self.metrics_table);
        match row.append(put, &heartbeat.server_id, id, self.retention).send().await {
            Err(error) if !condition_failed(&error) => Err(Fault::of(error)),
            _ => Ok(()),
        }
    }
}
