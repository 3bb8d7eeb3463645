//! Two AWS Lambda functions around DynamoDB: `heartbeat` records what servers send, and `watchdog`
//! announces when one falls silent.
//!
//! A heartbeat passes through the crate once, front to back. A sweep of the watchdog takes its own path:
//!
//! ```text
//! API Gateway ─▶ main ─▶ lambda ─▶ handler ─▶ auth ─▶ heartbeat ─▶ store ─▶ DynamoDB
//!                wires   event →    routes    key      parse       two conditional writes
//!                        request      ▲                              │
//!                                     └─────── response ◀── error ◀──┘
//!
//! Scheduler ─▶ bin/watchdog ─▶ watchdog ───────┬▶ DynamoDB (scan, conditional updates)
//!              wires           judge, announce └▶ SNS (one message per sweep)
//! ```
//!
//! Both are built on [`config`], [`client`] and [`log`].

// Authenticates API keys: the digests in the environment, then the keys table behind a cache.
pub mod auth;
// AWS clients, built from the SDK's own parts: trust, timeouts, retries, and connections opened in advance.
pub mod client;
// The only reader of the environment: every setting with its unit, default and errors.
pub mod config;
// Every error of a heartbeat, and the response that it becomes.
pub mod error;
// The path of one request: route, authenticate, parse, record, respond.
pub mod handler;
// What an agent sends: the fields of a heartbeat, and the rules for each.
pub mod heartbeat;
// Converts a Lambda event into an HTTP request.
pub mod lambda;
// The log format.
pub mod log;
// `openapi.json`, derived from the types of requests and responses.
#[cfg(test)]
mod openapi;
// The response bodies, and how a response is built.
mod response;
// The two writes of a heartbeat, their conditions and their outcomes.
pub mod store;
// The sweep: finds servers that fell silent or came back, and announces them.
pub mod watchdog;
