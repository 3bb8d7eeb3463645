//! The sweep around the review: it reads the table, and writes and says what was decided.

use super::announcement::Announcement;
use super::review::{Decision, Review, Server};
use crate::config::{Rules, WatchdogConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::time::timeout_at;
use tracing::{error, info, warn};

/// Updates in flight at once.
const CONCURRENCY: usize = 32;

/// The share of a sweep's time after which it stops judging, in per cent. The rest is for publishing and
/// recording.
const JUDGING_SHARE: u32 = 70;

/// The attributes that a sweep reads.
const PROJECTION: &str =
    "server_id, hostname, #status, last_seen, offline_since, announced, silenced_until";

/// Watches over one servers table.
pub struct Watchdog {
    dynamodb: Client,
    servers_table: String,
    topic: Option<Topic>,
    rules: Rules,
    last_mass_silence: Mutex<Option<DateTime<Utc>>>,
}

struct Topic {
    sns: aws_sdk_sns::Client,
    arn: String,
}

/// Why a sweep failed. What it could not do, the next sweep will.
#[derive(Debug, PartialEq, Eq)]
pub struct SweepError(String);

impl fmt::Display for SweepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SweepError {}

/// An update, and the server that it is for.
struct Step<'a> {
    server: &'a Server,
    update: UpdateItemFluentBuilder,
}

/// What became of updates.
#[derive(Default)]
struct Outcome<'a> {
    /// Servers whose update was made. Where a condition failed, a heartbeat or a person was faster.
    made: Vec<&'a Server>,
    failed: usize,
    /// Updates for which there was no time.
    skipped: usize,
}

impl Watchdog {
    /// A watchdog with these settings and clients.
    #[must_use]
    pub fn new(config: WatchdogConfig, dynamodb: Client, sns: aws_sdk_sns::Client) -> Self {
        Self {
            dynamodb,
            servers_table: config.servers_table,
            topic: config.topic_arn.map(|arn| Topic { sns, arn }),
            rules: config.rules,
            last_mass_silence: Mutex::default(),
        }
    }

    /// One sweep, as of this time. It has until the deadline for everything.
    ///
    /// # Errors
    /// The scan failed, an update failed, or the topic did not take the message. What is pending is done by
    /// the next sweep.
    pub async fn sweep(
        &self,
        time: DateTime<Utc>,
        deadline: Instant,
        request_id: &str,
    ) -> Result<(), SweepError> {
        let started = Instant::now();
        let available = deadline.saturating_duration_since(started);
        let judging_until = started + available * JUDGING_SHARE / 100;

        let decision = timeout_at(judging_until.into(), self.review(time))
            .await
            .map_err(|_| SweepError("the scan took too long".to_owned()))??;
        warn_of(&decision, request_id);

        let marks = decision
            .offline
            .iter()
            .map(|server| self.mark_offline(server));
        let marked = apply(marks, judging_until, request_id).await;
        for server in &marked.made {
            let (server_id, last_seen) = (&server.server_id, &server.last_seen);
            warn!(request_id, server_id, last_seen, "server offline");
        }
        if marked.skipped > 0 {
            let skipped = marked.skipped;
            warn!(
                request_id,
                skipped, "no time left to judge these late servers"
            );
        }

        let audible = marked.made.iter().filter(|server| !server.is_silenced);
        let mut offline: Vec<_> = audible.map(|server| server.marked_offline()).collect();
        offline.extend(decision.unannounced);
        let published = timeout_at(
            deadline.into(),
            self.announce(&offline, &decision.back, time, request_id),
        )
        .await
        .unwrap_or_else(|_| Err(SweepError("the topic took too long".to_owned())));

        let (announced, returned) = match published {
            Ok(()) => (&offline[..], &decision.back[..]),
            Err(_) => (&[][..], &[][..]),
        };
        let records = announced.iter().map(|server| self.record_announced(server));
        let recorded = apply(records, deadline, request_id).await;
        let ends = returned.iter().chain(&decision.forgotten);
        let ends = ends.map(|server| self.end_absence(server));
        let ended = apply(ends, deadline, request_id).await;
        for server in &ended.made {
            let (server_id, offline_since) = (&server.server_id, &server.offline_since);
            info!(request_id, server_id, offline_since, "server back");
        }

        info!(
            request_id,
            servers = decision.servers,
            late = decision.late,
            offline = marked.made.len(),
            back = ended.made.len(),
            held = decision.held,
            away = decision.away + marked.made.len(),
            milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "sweep"
        );
        published?;
        match marked.failed + recorded.failed + recorded.skipped + ended.failed + ended.skipped {
            0 => Ok(()),
            failed => Err(SweepError(format!("{failed} updates were not made"))),
        }
    }

    /// Scans the table. Eventually consistent reads will do: every update has a condition.
    async fn review(&self, time: DateTime<Utc>) -> Result<Decision, SweepError> {
        let mut review = Review::new(self.rules, time);
        let mut pages = self
            .dynamodb
            .scan()
            .table_name(&self.servers_table)
            .projection_expression(PROJECTION)
            .expression_attribute_names("#status", "status")
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                SweepError(format!("the scan failed: {}", DisplayErrorContext(error)))
            })?;
            page.items().iter().for_each(|item| review.add(item));
        }
        let last = self.last_mass_silence.lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        let decision = review.conclude(*last);
        if decision.is_mass_silence {
            *last = Some(time);
        }
        Ok(decision)
    }

    /// Marks a server as offline, unless a heartbeat has come in between.
    fn mark_offline<'a>(&self, server: &'a Server) -> Step<'a> {
        let update = self
            .update(server)
            .update_expression("SET #status = :offline, offline_since = :seen")
            .condition_expression("last_seen = :seen AND #status = :online")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":offline", AttributeValue::S("offline".into()))
            .expression_attribute_values(":online", AttributeValue::S("online".into()))
            .expression_attribute_values(":seen", text(&server.last_seen));
        Step { server, update }
    }

    /// Records that an absence was announced, unless it is another one by now.
    fn record_announced<'a>(&self, server: &'a Server) -> Step<'a> {
        let update = self
            .update(server)
            .update_expression("SET announced = :since")
            .condition_expression("offline_since = :since")
            .expression_attribute_values(":since", text(&server.offline_since));
        Step { server, update }
    }

    /// Takes the end of an absence off the item, unless the server is in another one by now.
    fn end_absence<'a>(&self, server: &'a Server) -> Step<'a> {
        let update = self
            .update(server)
            .update_expression("REMOVE offline_since, announced")
            .condition_expression("offline_since = :since AND #status = :online")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":online", AttributeValue::S("online".into()))
            .expression_attribute_values(":since", text(&server.offline_since));
        Step { server, update }
    }

    fn update(&self, server: &Server) -> UpdateItemFluentBuilder {
        self.dynamodb
            .update_item()
            .table_name(&self.servers_table)
            .key("server_id", AttributeValue::S(server.server_id.clone()))
    }

    /// Publishes one message, or logs it if there is no topic.
    async fn announce(
        &self,
        offline: &[Server],
        back: &[Server],
        time: DateTime<Utc>,
        request_id: &str,
    ) -> Result<(), SweepError> {
        let Some(announcement) = Announcement::new(offline, back, time) else {
            return Ok(());
        };
        let Some(topic) = &self.topic else {
            let (subject, announcement) = (announcement.subject, announcement.default);
            info!(
                request_id,
                subject, announcement, "nobody to tell: ALERT_TOPIC_ARN is not set"
            );
            return Ok(());
        };
        topic
            .sns
            .publish()
            .topic_arn(&topic.arn)
            .message_structure("json")
            .message(announcement.message())
            .subject(announcement.subject)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| {
                SweepError(format!("the topic failed: {}", DisplayErrorContext(error)))
            })
    }
}

/// Warns of what somebody should look at, in one line each.
fn warn_of(decision: &Decision, request_id: &str) {
    if decision.malformed > 0 {
        let items = decision.malformed;
        warn!(request_id, items, "items hold a time that cannot be read");
    }
    if decision.is_holding {
        let held = decision.held;
        warn!(
            request_id,
            held, "mass silence: our own path is the likelier cause, nobody is judged early"
        );
    }
}

/// Makes updates, many at once, until a time. One that fails stops no other.
async fn apply<'a>(
    steps: impl Iterator<Item = Step<'a>>,
    until: Instant,
    request_id: &str,
) -> Outcome<'a> {
    let mut outcomes = stream::iter(steps)
        .map(|Step { server, update }| async move {
            if Instant::now() >= until {
                return (server, None);
            }
            (server, Some(timeout_at(until.into(), update.send()).await))
        })
        .buffer_unordered(CONCURRENCY);
    let mut outcome = Outcome::default();
    while let Some((server, result)) = outcomes.next().await {
        let reason = match result {
            None => {
                outcome.skipped += 1;
                continue;
            }
            Some(Ok(Ok(_))) => {
                outcome.made.push(server);
                continue;
            }
            Some(Ok(Err(error))) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => continue,
                _ => DisplayErrorContext(error).to_string(),
            },
            Some(Err(elapsed)) => elapsed.to_string(),
        };
        outcome.failed += 1;
        let server_id = &server.server_id;
        error!(request_id, server_id, reason, "update failed");
    }
    outcome
}

fn text(value: &Option<String>) -> AttributeValue {
    AttributeValue::S(value.clone().unwrap_or_default())
}
