//! The sweep: calls, deadlines and the log. What is decided between the calls is in the review and the plan.

use super::announcement::SnsMessage;
use super::config::{Config, EventsConfig};
use super::days::Days;
use crate::aws;
use crate::webhook::{self, Address, HttpClient};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::WriteRequest;
use aws_sdk_sns::error::BuildError;
use aws_sdk_sns::types::MessageAttributeValue;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use lambda_http::http::Method;
use std::borrow::Borrow;
use std::fmt::Display;
use std::time::Duration;
use tables::condition_failed;
use tables::event::Event;
use tables::server::{self, Change, Groups, Memory, Rules};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{error, info, warn};
use verdict::digest::{Digest, Schedule};
use verdict::transition::{News, Write};
use verdict::{Decision, Due, Review};

/// The maximum number of concurrent updates.
const CONCURRENCY: usize = 32;

/// The share of a sweep's time that the scan may take, in percent.
const SCAN_SHARE: u32 = 70;

/// The share of the time after the scan in which servers are judged, in percent. Publishing needs
/// some of the rest, and recording the announcements takes as many updates again.
const JUDGING_SHARE: u32 = 40;

/// The most items that DynamoDB writes in one request.
const BATCH: usize = 25;

/// The pause before what DynamoDB left out of a batch is sent again. It doubles each time.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

/// The share of the time after all else in which days are begun, in percent. The rest is for those that have been begun.
const DAYS_SHARE: u32 = 70;

/// How long the request to `PING_URL` may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Watches over one servers table.
pub struct Watchdog {
    dynamodb: Client,
    /// The same for the scan: a sweep that cannot read is none.
    patient: Client,
    servers_table: String,
    topic: Option<Topic>,
    rules: Rules,
    digest: Option<Schedule>,
    events: Option<EventsConfig>,
    days: Option<Days>,
    ping: Option<Ping>,
    page_url: Option<String>,
}

/// Whoever notices when there are no sweeps.
struct Ping {
    address: Address,
    http: HttpClient,
}

struct Topic {
    sns: aws_sdk_sns::Client,
    arn: String,
}

/// Why a sweep failed. The next sweep does what is left.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SweepError(String);

/// The outcome of a batch of updates.
struct Outcome<W> {
    /// Updates that were applied.
    /// Each with its place.
    done: Vec<(usize, W)>,
    /// The number of updates that failed.
    failed: usize,
    /// Updates that were not started, for lack of time.
    skipped: Vec<W>,
}

impl Watchdog {
    /// A watchdog with these settings and clients.
    ///
    /// # Errors
    /// If TLS cannot be set up for `PING_URL`.
    pub fn new(
        config: Config,
        dynamodb: Client,
        sns: aws_sdk_sns::Client,
    ) -> Result<Self, rustls::Error> {
        let ping = config.ping.map(|address| {
            let http = webhook::client()?;
            Ok::<_, rustls::Error>(Ping { address, http })
        });
        Ok(Self {
            days: config.days.map(|days| Days::new(days, config.servers_table.clone(), &dynamodb)),
            patient: aws::patient(&dynamodb),
            dynamodb,
            servers_table: config.servers_table,
            topic: config.topic_arn.map(|arn| Topic { sns, arn }),
            rules: config.rules,
            digest: config.digest,
            events: config.events,
            ping: ping.transpose()?,
            page_url: config.page_url,
        })
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
        let sweep = Sweep { watchdog: self, time, started: Instant::now(), deadline, request_id };
        let memory = sweep.recall(sweep.part_of_time_left(SCAN_SHARE)).await?;
        // Whose days this sweep writes. They are found in its scan.
        let days = self.days.as_ref();
        let mut due = days.map(|_| Due::new(memory.rolled_until, time));
        sweep.run(memory, due.as_mut()).await?;
        sweep.write_days(due.as_ref()).await
    }
}

/// One run over the table.
struct Sweep<'a> {
    watchdog: &'a Watchdog,
    time: DateTime<Utc>,
    started: Instant,
    deadline: Instant,
    request_id: &'a str,
}

impl Sweep<'_> {
    /// Scan, remember, write ahead, publish, record; then the digest, and what was said of each server. What fails
    /// after the scan does not stop the rest.
    async fn run(&self, memory: Memory, due: Option<&mut Due>) -> Result<(), SweepError> {
        let decision = self.scan(memory, due).await?;
        let judge_until = self.part_of_time_left(JUDGING_SHARE);
        let memory_written = self.remember(&decision, judge_until).await;

        let plan = &decision.plan;
        let ahead = self.write(plan.ahead(), judge_until).await;
        self.warn_about_skipped(&ahead);
        let written = ahead.done.iter().map(|(place, _)| *place).collect();
        let say = plan.say(&written);
        let announcements = say.iter().map(|(_, announcement)| (*announcement).clone()).collect();
        let (zone, page_url) = (&self.watchdog.rules.zone, self.watchdog.page_url.as_deref());
        let message = SnsMessage::new(announcements, self.time, zone, page_url);
        let published = self.publish(message.as_ref()).await;
        let said = message.as_ref().filter(|_| published.is_ok());
        let places = say.iter().map(|(place, _)| *place);
        let named = said.map_or_else(Vec::new, |said| said.named(places));
        let records = plan.after(&named).into_iter().enumerate();
        let recorded = self.write(records, self.deadline).await;
        let noted = self.note_event(said).await;
        let digest = self.send_digest(decision.digest.as_ref()).await;
        let is_first = noted.is_ok() && decision.memory.events_since.is_none();
        let noted_by_server = self.note_events_by_server(said, is_first).await;
        self.log(&decision, &ahead, &recorded);
        published.and(digest).and(noted).and(noted_by_server).and(memory_written)?;
        match ahead.failed + recorded.failed + recorded.skipped.len() {
            0 => {}
            failed => return Err(SweepError(format!("{failed} updates were not made"))),
        }
        if ahead.skipped.is_empty() {
            self.ping().await;
        }
        Ok(())
    }

    /// Reads the table, and decides. Eventually consistent reads are enough, because every update has a condition.
    async fn scan(
        &self,
        memory: Memory,
        mut due: Option<&mut Due>,
    ) -> Result<Decision, SweepError> {
        let watchdog = self.watchdog;
        let scan_until = self.part_of_time_left(SCAN_SHARE);
        let groups = self.read_groups(scan_until).await?;
        let (rules, schedule) = (watchdog.rules.clone(), watchdog.digest.as_ref());
        let mut review = Review::new(rules, groups, memory, schedule, self.time);
        let mut start = None;
        loop {
            let table = watchdog.patient.scan().table_name(&watchdog.servers_table);
            let scan = server::scan_for_watchdog(table, review.is_digest_due(), review.metrics());
            let next_page = scan.set_exclusive_start_key(start.clone()).send();
            let page = timeout_at(scan_until, next_page)
                .await
                .map_err(|_| SweepError("the scan took too long".to_owned()))?
                .map_err(|error| {
                    SweepError(format!("the scan failed: {}", DisplayErrorContext(error)))
                })?;
            if review.extend_metrics(page.items()) {
                continue;
            }
            for item in page.items() {
                review.add(item);
                if let Some(due) = &mut due {
                    due.add(item);
                }
            }
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                break;
            }
        }
        let decision = review.conclude();
        self.warn_about(&decision);
        Ok(decision)
    }

    /// Reads the rules of groups, before any server is judged.
    async fn read_groups(&self, until: Instant) -> Result<Groups, SweepError> {
        let watchdog = self.watchdog;
        let get = watchdog.patient.get_item().table_name(&watchdog.servers_table);
        let read = timeout_at(until, Groups::find(get).send()).await;
        let read = read.map_err(|_| SweepError("reading #groups took too long".to_owned()))?;
        let found = read.map_err(|error| {
            SweepError(format!("#groups cannot be read: {}", DisplayErrorContext(error)))
        })?;
        let groups = Groups::from_item(found.item.as_ref());
        if !groups.malformed.is_empty() {
            let groups = groups.malformed.join(", ");
            warn!(request_id = self.request_id, groups, "groups have a rule that cannot be read");
        }
        Ok(groups)
    }

    /// Reads the watchdog's own item before the scan, because servers are judged while they are read.
    async fn recall(&self, until: Instant) -> Result<Memory, SweepError> {
        let get = self.watchdog.patient.get_item().table_name(&self.watchdog.servers_table);
        let read = timeout_at(until, Memory::find(get).send())
            .await
            .map_err(|_| SweepError("the watchdog's own item took too long".to_owned()))?;
        let read = read.map_err(|error| {
            let reason = DisplayErrorContext(error);
            SweepError(format!("the watchdog's own item was not read: {reason}"))
        })?;
        Ok(read.item.as_ref().and_then(Memory::from_item).unwrap_or_default())
    }

    /// Writes the watchdog's own item. If that fails, the sweep goes on, and fails in the end.
    async fn remember(&self, decision: &Decision, until: Instant) -> Result<(), SweepError> {
        let request_id = self.request_id;
        let update = decision.memory.write(decision.is_rescheduled).request(self.update());
        let written = match timeout_at(until, update.send()).await {
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
    async fn write<W: Borrow<Write>>(
        &self,
        mut writes: impl Iterator<Item = (usize, W)>,
        begin_until: Instant,
    ) -> Outcome<W> {
        let mut in_flight = FuturesUnordered::new();
        let mut outcome = Outcome { done: Vec::new(), failed: 0, skipped: Vec::new() };
        loop {
            while in_flight.len() < CONCURRENCY && Instant::now() < begin_until {
                let Some((place, write)) = writes.next() else { break };
                in_flight.push(async move {
                    let made = self.make(&write.borrow().change).await;
                    (place, write, made)
                });
            }
            match in_flight.next().await {
                None => break,
                Some((place, write, Ok(true))) => {
                    self.log_news(write.borrow());
                    outcome.done.push((place, write));
                }
                Some((_, _, Ok(false))) => {}
                Some((_, write, Err(reason))) => {
                    outcome.failed += 1;
                    let request_id = self.request_id;
                    let server_id = write.borrow().change.server_id();
                    error!(request_id, server_id, reason, "update failed");
                }
            }
        }
        outcome.skipped = writes.map(|(_, write)| write).collect();
        outcome
    }

    /// Makes a change. Returns whether its condition held.
    async fn make(&self, change: &Change) -> Result<bool, String> {
        if !change.is_deletion() {
            return send(change.request(self.update()), self.deadline).await;
        }
        let watchdog = self.watchdog;
        let delete = watchdog.dynamodb.delete_item().table_name(&watchdog.servers_table);
        match timeout_at(self.deadline, change.delete(delete).send()).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if condition_failed(&error) => Ok(false),
            Ok(Err(error)) => Err(DisplayErrorContext(error).to_string()),
            Err(elapsed) => Err(elapsed.to_string()),
        }
    }

    fn update(&self) -> UpdateItemFluentBuilder {
        let watchdog = self.watchdog;
        let update = watchdog.dynamodb.update_item();
        update.table_name(&watchdog.servers_table)
    }

    /// Publishes what there is to say, or logs it if there is no topic.
    async fn publish(&self, message: Option<&SnsMessage>) -> Result<(), SweepError> {
        let Some(message) = message else {
            return Ok(());
        };
        let Some(topic) = &self.watchdog.topic else {
            let (subject, announcement) = (&message.subject, &message.default);
            info!(
                request_id = self.request_id,
                subject, announcement, "not published: ALERT_TOPIC_ARN is not set"
            );
            return Ok(());
        };
        let attributes = message.attributes().map(|(name, strings)| {
            let value = MessageAttributeValue::builder().data_type("String.Array");
            Ok((name.to_owned(), value.string_value(strings).build()?))
        });
        let attributes: Result<_, BuildError> = attributes.collect();
        let publish = topic
            .sns
            .publish()
            .topic_arn(&topic.arn)
            .message_structure("json")
            .message(message.json())
            .subject(&message.subject)
            .set_message_attributes(Some(
                attributes.map_err(|error| SweepError(error.to_string()))?,
            ));
        match timeout_at(self.deadline, publish.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let reason = DisplayErrorContext(error);
                Err(SweepError(format!("the topic failed: {reason}")))
            }
            Err(_) => Err(SweepError("the topic took too long".to_owned())),
        }
    }

    /// Writes what was said into the metrics table. If that fails, it is not repeated: the sweep fails in the end.
    async fn note_event(&self, said: Option<&SnsMessage>) -> Result<(), SweepError> {
        let Some((events, said)) = self.watchdog.events.as_ref().zip(said) else {
            return Ok(());
        };
        let event = Event { recorded_at: self.time, said: said.default.clone() };
        let put = self.watchdog.dynamodb.put_item().table_name(&events.table);
        let put = event.put(put, events.retention).send();
        match timeout_at(self.deadline, put).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.not_written(&DisplayErrorContext(error))),
            Err(elapsed) => Err(self.not_written(&elapsed)),
        }
    }

    /// Writes what was said of each server, likewise. If `is_first`, notes that this is so from now on.
    async fn note_events_by_server(
        &self,
        said: Option<&SnsMessage>,
        is_first: bool,
    ) -> Result<(), SweepError> {
        let Some((events, said)) = self.watchdog.events.as_ref().zip(said) else {
            return Ok(());
        };
        let puts = said.by_server().map(|(server_id, said)| {
            Event { recorded_at: self.time, said }.put_of(server_id, events.keep_of_server)
        });
        let puts: Vec<_> =
            puts.collect::<Result<_, _>>().map_err(|error| self.not_written(&error))?;
        for batch in puts.chunks(BATCH) {
            self.write_batch(&events.table, batch.to_vec()).await?;
        }
        if is_first {
            self.note(Memory::note_events(self.time), "the events").await
        } else {
            Ok(())
        }
    }

    /// Writes these items, which DynamoDB may do in parts.
    async fn write_batch(
        &self,
        table: &str,
        mut left: Vec<WriteRequest>,
    ) -> Result<(), SweepError> {
        let mut pause = BATCH_PAUSE;
        loop {
            let write = self.watchdog.dynamodb.batch_write_item().request_items(table, left);
            let output = match timeout_at(self.deadline, write.send()).await {
                Ok(Ok(output)) => output,
                Ok(Err(error)) => return Err(self.not_written(&DisplayErrorContext(error))),
                Err(elapsed) => return Err(self.not_written(&elapsed)),
            };
            left =
                output.unprocessed_items.into_iter().flatten().flat_map(|(_, left)| left).collect();
            if left.is_empty() {
                return Ok(());
            }
            let paused = timeout_at(self.deadline, sleep(pause)).await;
            paused.map_err(|elapsed| self.not_written(&elapsed))?;
            pause *= 2;
        }
    }

    fn not_written(&self, why: &dyn Display) -> SweepError {
        let reason = format!("the event was not written: {why}");
        error!(request_id = self.request_id, reason, "event not written");
        SweepError(reason)
    }

    /// Publishes the digest, if it is due and says something, and notes that it is done.
    async fn send_digest(&self, digest: Option<&Digest>) -> Result<(), SweepError> {
        let Some(digest) = digest else {
            return Ok(());
        };
        let (zone, page_url) = (&self.watchdog.rules.zone, self.watchdog.page_url.as_deref());
        let message = SnsMessage::digest(digest, self.time, zone, page_url);
        self.publish(message.as_ref()).await?;
        self.note(Memory::note_digest(self.time), "the digest").await
    }

    /// Writes into the watchdog's own item that something is done.
    async fn note(&self, change: Change, what: &str) -> Result<(), SweepError> {
        match send(change.request(self.update()), self.deadline).await {
            Ok(_) => Ok(()),
            Err(reason) => {
                error!(request_id = self.request_id, reason, "update failed");
                Err(SweepError(format!("{what} was not noted: {reason}")))
            }
        }
    }

    /// Writes the days of the servers in its slots, unless less than half of its time is left. The slots are taken before: what is
    /// not written now is made up for when they come again.
    async fn write_days(&self, due: Option<&Due>) -> Result<(), SweepError> {
        let Some((days, due)) = self.watchdog.days.as_ref().zip(due) else { return Ok(()) };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let Some(until) = due.until().filter(|_| left >= (self.deadline - self.started) / 2) else {
            return Ok(());
        };
        let note = Memory::note_rolled(until).request(self.update());
        if let Err(reason) = send(note, self.deadline).await {
            return Err(SweepError(format!("the slots of days were not noted: {reason}")));
        }
        days.write(due, self.part_of_time_left(DAYS_SHARE), self.deadline, self.request_id)
            .await
            .map_err(SweepError)
    }

    /// Tells whoever notices when there are no sweeps that there was one.
    async fn ping(&self) {
        let Some(Ping { address, http }) = &self.watchdog.ping else {
            return;
        };
        let reason = match address.request(Method::GET).body(Full::<Bytes>::default()) {
            Err(_) => "it makes no valid request",
            Ok(request) => {
                let left = self.deadline.saturating_duration_since(Instant::now());
                match timeout(left.min(PING_TIMEOUT), http.request(request)).await {
                    Ok(Ok(response)) if response.status().is_success() => return,
                    Ok(Ok(response)) => {
                        let status = response.status().as_u16();
                        let request_id = self.request_id;
                        warn!(request_id, status, reason = "it is rejected", "ping failed");
                        return;
                    }
                    Ok(Err(error)) => webhook::explain(&error),
                    Err(_) => "no answer",
                }
            }
        };
        warn!(request_id = self.request_id, reason, "ping failed");
    }

    /// The time at which `share` percent of the time until the deadline has passed.
    fn part_of_time_left(&self, share: u32) -> Instant {
        let now = Instant::now();
        now + self.deadline.saturating_duration_since(now) * share / 100
    }

    /// Logs one warning for each condition that needs attention.
    fn warn_about(&self, decision: &Decision) {
        let request_id = self.request_id;
        if decision.counts.malformed > 0 {
            let items = decision.counts.malformed;
            warn!(request_id, items, "items hold a value that cannot be read");
        }
        if let Some(gap) = decision.new_gap {
            let since = tables::time::format(gap.since);
            warn!(
                request_id,
                since, "sweeps are missing: the time since then does not count as silence"
            );
        }
        if decision.counts.waiting > 0 {
            let waiting = decision.counts.waiting;
            warn!(
                request_id,
                waiting, "problems wait: the items of their servers have no room for them"
            );
        }
        if decision.plan.left > 0 {
            let left = decision.plan.left;
            warn!(request_id, left, "more has changed than one sweep does: the next one goes on");
        }
        if decision.is_holding {
            let held = decision.counts.held;
            warn!(
                request_id,
                held,
                "mass silence: a fault on our own path is more likely, so no server is judged early"
            );
        }
    }

    fn warn_about_skipped(&self, ahead: &Outcome<&Write>) {
        let skipped = ahead.skipped.iter().filter(|write| write.is_mark()).count();
        if skipped > 0 {
            warn!(
                request_id = self.request_id,
                skipped, "no time left to judge these late servers"
            );
        }
    }

    /// Logs what an update that was made means for people, if anything.
    fn log_news(&self, write: &Write) {
        let (request_id, server_id) = (self.request_id, write.change.server_id());
        for news in &write.news {
            match news {
                News::Offline(last_seen) => {
                    warn!(request_id, server_id, last_seen, "server offline");
                }
                News::Gone(last_seen) => {
                    info!(request_id, server_id, last_seen, "server gone");
                }
                News::Removed(last_seen) => {
                    info!(request_id, server_id, last_seen, "server removed");
                }
                News::Back(offline_since) => {
                    info!(request_id, server_id, offline_since, "server back");
                }
                News::Problem(key) => {
                    warn!(request_id, server_id, problem = key.to_string(), "problem");
                }
                News::Solved(key, end) => {
                    let (problem, end) = (key.to_string(), end.as_str());
                    info!(request_id, server_id, problem, end, "problem solved");
                }
            }
        }
    }

    fn log(&self, decision: &Decision, ahead: &Outcome<&Write>, recorded: &Outcome<Write>) {
        let ahead = ahead.done.iter().flat_map(|(_, write)| &write.news);
        let recorded = recorded.done.iter().flat_map(|(_, write)| &write.news);
        let [mut offline, mut back, mut problems, mut solved] = [0_usize; 4];
        let [mut gone, mut removed] = [0_usize; 2];
        for news in ahead.chain(recorded) {
            match news {
                News::Offline(_) => offline += 1,
                News::Gone(_) => gone += 1,
                News::Removed(_) => removed += 1,
                News::Back(_) => back += 1,
                News::Problem(_) => problems += 1,
                News::Solved(..) => solved += 1,
            }
        }
        let counts = &decision.counts;
        info!(
            request_id = self.request_id,
            servers = counts.servers,
            late = counts.late,
            offline,
            back,
            held = counts.held,
            away = counts.away + offline + gone,
            problems,
            solved,
            gone,
            removed,
            waiting = counts.waiting,
            milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "sweep"
        );
    }
}

/// Sends an update. Returns whether it was applied: a failed condition means that a heartbeat, another sweep or a person
/// was faster.
async fn send(update: UpdateItemFluentBuilder, deadline: Instant) -> Result<bool, String> {
    match timeout_at(deadline, update.send()).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) if condition_failed(&error) => Ok(false),
        Ok(Err(error)) => Err(DisplayErrorContext(error).to_string()),
        Err(elapsed) => Err(elapsed.to_string()),
    }
}
