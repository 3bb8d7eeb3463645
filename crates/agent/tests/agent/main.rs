//! The agent, tested from the outside: it runs as a process, against an endpoint, a machine and tools that are real.

#![allow(clippy::print_stderr, clippy::unwrap_used)]

mod backlog;
mod connection;
mod filesystem;
mod job;
mod message;
mod namespace;
mod readings;
mod recorded;
mod sending;
mod service;
mod state;
mod support;
mod systemctl;
