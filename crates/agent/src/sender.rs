//! Sends one heartbeat. What matters on the wire is in `docs/agent.md`, for agents in other languages.

use crate::connection::{Connection, TIMEOUT, untrusted};
use crate::key::Key;
use crate::pace::retry_pause;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::io::{self, Read};
use std::mem;
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};
use syntax::retry_after;
use tables::printable;
use ureq::SendBody;
use ureq::http::Uri;

/// How much of an answer is read, bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// How much of an answer is shown, characters.
const SHOWN_ANSWER: usize = 200;

/// What is sent with each attempt of one heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
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
    /// Locked during an attempt.
    connection: Mutex<Connection>,
    url: Uri,
    key: Key,
}

/// A body, and whether any of it has been taken to be sent. Before that, the request is not complete, whatever failed.
struct Body<'a> {
    rest: &'a [u8],
    is_taken: bool,
}

impl Read for Body<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.is_taken = true;
        self.rest.read(to)
    }
}

/// A heartbeat that was accepted.
pub struct Accepted {
    /// The answer as it may be shown.
    pub answer: String,
    pub attempts: u32,
}

/// Why a heartbeat was not sent.
#[derive(Debug)]
pub struct Failure {
    pub kind: FailureKind,
    pub reason: String,
    /// Whether an attempt may have reached the endpoint, which may then have stored the heartbeat.
    pub may_have_arrived: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// A later attempt may succeed: no sooner than `Retry-After` says (0 if it is absent).
    Transient(Duration),
    /// No heartbeat of this agent is accepted until somebody changes something: because of this status, or of the
    /// endpoint's certificate.
    Blocked(Option<u16>),
    /// This heartbeat is never accepted, with this status.
    Rejected(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

impl Sender {
    pub const fn new(connection: Connection, url: Uri, key: Key) -> Self {
        Self { connection: Mutex::new(connection), url, key }
    }

    /// Sends one heartbeat, with retries until the deadline.
    pub fn send(&self, heartbeat: &Outgoing, deadline: Instant) -> Result<Accepted, Failure> {
        let mut attempts = 0;
        let mut may_have_arrived = false;
        loop {
            attempts += 1;
            let mut failure = match self.attempt(heartbeat, deadline) {
                Ok(answer) => return Ok(Accepted { answer, attempts }),
                Err(failure) => failure,
            };
            may_have_arrived |= failure.may_have_arrived;
            failure.may_have_arrived = may_have_arrived;
            let FailureKind::Transient(retry_after) = failure.kind else {
                return Err(failure);
            };
            let pause = retry_pause(attempts, retry_after, fastrand::f64());
            if pause >= left_until(deadline) {
                let plural = if attempts == 1 { "" } else { "s" };
                failure.reason += &format!(", after {attempts} attempt{plural}");
                return Err(failure);
            }
            thread::sleep(pause);
        }
    }

    /// One attempt, within [`TIMEOUT`] and before the deadline. Returns the answer as it may be shown.
    pub fn attempt(&self, heartbeat: &Outgoing, deadline: Instant) -> Result<String, Failure> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        self.post(&connection, heartbeat, deadline)
    }

    /// Sends the last heartbeat, in one attempt, after one that is under way. Whoever attempts anything afterwards waits for
    /// the end of the process.
    pub fn send_last(&self, heartbeat: &Outgoing, deadline: Instant) -> Result<String, Failure> {
        let connection = loop {
            match self.connection.try_lock() {
                Ok(connection) => break connection,
                Err(TryLockError::Poisoned(error)) => break error.into_inner(),
                Err(TryLockError::WouldBlock) if left_until(deadline).is_zero() => {
                    return Err(Failure {
                        kind: FailureKind::Transient(Duration::ZERO),
                        reason: "another attempt does not end".to_owned(),
                        may_have_arrived: false,
                    });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
            }
        };
        let sent = self.post(&connection, heartbeat, deadline);
        mem::forget(connection);
        sent
    }

    fn post(
        &self,
        connection: &Connection,
        heartbeat: &Outgoing,
        deadline: Instant,
    ) -> Result<String, Failure> {
        let key = self.key.read().map_err(|error| Failure {
            kind: FailureKind::Transient(Duration::ZERO),
            reason: format!("{error:#}"),
            may_have_arrived: false,
        })?;
        let request = connection
            .http()
            .post(self.url.clone())
            .config()
            .timeout_global(Some(left_until(deadline).min(TIMEOUT)))
            .build()
            .header("Content-Type", "application/json")
            .header("Content-Length", heartbeat.body.len())
            .header("X-API-Key", key)
            .header("Idempotency-Key", &heartbeat.idempotency_key);
        let mut body = Body { rest: heartbeat.body.as_bytes(), is_taken: false };
        let sent = request.send(SendBody::from_reader(&mut body));
        let may_have_arrived = body.is_taken;
        let mut response = sent.map_err(|error| {
            let certificate = untrusted(&error);
            Failure {
                kind: match certificate {
                    Some(_) => FailureKind::Blocked(None),
                    None => FailureKind::Transient(Duration::ZERO),
                },
                may_have_arrived,
                reason: certificate.unwrap_or_else(|| error.to_string()),
            }
        })?;
        let mut body = Vec::new();
        // A body that is cut off is shown as far as it goes.
        let _ = response.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut body);
        let status = response.status().as_u16();
        let shown = shown(&String::from_utf8_lossy(&body));
        if status == 200 && says_ok(&body) {
            return Ok(shown);
        }
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = || header.and_then(|header| retry_after(header, Utc::now()));
        let reason = format!("{status} {shown}");
        Err(Failure {
            kind: match status {
                // 200: a captive portal's answer, for example. It goes away.
                200 | 429 | 500.. => FailureKind::Transient(retry_after().unwrap_or_default()),
                413 | 415 | 422 => FailureKind::Rejected(status),
                _ => FailureKind::Blocked(Some(status)),
            },
            reason: format!("{}{}", reason.trim_end(), advice(status)),
            may_have_arrived: true,
        })
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

/// What the endpoint says when it has stored a heartbeat, and nobody else.
fn says_ok(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|answer| answer["status"] == "ok")
}

/// The beginning of an answer, without what a terminal would execute.
fn shown(answer: &str) -> String {
    let beginning: String = answer.trim().chars().take(SHOWN_ANSWER).collect();
    printable(&beginning)
}
