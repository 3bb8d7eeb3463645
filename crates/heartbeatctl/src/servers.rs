//! Commands that change or delete a server's item. Neither ever creates one.

use crate::aws::{Aws, explain_in};
use crate::target::{SERVERS, Target};
use crate::terminal::{confirm, print};
use crate::time;
use anyhow::{anyhow, bail};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use chrono::{TimeDelta, Utc};
use clap::{ArgGroup, Args};
use serde::Serialize;
use std::io::IsTerminal;
use tables::limit::DEFAULT_LIMITS;
use tables::time::format;
use tables::{Limits, ServerId, server};

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

/// Set the silence after which a server counts as offline.
///
/// Twice the agent's interval is the least that is safe: after an outage of our own path, an agent may need one interval
/// until its next heartbeat, and one heartbeat may be lost.
#[derive(Args)]
#[command(
    group = ArgGroup::new("threshold").required(true),
    after_help = "Examples:\n  heartbeatctl --stack heartbeat expect web-1 --within 15m\n  heartbeatctl --stack heartbeat expect laptop --never"
)]
pub struct Expect {
    /// The server.
    server: ServerId,
    /// It is late after this time without a heartbeat.
    #[arg(long, group = "threshold", value_name = "DURATION", value_parser = threshold)]
    within: Option<TimeDelta>,
    /// It is never late, like a laptop.
    #[arg(long, group = "threshold")]
    never: bool,
    /// It is late when the watchdog's settings say so.
    #[arg(long, group = "threshold")]
    default: bool,
}

fn threshold(text: &str) -> Result<TimeDelta, String> {
    let threshold = time::positive_duration(text)?;
    if threshold > TimeDelta::seconds(server::MAX_OFFLINE_AFTER) {
        return Err("it is longer than a year".to_owned());
    }
    if threshold.subsec_nanos() != 0 {
        return Err("it is not a whole number of seconds".to_owned());
    }
    Ok(threshold)
}

/// Set the limits of a server's own, from which the watchdog announces its metrics as high, and show those that apply.
///
/// A limit replaces the watchdog's for this metric, and `off` means none. Limits of other metrics stay.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat limit web-1 disk_percent=97
  heartbeatctl --stack heartbeat limit web-1 disk_percent=off,load_5m=16
  heartbeatctl --stack heartbeat limit web-1 --default")]
pub struct Limit {
    /// The server.
    server: ServerId,
    /// Entries METRIC=LIMIT or METRIC=off, separated by commas.
    #[arg(value_parser = Limits::parse_own)]
    limits: Option<Limits>,
    /// Remove all limits of this server's own.
    #[arg(long, conflicts_with = "limits")]
    default: bool,
    /// The limits of the watchdog, to show which apply.
    #[arg(long, env = "LIMITS", value_name = "LIMITS", default_value = DEFAULT_LIMITS, value_parser = Limits::parse)]
    watchdog_limits: Limits,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Expected<'a> {
    server_id: &'a str,
    /// Seconds; 0 is never, and null the watchdog's setting.
    offline_after: Option<i64>,
}

#[derive(Serialize)]
struct Limited<'a> {
    server_id: &'a str,
    /// Those of its own.
    limits: Option<String>,
    applies: String,
}

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

/// Sends an update of a server that must exist.
async fn update(
    target: &Target,
    server: &ServerId,
    change: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
) -> anyhow::Result<()> {
    let aws = Aws::new(target);
    let table = aws.name(&SERVERS).await?;
    let update = aws.dynamodb().await.update_item().table_name(&table);
    let sent = change(update).send().await;
    sent.map_err(|error| match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(_)) => missing(server),
        _ => explain_in(&table)(error),
    })?;
    Ok(())
}

impl Silence {
    /// Silences a server, or ends its silence.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let until = match self.time {
            Until::Off => None,
            Until::In(duration) => Some(Utc::now() + duration),
        };
        let server = &self.server;
        update(target, server, |update| {
            server::silence(update, server, until)
        })
        .await?;
        let until = until.map(format);
        if target.json {
            let told = Silenced {
                server_id: server.as_str(),
                silenced_until: until,
            };
            return Ok(print(&serde_json::to_string(&told)?)?);
        }
        match until {
            None => eprintln!("{server} is no longer silenced."),
            Some(until) => eprintln!("{server} is silenced until {until}."),
        }
        Ok(())
    }
}

impl Expect {
    /// Sets a server's own threshold, or returns to the watchdog's.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let threshold = match (self.within, self.never) {
            (Some(within), _) => Some(within),
            (None, true) => Some(TimeDelta::zero()),
            (None, false) => None,
        };
        let server = &self.server;
        update(target, server, |update| {
            server::expect(update, server, threshold)
        })
        .await?;
        if target.json {
            let told = Expected {
                server_id: server.as_str(),
                offline_after: threshold.map(|threshold| threshold.num_seconds()),
            };
            return Ok(print(&serde_json::to_string(&told)?)?);
        }
        match threshold {
            None => eprintln!("{server} is late when the watchdog's settings say so."),
            Some(threshold) if threshold.is_zero() => eprintln!("{server} is never late."),
            Some(threshold) => {
                let threshold = time::words_in_full(threshold);
                eprintln!("{server} is late after {threshold} without a heartbeat.");
            }
        }
        Ok(())
    }
}

impl Limit {
    /// Sets a server's own limits, returns to the watchdog's, or only shows those that apply.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let server = &self.server;
        let aws = Aws::new(target);
        let table = aws.name(&SERVERS).await?;
        let get = aws.dynamodb().await.get_item().table_name(&table);
        let get = server::find(get, server).consistent_read(true);
        let found = get.send().await.map_err(explain_in(&table))?;
        let found = found.item.as_ref().and_then(server::Server::read);
        let known = found
            .ok_or_else(|| missing(server))?
            .limits
            .unwrap_or_default();
        let own = match (&self.limits, self.default) {
            (_, true) => Limits::default(),
            (Some(limits), false) => known.with(limits),
            (None, false) => known.clone(),
        };
        if self.default || self.limits.is_some() {
            let own = (!own.is_empty()).then_some(&own);
            update(target, server, |update| server::limit(update, server, own)).await?;
        }
        let applies = self.watchdog_limits.with(&own);
        if target.json {
            let told = Limited {
                server_id: server.as_str(),
                limits: (!own.is_empty()).then(|| own.to_string()),
                applies: applies.to_string(),
            };
            return Ok(print(&serde_json::to_string(&told)?)?);
        }
        Ok(print(&format!("{server}: {applies}"))?)
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
