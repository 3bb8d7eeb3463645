//! The sweep: reads the table, applies the decisions of the review, and announces them.

use super::announcement::{Announcement, Contents};
use super::config::Config;
use super::limits::Judgement;
use super::review::{Decision, Review};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_sns::types::MessageAttributeValue;
use chrono::{DateTime, NaiveTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashSet;
use std::fmt;
use std::time::Instant;
use tables::server::{self, Rules, Server};
use tables::time::as_stored;
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
    digest_at: Option<NaiveTime>,
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

/// An update of a server's item.
#[derive(Clone, Copy)]
enum Write<'a> {
    /// Before anything is published.
    MarkOffline(&'a Server),
    Pending(&'a Server),
    NoteReturn(&'a Server),
    LimitsAhead(&'a Judgement),
    /// After it was.
    RecordAnnounced(&'a Server),
    EndAbsence(&'a Server),
    RecordLimits(&'a Judgement),
}

impl<'a> Write<'a> {
    fn server(self) -> &'a Server {
        match self {
            Self::MarkOffline(server)
            | Self::Pending(server)
            | Self::NoteReturn(server)
            | Self::RecordAnnounced(server)
            | Self::EndAbsence(server) => server,
            Self::LimitsAhead(judgement) | Self::RecordLimits(judgement) => &judgement.server,
        }
    }

    fn apply(self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        match self {
            Self::MarkOffline(server) => server.mark_offline(update),
            Self::Pending(server) => server.write_ahead(update),
            Self::NoteReturn(server) => server.note_return(update),
            Self::LimitsAhead(Judgement {
                server,
                ahead,
                after,
                ..
            }) => server.write_high(update, ahead.as_ref().unwrap_or(after)),
            Self::RecordAnnounced(server) => server.record_announced(update),
            Self::EndAbsence(server) => server.end_absence(update),
            Self::RecordLimits(judgement) => judgement.server.write_high(update, &judgement.after),
        }
    }
}

/// The outcome of a batch of updates.
#[derive(Default)]
struct Outcome<'a> {
    /// Updates that were applied.
    done: Vec<Write<'a>>,
    /// The number of updates that failed.
    failed: usize,
    /// Updates that were not started, for lack of time.
    skipped: Vec<Write<'a>>,
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
            digest_at: config.digest_at,
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
        let written = self.write_memory(&decision, judge_until, request_id).await;

        let ahead = self
            .update_all(writes_ahead(&decision), judge_until, deadline, request_id)
            .await;
        let skipped = ahead.skipped.iter();
        let skipped = skipped
            .filter(|write| matches!(write, Write::MarkOffline(_)))
            .count();
        if skipped > 0 {
            warn!(
                request_id,
                skipped, "no time left to judge these late servers"
            );
        }
        let marked = ahead.done.iter().filter_map(|write| match write {
            Write::MarkOffline(server) => Some(*server),
            _ => None,
        });
        let marked: Vec<_> = marked.collect();
        for server in &marked {
            let (server_id, last_seen) = (&server.server_id, as_stored(&server.last_seen));
            warn!(request_id, server_id, last_seen, "server offline");
        }

        let contents = announceable(&decision, &ahead.done, time);
        let announcement = Announcement::new(&contents, time);
        let published = self.publish(announcement, deadline, request_id).await;
        let records = if published.is_ok() {
            records(&decision, &contents)
        } else {
            Vec::new()
        };
        let forgotten = decision.forgotten.iter().map(Write::EndAbsence);
        let records = records.into_iter().chain(forgotten).collect();
        let recorded = self
            .update_all(records, deadline, deadline, request_id)
            .await;
        let mut back = 0;
        for write in &recorded.done {
            if let Write::EndAbsence(server) = write {
                back += 1;
                let (server_id, offline_since) =
                    (&server.server_id, as_stored(&server.offline_since));
                info!(request_id, server_id, offline_since, "server back");
            }
        }
        let (high, normal) = log_limits(&ahead.done, &recorded.done, request_id);
        let digest = decision.digest.as_ref();
        let digest = digest.map(|digest| Announcement::digest(digest, time));
        let told = self.publish(digest, deadline, request_id).await;

        info!(
            request_id,
            servers = decision.servers,
            late = decision.late,
            offline = marked.len(),
            back,
            held = decision.held,
            away = decision.away + marked.len(),
            high,
            normal,
            milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "sweep"
        );
        published?;
        told?;
        written?;
        match ahead.failed + recorded.failed + recorded.skipped.len() {
            0 => Ok(()),
            failed => Err(SweepError(format!("{failed} updates were not made"))),
        }
    }

    /// Scans the table. Eventually consistent reads are enough, because every update has a condition.
    async fn review(&self, time: DateTime<Utc>) -> Result<Decision, SweepError> {
        let mut review = Review::new(self.rules.clone(), self.digest_at, time);
        let scan = self.dynamodb.scan().table_name(&self.servers_table);
        let mut pages = server::scan_for_watchdog(scan).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                SweepError(format!("the scan failed: {}", DisplayErrorContext(error)))
            })?;
            page.items().iter().for_each(|item| review.add(item));
        }
        Ok(review.conclude())
    }

    /// Writes the watchdog's own item. If that fails, the sweep goes on, and fails in the end.
    async fn write_memory(
        &self,
        decision: &Decision,
        deadline: Instant,
        request_id: &str,
    ) -> Result<(), SweepError> {
        let update = decision.memory.write(self.update());
        let written = match timeout_at(deadline.into(), update.send()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => DisplayErrorContext(error).to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        let reason = format!("the watchdog's own item was not written: {written}");
        error!(request_id, reason, "update failed");
        Err(SweepError(reason))
    }

    /// Makes the updates concurrently. A failed update does not stop the others. No update starts after
    /// `begin_until`, and none continues after the deadline.
    async fn update_all<'a>(
        &self,
        writes: Vec<Write<'a>>,
        begin_until: Instant,
        deadline: Instant,
        request_id: &str,
    ) -> Outcome<'a> {
        let mut writes = writes.into_iter();
        let mut in_flight = FuturesUnordered::new();
        let mut outcome = Outcome::default();
        loop {
            while in_flight.len() < CONCURRENCY && Instant::now() < begin_until {
                let Some(write) = writes.next() else { break };
                in_flight.push(send(write, write.apply(self.update()), deadline));
            }
            match in_flight.next().await {
                None => break,
                Some((write, Ok(true))) => outcome.done.push(write),
                Some((_, Ok(false))) => {}
                Some((write, Err(reason))) => {
                    outcome.failed += 1;
                    let server_id = &write.server().server_id;
                    error!(request_id, server_id, reason, "update failed");
                }
            }
        }
        outcome.skipped = writes.collect();
        outcome
    }

    fn update(&self) -> UpdateItemFluentBuilder {
        self.dynamodb.update_item().table_name(&self.servers_table)
    }

    /// Publishes what there is to say, or logs it if there is no topic.
    async fn publish(
        &self,
        announcement: Option<Announcement>,
        deadline: Instant,
        request_id: &str,
    ) -> Result<(), SweepError> {
        let Some(announcement) = announcement else {
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
        let kinds = MessageAttributeValue::builder()
            .data_type("String.Array")
            .string_value(announcement.kinds());
        let kinds = kinds
            .build()
            .map_err(|error| SweepError(error.to_string()))?;
        let publish = topic
            .sns
            .publish()
            .topic_arn(&topic.arn)
            .message_structure("json")
            .message(announcement.message())
            .subject(announcement.subject)
            .message_attributes("kinds", kinds);
        match timeout_at(deadline.into(), publish.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let reason = DisplayErrorContext(error);
                Err(SweepError(format!("the topic failed: {reason}")))
            }
            Err(_) => Err(SweepError("the topic took too long".to_owned())),
        }
    }
}

/// What has to be written before anything is published: marks first, so that a sweep that runs out of time has judged.
fn writes_ahead(decision: &Decision) -> Vec<Write<'_>> {
    let unannounced = decision.unannounced.iter();
    let unwritten = unannounced.filter(|server| server.announced.is_none());
    let lasted = decision.back.iter().filter(|server| !server.is_pending());
    let limits = decision
        .limits
        .iter()
        .filter(|judgement| judgement.ahead.is_some());
    (decision.offline.iter().map(Write::MarkOffline))
        .chain(unwritten.chain(lasted).map(Write::Pending))
        .chain(limits.map(Write::LimitsAhead))
        .chain(decision.returning.iter().map(Write::NoteReturn))
        .collect()
}

/// What may be published: everything about which it has been written ahead, now or earlier, that something may be out.
fn announceable<'a>(
    decision: &'a Decision,
    done: &[Write<'a>],
    time: DateTime<Utc>,
) -> Contents<'a> {
    let written: HashSet<_> = done
        .iter()
        .map(|write| write.server().server_id.as_str())
        .collect();
    let is_written = |server: &Server| written.contains(server.server_id.as_str());
    let marked = decision
        .offline
        .iter()
        .filter(|server| is_written(server) && !server.is_silenced(time) && !server.is_announced());
    let unannounced = decision.unannounced.iter();
    let unannounced = unannounced.filter(|server| server.announced.is_some() || is_written(server));
    let back = decision.back.iter();
    let back = back.filter(|server| server.is_pending() || is_written(server));
    let limits = decision.limits.iter();
    let limits = limits.filter(|judged| judged.ahead.is_none() || is_written(&judged.server));
    Contents {
        offline: marked.chain(unannounced).collect(),
        back: back.collect(),
        high: limits.clone().flat_map(|judged| &judged.high).collect(),
        normal: limits.flat_map(|judged| &judged.normal).collect(),
    }
}

/// What has to be written after it was published.
fn records<'a>(decision: &'a Decision, contents: &Contents<'a>) -> Vec<Write<'a>> {
    let said = contents.high.iter().chain(&contents.normal);
    let said: HashSet<_> = said.map(|entry| entry.server_id.as_str()).collect();
    let limits = decision.limits.iter();
    let limits = limits.filter(|judged| said.contains(judged.server.server_id.as_str()));
    let offline = contents
        .offline
        .iter()
        .map(|server| Write::RecordAnnounced(server));
    let back = contents.back.iter().map(|server| Write::EndAbsence(server));
    offline
        .chain(back)
        .chain(limits.map(Write::RecordLimits))
        .collect()
}

/// Logs each metric that became high or ended to be so, and counts both.
fn log_limits(ahead: &[Write<'_>], recorded: &[Write<'_>], request_id: &str) -> (usize, usize) {
    let (mut high, mut normal) = (0, 0);
    for write in ahead {
        let Write::LimitsAhead(judgement) = write else {
            continue;
        };
        for metric in &judgement.new {
            high += 1;
            let (server_id, metric) = (&judgement.server.server_id, metric.name);
            warn!(request_id, server_id, metric, "metric high");
        }
    }
    for write in recorded {
        let Write::RecordLimits(judgement) = write else {
            continue;
        };
        for entry in &judgement.normal {
            normal += 1;
            let (server_id, metric) = (&entry.server_id, entry.metric.name);
            info!(request_id, server_id, metric, "metric normal");
        }
    }
    (high, normal)
}

/// Logs one warning for each condition that needs attention.
fn warn_about(decision: &Decision, request_id: &str) {
    if decision.malformed > 0 {
        let items = decision.malformed;
        warn!(request_id, items, "items hold a value that cannot be read");
    }
    if let Some(gap) = decision.new_gap {
        let since = tables::time::format(gap.since);
        warn!(
            request_id,
            since, "sweeps are missing: the time since then does not count as silence"
        );
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

/// Sends an update. Returns whether it was applied: a failed condition means that a heartbeat, another sweep or a person
/// was faster.
async fn send(
    write: Write<'_>,
    update: UpdateItemFluentBuilder,
    deadline: Instant,
) -> (Write<'_>, Result<bool, String>) {
    let updated = match timeout_at(deadline.into(), update.send()).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
            _ => Err(DisplayErrorContext(error).to_string()),
        },
        Err(elapsed) => Err(elapsed.to_string()),
    };
    (write, updated)
}
