//! Delivers to all webhooks at the same time, and retries what may still succeed.

use super::config::{Config, Webhook};
use super::message::ChatMessage;
use super::service::{self, Service};
use super::{SnsEvent, SnsMessage};
use crate::webhook::{self, HttpClient};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use lambda_http::http::header::RETRY_AFTER;
use lambda_http::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The time limit of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause before the first retry. It doubles with each retry, up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// How much of a response is read, bytes.
const MAX_RESPONSE: usize = 64 * 1024;

/// Delivers messages to webhooks.
pub struct Dispatcher {
    webhooks: Vec<Webhook>,
    page_url: Option<String>,
    http: HttpClient,
}

/// How many deliveries failed. Each of them is logged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{failed} of {webhooks} webhooks failed")]
pub struct Undelivered {
    failed: usize,
    webhooks: usize,
}

/// Why a delivery failed: never with a URL.
struct Reason {
    /// That of the response, if there was one.
    status: Option<u16>,
    words: &'static str,
}

enum Failure {
    /// A later attempt may succeed. Holds how long the service wants to be left alone.
    Transient(Reason, Option<Duration>),
    Permanent(Reason),
}

impl Reason {
    const fn new(words: &'static str) -> Self {
        Self { status: None, words }
    }
}

impl Dispatcher {
    /// Trusts the authorities that Mozilla trusts.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(config: Config) -> Result<Self, rustls::Error> {
        Ok(Self { webhooks: config.webhooks, page_url: config.page_url, http: webhook::client()? })
    }

    /// Delivers the messages of an event to every webhook, before the deadline.
    ///
    /// # Errors
    /// If a webhook did not get them all.
    pub async fn deliver(
        &self,
        event: &SnsEvent,
        deadline: Instant,
        request_id: &str,
    ) -> Result<(), Undelivered> {
        let received = event.records.iter().map(|record| &record.message);
        let messages: Vec<_> = received
            .map(|received| (received, ChatMessage::new(received, self.page_url.as_deref())))
            .collect();
        let deliveries = self.webhooks.iter().enumerate().map(async |(index, webhook)| {
            let sent = self.deliver_to(webhook, &messages, deadline).await;
            let has_failed = sent.is_err();
            let (position, format) = (index + 1, webhook.service.name);
            match sent {
                Ok(()) => tracing::info!(request_id, position, format, "delivered"),
                Err(Reason { status, words }) => tracing::error!(
                    request_id,
                    position,
                    format,
                    status,
                    reason = words,
                    "delivery failed"
                ),
            }
            has_failed
        });
        let outcomes = join_all(deliveries).await;
        match outcomes.iter().filter(|has_failed| **has_failed).count() {
            0 => Ok(()),
            failed => Err(Undelivered { failed, webhooks: self.webhooks.len() }),
        }
    }

    async fn deliver_to(
        &self,
        webhook: &Webhook,
        messages: &[(&SnsMessage, ChatMessage)],
        deadline: Instant,
    ) -> Result<(), Reason> {
        for (received, message) in messages {
            let request = (webhook.service.request)(message, &received.text);
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
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let attempt = timeout(left.min(ATTEMPT_TIMEOUT), self.attempt(webhook, request));
            let (reason, retry_after) = match attempt.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Failure::Permanent(reason))) => return Err(reason),
                Ok(Err(Failure::Transient(reason, retry_after))) => (reason, retry_after),
                Err(_) => (Reason::new("no answer"), None),
            };
            let pause = retry_after.unwrap_or_default().max(backoff);
            if pause >= deadline.saturating_duration_since(Instant::now()) {
                return Err(reason);
            }
            sleep(pause).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn attempt(&self, webhook: &Webhook, request: &service::Request) -> Result<(), Failure> {
        let mut builder = webhook.address.request(Method::POST);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let request = builder
            .body(Full::from(request.body.clone()))
            .map_err(|_| Failure::Permanent(Reason::new("it makes no valid request")))?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| Failure::Transient(Reason::new(webhook::explain(&error)), None))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let answered = |words| Reason { status: Some(status.as_u16()), words };
        if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
            return Err(Failure::Permanent(answered("the message is rejected")));
        }
        let headers = response.headers().clone();
        let body = Limited::new(response.into_body(), MAX_RESPONSE)
            .collect()
            .await
            .map_or_else(|_| Bytes::new(), |body| body.to_bytes());
        let retry_after = retry_after(webhook.service, &headers, &body);
        Err(Failure::Transient(answered("the service is busy or failing"), retry_after))
    }
}

/// How long a service wants to be left alone: `Retry-After` in seconds or as a date, or a field of its response.
fn retry_after(service: &Service, headers: &HeaderMap, body: &[u8]) -> Option<Duration> {
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let from_header = header.and_then(|header| syntax::retry_after(header, chrono::Utc::now()));
    from_header.or_else(|| {
        let response: Value = serde_json::from_slice(body).ok()?;
        Duration::try_from_secs_f64(response.pointer(service.retry_after)?.as_f64()?).ok()
    })
}
