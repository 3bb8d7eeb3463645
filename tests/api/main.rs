//! The contract, clause by clause, from outside: an event goes in, an answer and what DynamoDB holds come
//! out. Each test carries the number of the clause that it proves.

#![allow(clippy::unwrap_used, missing_docs)]

mod answer;
mod auth;
mod body;
mod config;
mod event;
mod faults;
mod hostile;
mod keys;
mod log;
mod metrics;
mod process;
mod properties;
mod route;
mod server;
mod support;
