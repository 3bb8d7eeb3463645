//! Commands that change or delete a server's item. Neither ever creates one.

use crate::aws::{Aws, explain_in};
use crate::target::{SERVERS, Target};
use crate::terminal::{confirm, print};
use crate::{server_id, time};
use anyhow::{anyhow, bail};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{TimeDelta, Utc};
use clap::Args;
use serde_json::json;
use std::io::IsTerminal;

/// Keep the watchdog from announcing a server, for a time.
///
/// The server is still marked as online or offline; what still holds when the silence ends is announced then.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat silence web-1 2h")]
pub struct Silence {
    /// The server.
    #[arg(value_parser = server_id::parse)]
    server: String,
    /// For how long from now (2h, 3days), or `off`.
    #[arg(value_parser = until)]
    time: Until,
}

#[derive(Clone)]
enum Until {
    Off,
    In(TimeDelta),
}

fn until(text: &str) -> Result<Until, String> {
    match text {
        "off" => Ok(Until::Off),
        text => time::positive_duration(text).map(Until::In),
    }
}

/// Remove a server from the table, for example when it is retired.
///
/// Its metrics expire by themselves.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat forget web-1")]
pub struct Forget {
    /// The server.
    #[arg(value_parser = server_id::parse)]
    server: String,
    /// Do not ask on the terminal.
    #[arg(long)]
    yes: bool,
}

impl Silence {
    /// Silences a server, or ends its silence.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let table = aws.name(&SERVERS).await?;
        let update = aws
            .dynamodb()
            .await
            .update_item()
            .table_name(&table)
            .key("server_id", AttributeValue::S(self.server.clone()))
            .condition_expression("attribute_exists(server_id)");
        let until = match self.time {
            Until::Off => None,
            Until::In(duration) => Some(time::stored(Utc::now() + duration)),
        };
        let update = match &until {
            None => update.update_expression("REMOVE silenced_until"),
            Some(until) => update
                .update_expression("SET silenced_until = :until")
                .expression_attribute_values(":until", AttributeValue::S(until.clone())),
        };
        update
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => missing(&self.server),
                _ => explain_in(&table)(error),
            })?;
        if target.json {
            let told = json!({ "server_id": self.server, "silenced_until": until });
            return Ok(print(&told.to_string())?);
        }
        match until {
            None => eprintln!("{} is no longer silenced.", self.server),
            Some(until) => eprintln!("{} is silenced until {until}.", self.server),
        }
        Ok(())
    }
}

impl Forget {
    /// Deletes a server's item.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let table = aws.name(&SERVERS).await?;
        let dynamodb = aws.dynamodb().await;
        let key = AttributeValue::S(self.server.clone());
        let get = dynamodb.get_item().table_name(&table);
        let get = get.key("server_id", key.clone()).consistent_read(true);
        let found = get.send().await.map_err(explain_in(&table))?;
        if found.item.is_none() {
            bail!(missing(&self.server));
        }
        let warning = "If its agent is still running, its next heartbeat registers it again.";
        // Scripts are not asked: a live server comes back with its next heartbeat.
        let yes = self.yes || !std::io::stdin().is_terminal();
        confirm(&format!("Forget {}? {warning}", self.server), yes)?;
        dynamodb
            .delete_item()
            .table_name(&table)
            .key("server_id", key)
            .condition_expression("attribute_exists(server_id)")
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => missing(&self.server),
                _ => explain_in(&table)(error),
            })?;
        if target.json {
            print(&json!({ "server_id": self.server }).to_string())?;
        }
        eprintln!("{} is forgotten. {warning}", self.server);
        Ok(())
    }
}

fn missing(server: &str) -> anyhow::Error {
    anyhow!("there is no server {server}")
}
