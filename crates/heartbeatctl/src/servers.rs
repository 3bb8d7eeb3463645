//! Commands that change or delete a server's item. Neither ever creates one.

use crate::aws::{Aws, explain_in};
use crate::target::{SERVERS, Target};
use crate::terminal::{confirm, print};
use crate::time;
use anyhow::{anyhow, bail};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use chrono::{TimeDelta, Utc};
use clap::Args;
use serde::Serialize;
use std::io::IsTerminal;
use tables::time::format;
use tables::{ServerId, server};

/// Keep the watchdog from announcing a server, for a time.
///
/// The server is still marked as online or offline; what still holds when the silence ends is announced then.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat silence web-1 2h")]
pub struct Silence {
    /// The server.
    server: ServerId,
    /// For how long from now (2h, 3days), or `off`.
    #[arg(value_parser = until)]
    time: Until,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Silenced<'a> {
    server_id: &'a str,
    silenced_until: Option<String>,
}

#[derive(Serialize)]
struct Forgotten<'a> {
    server_id: &'a str,
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
    server: ServerId,
    /// Do not ask on the terminal.
    #[arg(long)]
    yes: bool,
}

impl Silence {
    /// Silences a server, or ends its silence.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let table = aws.name(&SERVERS).await?;
        let until = match self.time {
            Until::Off => None,
            Until::In(duration) => Some(Utc::now() + duration),
        };
        let update = aws.dynamodb().await.update_item().table_name(&table);
        server::silence(update, &self.server, until)
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => missing(&self.server),
                _ => explain_in(&table)(error),
            })?;
        let until = until.map(format);
        if target.json {
            let told = Silenced {
                server_id: self.server.as_str(),
                silenced_until: until,
            };
            return Ok(print(&serde_json::to_string(&told)?)?);
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
        let get = dynamodb.get_item().table_name(&table).consistent_read(true);
        let found = server::find(get, &self.server)
            .send()
            .await
            .map_err(explain_in(&table))?;
        if found.item.is_none() {
            bail!(missing(&self.server));
        }
        let warning = "If its agent is still running, its next heartbeat registers it again.";
        // Scripts are not asked: a live server comes back with its next heartbeat.
        let yes = self.yes || !std::io::stdin().is_terminal();
        confirm(&format!("Forget {}? {warning}", self.server), yes)?;
        let delete = dynamodb.delete_item().table_name(&table);
        server::forget(delete, &self.server)
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => missing(&self.server),
                _ => explain_in(&table)(error),
            })?;
        if target.json {
            let told = Forgotten {
                server_id: self.server.as_str(),
            };
            print(&serde_json::to_string(&told)?)?;
        }
        eprintln!("{} is forgotten. {warning}", self.server);
        Ok(())
    }
}

fn missing(server: &ServerId) -> anyhow::Error {
    anyhow!("there is no server {server}")
}
