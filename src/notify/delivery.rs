//! Delivers to all webhooks at the same time, and retries what may still succeed.

use super::SnsEvent;
use super::config::{Config, Webhook};
use super::ledger::Ledger;
use super::message::{ChatMessage, Received};
use super::service::{self, Service};
use crate::webhook::{self, HttpClient};
use bytes::Bytes;
use chrono::Utc;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use lambda_http::http::header::RETRY_AFTER;
use lambda_http::http::response::Parts;
use lambda_http::http::{Method, StatusCode};
use lambda_runtime::Error;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use tables::server::{Outcome, Report, Reported};
use tables::{Group, Zone};
use tokio::time::{Instant, sleep, timeout};

/// How long a service may take until its answer begins, and how long for the rest of it, if it is read.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before the first retry. It doubles with each retry, up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// How many attempts may end without an answer. Each of them may have delivered the message.
const MAX_UNANSWERED: u32 = 3;

/// The most time that is kept, of that until the deadline, to record what became of a message.
const TIME_TO_RECORD: Duration = Duration::from_secs(5);

/// How much of a response is read, bytes.
const MAX_RESPONSE: usize = 64 * 1024;

/// How much of a response is kept as a reason, characters.
const MAX_ANSWER: usize = 200;

/// Delivers messages to webhooks.
pub struct Dispatcher {
    webhooks: Vec<Webhook>,
    page_url: Option<String>,
    zone: Zone,
    http: HttpClient,
    ledger: Option<Ledger>,
}

/// Which deliveries failed, and why. Each of them is logged, too.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of {webhooks} webhooks failed: {}", failed.len(), failed.join("; "))]
pub struct Undelivered {
    /// Each with its position, format and group.
    failed: Vec<String>,
    webhooks: usize,
}

/// Why a delivery failed: never with anything of the URL.
struct Reason {
    words: &'static str,
    answer: Option<Answer>,
}

/// What a service answered.
struct Answer {
    status: StatusCode,
    /// The beginning.
    text: String,
}

enum Failure {
    /// A later attempt may succeed. Holds how long the service wants to be left alone.
    Transient(Reason, Duration),
    /// The message may have arrived.
    Unanswered(Reason),
    Permanent(Reason),
}

impl Reason {
    const fn new(words: &'static str) -> Self {
        Self { words, answer: None }
    }
}

/// `429, daily quota reached`
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            None => f.write_str(self.words),
            Some(Answer { status, text }) if text.is_empty() => f.write_str(status.as_str()),
            Some(Answer { status, text }) => write!(f, "{}, {text}", status.as_str()),
        }
    }
}

impl Dispatcher {
    /// Trusts the authorities that Mozilla trusts.
    ///
    /// # Errors
    /// If TLS cannot be set up, or `AWS_CA_BUNDLE` does not name a file that contains certificates.
    pub fn new(config: Config) -> Result<Self, Error> {
        let Config { webhooks, page_url, zone, ledger } = config;
        let ledger = ledger.map(Ledger::new).transpose()?;
        Ok(Self { webhooks, page_url, zone, http: webhook::client()?, ledger })
    }

    /// Delivers what the messages of an event say to each webhook, before the deadline, and records what became of them.
    ///
    /// # Errors
    /// If a webhook did not get all of that.
    pub async fn deliver(
        &self,
        event: &SnsEvent,
        deadline: Instant,
        request_id: &str,
    ) -> Result<(), Undelivered> {
        let came_at = Utc::now();
        let received = event.records.iter().map(|record| &record.message);
        let received: Vec<_> = received.filter_map(Received::read).collect();
        if received.is_empty() {
            tracing::info!(request_id, "not passed on: an alarm that has not sounded is over");
            return Ok(());
        }
        let time_left = deadline.saturating_duration_since(Instant::now());
        let deliver_until = deadline - TIME_TO_RECORD.min(time_left / 10);
        let (zone, page_url) = (&self.zone, self.page_url.as_deref());
        let groups: BTreeSet<_> = self.webhooks.iter().map(|webhook| &webhook.group).collect();
        let say = |group: Option<&Group>| {
            let said = received.iter().filter_map(|received| received.say(group, zone, page_url));
            said.collect::<Vec<_>>()
        };
        let said: BTreeMap<_, _> =
            groups.into_iter().map(|group| (group, say(group.as_ref()))).collect();
        let deliveries = self.webhooks.iter().map(async |webhook| {
            let messages = &said[&webhook.group];
            self.deliver_to(webhook, messages, deliver_until).await?;
            let is_sent = !messages.is_empty();
            Ok::<_, Reason>(if is_sent { Outcome::Delivered(Utc::now()) } else { Outcome::NotSent })
        });
        let ended = join_all(deliveries).await;
        let mut failed = Vec::new();
        let mut webhooks = Vec::new();
        for (index, (webhook, ended)) in self.webhooks.iter().zip(ended).enumerate() {
            let (position, format) = (index + 1, webhook.service.name);
            let group = webhook.group.as_ref().map(Group::as_str);
            let outcome = match ended {
                Ok(outcome) => {
                    let words = match outcome {
                        Outcome::NotSent => "not sent: nothing of its group is in it",
                        Outcome::Delivered(_) | Outcome::Failed(_) => "delivered",
                    };
                    tracing::info!(request_id, position, format, group, "{words}");
                    outcome
                }
                Err(reason) => {
                    let answer = reason.answer.as_ref();
                    tracing::error!(
                        request_id,
                        position,
                        format,
                        group,
                        status = answer.map(|answer| answer.status.as_u16()),
                        reason = reason.words,
                        answer = answer.map(|answer| answer.text.as_str()),
                        "delivery failed"
                    );
                    failed.push(format!("{position} {}: {reason}", webhook.name()));
                    Outcome::Failed(reason.to_string())
                }
            };
            webhooks.push(Reported { format, group: webhook.group.clone(), outcome });
        }
        if let Some(ledger) = &self.ledger {
            ledger.write(&Report { came_at, webhooks }, deadline, request_id).await;
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Undelivered { failed, webhooks: self.webhooks.len() })
    }

    async fn deliver_to(
        &self,
        webhook: &Webhook,
        messages: &[(ChatMessage, Cow<'_, str>)],
        deadline: Instant,
    ) -> Result<(), Reason> {
        for (message, text) in messages {
            let request = (webhook.service.request)(message, text);
            self.send(webhook, &request, deadline).await?;
        }
        Ok(())
    }

    /// Sends one request, with retries until the deadline.
    async fn send(
        &self,
        webhook: &Webhook,
        request: &service::Request,
        deadline: Instant,
    ) -> Result<(), Reason> {
        let mut backoff = BACKOFF;
        let mut unanswered = 0;
        loop {
            let (reason, wait) = match self.attempt(webhook, request, deadline).await {
                Ok(()) => return Ok(()),
                Err(Failure::Permanent(reason)) => return Err(reason),
                Err(Failure::Transient(reason, wait)) => (reason, wait),
                Err(Failure::Unanswered(reason)) => {
                    unanswered += 1;
                    (reason, Duration::ZERO)
                }
            };
            let pause = wait.max(backoff);
            if unanswered == MAX_UNANSWERED || pause >= time_until(deadline) {
                return Err(reason);
            }
            sleep(pause).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn attempt(
        &self,
        webhook: &Webhook,
        request: &service::Request,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut builder = webhook.address.request(Method::POST);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let request = builder
            .body(Full::from(request.body.clone()))
            .map_err(|_| Failure::Permanent(Reason::new("it makes no valid request")))?;
        let answer = self.http.request(request);
        let response = match timeout(time_until(deadline).min(ATTEMPT_TIMEOUT), answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let reason = Reason::new(webhook::explain(&error));
                let is_sent = !error.is_connect();
                return Err(if is_sent {
                    Failure::Unanswered(reason)
                } else {
                    Failure::Transient(reason, Duration::ZERO)
                });
            }
            Err(_) => return Err(Failure::Unanswered(Reason::new("no answer"))),
        };
        if response.status().is_success() {
            return Ok(());
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_RESPONSE).collect();
        let body = match timeout(time_until(deadline).min(BODY_TIMEOUT), body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) | Err(_) => Bytes::new(),
        };
        Err(failure(webhook, &head, &body))
    }
}

/// What an answer means that is no success.
fn failure(webhook: &Webhook, head: &Parts, body: &[u8]) -> Failure {
    // A secret that was cut would not be found.
    let text = webhook.address.redact(&String::from_utf8_lossy(body));
    let text = text.trim().chars().take(MAX_ANSWER).collect();
    let status = head.status;
    let reason = |words| Reason { words, answer: Some(Answer { status, text }) };
    let json = serde_json::from_slice(body).unwrap_or(Value::Null);
    match status {
        StatusCode::TOO_MANY_REQUESTS if (webhook.service.is_quota)(&json) => {
            Failure::Permanent(reason("its quota is used up"))
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Failure::Transient(
                reason("the service is busy or failing"),
                wait(webhook.service, head, &json),
            )
        }
        _ if status.is_server_error() => Failure::Transient(
            reason("the service is busy or failing"),
            wait(webhook.service, head, &json),
        ),
        _ => Failure::Permanent(reason("the message is rejected")),
    }
}

/// How long a service wants to be left alone: the longest that its answer says.
fn wait(service: &Service, head: &Parts, json: &Value) -> Duration {
    let headers = head.headers.get_all(RETRY_AFTER).into_iter();
    let of_headers =
        headers.filter_map(|header| syntax::retry_after(header.to_str().ok()?.trim(), Utc::now()));
    let of_body = json.pointer(service.retry_after).and_then(Value::as_f64);
    of_headers.chain(of_body.and_then(syntax::pause)).max().unwrap_or_default()
}

fn time_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
