//! The agent, tested from the outside: it runs as a process, against an endpoint, a machine and tools that are real.

#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod backlog;
mod connection;
mod readings;
mod sending;
mod service;
mod support;
