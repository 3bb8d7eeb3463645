//! The sweep: reads the table, applies the decisions of the review, and announces them.

use super::announcement::Announcement;
use super::config::{Config, Rules};
use super::review::{Decision, Review};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tables::server::{self, Server};
use tables::time::Stored;
use tokio::time::timeout_at;
use tracing::{error, info, warn};

/// The maximum number of concurrent updates.
const CONCURRENCY: usize = 32;

/// The share of a sweep's time that the scan may take, in percent.
const SCAN_SHARE: u32 = 70;

/// The share of the time after the scan in which servers are judged, in percent. Publishing needs
/// some of the rest, and recording the announcements takes as many updates again.
const JUDGING_SHARE: u32 = 40;

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

/// Why a sweep failed. The next sweep does what is left.
#[derive(Debug, PartialEq, Eq)]
pub struct SweepError(String);

impl fmt::Display for SweepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SweepError {}

/// The outcome of a batch of updates.
#[derive(Default)]
struct Outcome<'a> {
    /// Servers that were updated.
    updated: Vec<&'a Server>,
    /// The number of updates that failed.
    failed: usize,
    /// The number of updates that were not started, for lack of time.
    skipped: usize,
}

impl Watchdog {
    /// A watchdog with these settings and clients.
    #[must_use]
    pub fn new(config: Config, dynamodb: Client, sns: aws_sdk_sns::Client) -> Self {
        Self {
            dynamodb,
            servers_table: config.servers_table,
            topic: config.topic_arn.map(|arn| Topic { sns, arn }),
            rules: config.rules,
            last_mass_silence: Mutex::default(),
        }
    }

    /// Runs one sweep as of this time, within the deadline.
    ///
    /// # Errors
    /// If the scan failed, an update failed, or the topic did not accept the message. The next sweep does what is left.
    pub async fn sweep(
        &self,
        time: DateTime<Utc>,
        deadline: Instant,
        request_id: &str,
    ) -> Result<(), SweepError> {
        let started = Instant::now();
        let scan_until = part_of_time_left(SCAN_SHARE, deadline);
        let decision = timeout_at(scan_until.into(), self.review(time))
            .await
            .map_err(|_| SweepError("the scan took too long".to_owned()))??;
        warn_about(&decision, request_id);

        let judge_until = part_of_time_left(JUDGING_SHARE, deadline);
        let late = decision.offline.iter().collect();
        let marked = self
            .update_all(
                Server::mark_offline,
                late,
                judge_until,
                deadline,
                request_id,
            )
            .await;
        for server in &marked.updated {
            let (server_id, last_seen) = (&server.server_id, as_stored(&server.last_seen));
            warn!(request_id, server_id, last_seen, "server offline");
        }
        if marked.skipped > 0 {
            let skipped = marked.skipped;
            warn!(
                request_id,
                skipped, "no time left to judge these late servers"
            );
        }

        let is_silenced = |server: &Server| server.silenced_until.is_some_and(|until| until > time);
        let marked_servers = marked.updated.iter().filter(|server| !is_silenced(server));
        let mut offline: Vec<_> = marked_servers
            .map(|server| server.marked_offline())
            .collect();
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
        let announced = announced.iter().collect();
        let recorded = self
            .update_all(
                Server::record_announced,
                announced,
                deadline,
                deadline,
                request_id,
            )
            .await;
        let over = returned.iter().chain(&decision.forgotten).collect();
        let ended = self
            .update_all(Server::end_absence, over, deadline, deadline, request_id)
            .await;
        for server in &ended.updated {
            let (server_id, offline_since) = (&server.server_id, as_stored(&server.offline_since));
            info!(request_id, server_id, offline_since, "server back");
        }

        info!(
            request_id,
            servers = decision.servers,
            late = decision.late,
            offline = marked.updated.len(),
            back = ended.updated.len(),
            held = decision.held,
            away = decision.away + marked.updated.len(),
            milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "sweep"
        );
        published?;
        match marked.failed + recorded.failed + recorded.skipped + ended.failed + ended.skipped {
            0 => Ok(()),
            failed => Err(SweepError(format!("{failed} updates were not made"))),
        }
    }

    /// Scans the table. Eventually consistent reads are enough, because every update has a condition.
    async fn review(&self, time: DateTime<Utc>) -> Result<Decision, SweepError> {
        let mut review = Review::new(self.rules, time);
        let scan = self.dynamodb.scan().table_name(&self.servers_table);
        let mut pages = server::scan(scan).into_paginator().send();
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

    /// Updates the servers concurrently. A failed update does not stop the others. No update starts after
    /// `begin_until`, and none continues after the deadline.
    async fn update_all<'a>(
        &self,
        update: fn(&Server, UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
        servers: Vec<&'a Server>,
        begin_until: Instant,
        deadline: Instant,
        request_id: &str,
    ) -> Outcome<'a> {
        let mut servers = servers.into_iter();
        let mut in_flight = FuturesUnordered::new();
        let mut outcome = Outcome::default();
        loop {
            while in_flight.len() < CONCURRENCY && Instant::now() < begin_until {
                let Some(server) = servers.next() else { break };
                in_flight.push(send(server, update(server, self.update()), deadline));
            }
            match in_flight.next().await {
                None => break,
                Some((server, Ok(true))) => outcome.updated.push(server),
                Some((_, Ok(false))) => {}
                Some((server, Err(reason))) => {
                    outcome.failed += 1;
                    let server_id = &server.server_id;
                    error!(request_id, server_id, reason, "update failed");
                }
            }
        }
        outcome.skipped = servers.count();
        outcome
    }

    fn update(&self) -> UpdateItemFluentBuilder {
        self.dynamodb.update_item().table_name(&self.servers_table)
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
                subject, announcement, "not published: ALERT_TOPIC_ARN is not set"
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

fn as_stored(time: &Option<Stored>) -> Option<&str> {
    time.as_ref().map(|time| time.text.as_str())
}

/// Logs one warning for each condition that needs attention.
fn warn_about(decision: &Decision, request_id: &str) {
    if decision.malformed > 0 {
        let items = decision.malformed;
        warn!(request_id, items, "items hold a time that cannot be read");
    }
    if decision.is_holding {
        let held = decision.held;
        warn!(
            request_id,
            held,
            "mass silence: a fault on our own path is more likely, so no server is judged early"
        );
    }
}

/// The time at which `share` percent of the time until the deadline has passed.
fn part_of_time_left(share: u32, deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) * share / 100
}

/// Sends an update for a server. Returns whether it was applied: a failed condition means that a heartbeat or a person
/// was faster.
async fn send(
    server: &Server,
    update: UpdateItemFluentBuilder,
    deadline: Instant,
) -> (&Server, Result<bool, String>) {
    let updated = match timeout_at(deadline.into(), update.send()).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
            _ => Err(DisplayErrorContext(error).to_string()),
        },
        Err(elapsed) => Err(elapsed.to_string()),
    };
    (server, updated)
}
