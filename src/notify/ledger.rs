//! Writes what became of messages into the item of `notify` in the servers table (C11.5). If that fails, nobody gets a message
//! twice or not at all because of it.

use super::config::LedgerConfig;
use crate::aws;
use crate::settings::InvalidSetting;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use tables::condition_failed;
use tables::server::{Report, Update};
use tokio::time::{Instant, timeout_at};

/// The item, in its table.
pub struct Ledger {
    client: Client,
    table: String,
}

impl Ledger {
    /// # Errors
    /// If `AWS_CA_BUNDLE` does not name a file that contains certificates.
    pub fn new(config: LedgerConfig) -> Result<Self, InvalidSetting> {
        Ok(Self { client: aws::dynamodb(&config.aws)?, table: config.servers_table })
    }

    /// Writes what became of a message. A failure is logged.
    pub async fn write(&self, report: &Report, deadline: Instant, request_id: &str) {
        let written = timeout_at(deadline, self.try_write(report)).await;
        let written = written.unwrap_or_else(|elapsed| Err(elapsed.to_string()));
        if let Err(reason) = written {
            tracing::warn!(request_id, reason, "delivery is not recorded");
        }
    }

    async fn try_write(&self, report: &Report) -> Result<(), String> {
        if !self.send(report.together()).await? {
            for part in report.apart() {
                self.send(part).await?;
            }
        }
        for failure in report.failures() {
            self.send(failure).await?;
        }
        Ok(())
    }

    /// Returns whether it was applied: a failed condition means that something later is known.
    async fn send(&self, update: Update) -> Result<bool, String> {
        match update.apply(self.client.update_item().table_name(&self.table)).send().await {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(DisplayErrorContext(error).to_string()),
        }
    }
}
