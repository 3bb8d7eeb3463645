//! Sends one heartbeat. What matters on the wire is in `docs/agent.md`, for agents in other languages.

use crate::connection::{TIMEOUT, untrusted};
use crate::key::Key;
use crate::text::printable;
use anyhow::anyhow;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::fmt;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, Uri};

/// The upper bound of the random pause before the first retry. It doubles with each retry, up to
/// [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// How much of an answer is read, bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// How much of an answer is shown, characters.
const SHOWN_ANSWER: usize = 200;

/// What is sent with each attempt of one heartbeat.
#[derive(Clone)]
pub struct Outgoing {
    pub body: String,
    pub idempotency_key: String,
}

impl Outgoing {
    pub fn new(heartbeat: &Value) -> Self {
        Self {
            body: heartbeat.to_string(),
            idempotency_key: format!("{:032x}", fastrand::u128(..)),
        }
    }
}

pub struct Sender {
    pub http: ureq::Agent,
    pub url: Uri,
    pub key: Key,
}

/// Why a heartbeat was not sent.
#[derive(Debug)]
pub enum Failure {
    /// A later attempt may succeed. Holds the reason and `Retry-After` (0 if there was none).
    Transient(String, Duration),
    /// The endpoint cannot be reached safely until somebody changes something. Holds the reason.
    Untrusted(String),
    /// The endpoint rejects this heartbeat. Holds the status and the reason.
    Rejected(u16, String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient(reason, _) | Self::Untrusted(reason) | Self::Rejected(_, reason) => {
                f.write_str(reason)
            }
        }
    }
}

impl From<Failure> for anyhow::Error {
    fn from(failure: Failure) -> Self {
        anyhow!("{failure}")
    }
}

impl Sender {
    /// Sends one heartbeat, with retries until the deadline; returns the answer as it may be shown.
    pub fn send(&self, heartbeat: &Outgoing, deadline: Instant) -> Result<String, Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (reason, retry_after) = match self.attempt(heartbeat, deadline) {
                Err(Failure::Transient(reason, retry_after)) => (reason, retry_after),
                done => return done,
            };
            let backoff = BACKOFF.saturating_mul(2_u32.saturating_pow(attempts - 1));
            let jitter = backoff.min(MAX_BACKOFF).mul_f64(fastrand::f64());
            let pause = retry_after.saturating_add(jitter);
            if pause >= left_until(deadline) {
                let plural = if attempts == 1 { "" } else { "s" };
                let reason = format!("{reason}, after {attempts} attempt{plural}");
                return Err(Failure::Transient(reason, retry_after));
            }
            thread::sleep(pause);
        }
    }

    /// One attempt, within [`TIMEOUT`] and before the deadline.
    pub fn attempt(&self, heartbeat: &Outgoing, deadline: Instant) -> Result<String, Failure> {
        let transient = |reason: String| Failure::Transient(reason, Duration::ZERO);
        let key = self
            .key
            .read()
            .map_err(|error| transient(format!("{error:#}")))?;
        let request = self
            .http
            .post(self.url.clone())
            .config()
            .timeout_global(Some(left_until(deadline).min(TIMEOUT)))
            .build()
            .header("Content-Type", "application/json")
            .header("X-API-Key", key)
            .header("Idempotency-Key", &heartbeat.idempotency_key);
        let mut response =
            request
                .send(&heartbeat.body)
                .map_err(|error| match untrusted(&error) {
                    Some(reason) => Failure::Untrusted(reason),
                    None => transient(error.to_string()),
                })?;
        let mut body = Vec::new();
        // A body that is cut off is shown as far as it goes.
        let _ = response
            .body_mut()
            .as_reader()
            .take(MAX_ANSWER)
            .read_to_end(&mut body);
        let status = response.status().as_u16();
        let shown = shown(&String::from_utf8_lossy(&body));
        let reason = format!("{status} {shown}").trim_end().to_owned();
        let retry_after = || retry_after(response.headers(), Utc::now()).unwrap_or_default();
        match status {
            200 if is_from_endpoint(&body) => Ok(shown),
            // A captive portal's answer, for example. It goes away.
            200 | 429 | 500.. => Err(Failure::Transient(reason, retry_after())),
            _ => Err(Failure::Rejected(
                status,
                format!("{reason}{}", advice(status)),
            )),
        }
    }
}

fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// What to change so that heartbeats are no longer rejected.
const fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => {
            ": a redirect is not followed, because the key must not go elsewhere: give the final URL"
        }
        401 => ": the key is unknown, expired or revoked: give this server a new one",
        403 => {
            ": the key belongs to another server: check --server-id, or give this server its own key"
        }
        404 | 405 => ": the URL must end in /api/v1/agents/heartbeat",
        413 | 415 | 422 => {
            ": the endpoint does not understand this agent: update the older of the two"
        }
        _ => "",
    }
}

/// The endpoint answers in JSON.
fn is_from_endpoint(body: &[u8]) -> bool {
    body.is_empty() || serde_json::from_slice::<Value>(body).is_ok()
}

/// The beginning of an answer, without what a terminal would execute.
fn shown(answer: &str) -> String {
    let beginning: String = answer.trim().chars().take(SHOWN_ANSWER).collect();
    printable(&beginning)
}

/// How long to wait before the next attempt: `Retry-After` is a number of seconds or a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    (date.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::http::HeaderValue;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now = "2026-01-18T10:30:00Z".parse().expect("a time");
        for (value, expected) in [
            ("0", Some(Duration::ZERO)),
            ("7", Some(Duration::from_secs(7))),
            ("18446744073709551615", Some(Duration::from_secs(u64::MAX))),
            ("18446744073709551616", Some(Duration::MAX)),
            (
                "Sun, 18 Jan 2026 10:30:20 GMT",
                Some(Duration::from_secs(20)),
            ),
            ("Sun, 18 Jan 2026 10:29:00 GMT", None),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(ureq::http::header::RETRY_AFTER, value)]);
            assert_eq!(retry_after(&headers, now), expected, "{headers:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
