//! Two AWS Lambda functions around DynamoDB: `heartbeat` records what servers send, and `watchdog`
//! tells somebody when one falls silent.
//!
//! A heartbeat walks through the crate once, front to back. A sweep of the watchdog has a walk of its own:
//!
//! ```text
//! API Gateway ─▶ main ─▶ lambda ─▶ handler ─▶ auth ─▶ heartbeat ─▶ store ─▶ DynamoDB
//!                wires   event →    routes    key      parse       two conditional writes
//!                        request      ▲                              │
//!                                     └─────── response ◀── error ◀──┘
//!
//! Scheduler ─▶ bin/watchdog ─▶ watchdog ─▶ DynamoDB (scan, conditional updates)
//!              wires           judge, tell └▶ SNS (one message per sweep)
//! ```
//!
//! Both stand on the same ground floor: [`config`], [`client`] and [`log`].

// Who holds the key that was presented: the environment's digests, then the keys table behind a cache.
pub mod auth;
// Clients for AWS, made of AWS's own parts: trust, timeouts, retries, and connections opened in advance.
pub mod client;
// The only reader of the environment: every setting with its unit, its default and its errors.
pub mod config;
// Everything that can stop a heartbeat, and the answer that each becomes.
pub mod error;
// The walk of one request: route, authenticate, parse, record, respond.
pub mod handler;
// What an agent sends: the fields of a heartbeat, and every rule of each.
pub mod heartbeat;
// Where Lambda meets the crate: an event becomes an HTTP request.
pub mod lambda;
// The form of a log line.
pub mod log;
// `openapi.json`, derived from the types of requests and answers.
#[cfg(test)]
mod openapi;
// The answers: what their bodies hold, and how one is made.
mod response;
// The two writes of a heartbeat, their conditions and their outcomes.
pub mod store;
// The sweep: who is silent, who is back, and who is told.
pub mod watchdog;
