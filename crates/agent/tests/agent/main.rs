//! The agent, tested from the outside: it runs as a process, against an endpoint, a machine and tools that are real.

#![allow(clippy::print_stderr, clippy::unwrap_used)]
#![cfg(unix)]

mod backlog;
mod connection;
#[cfg(target_os = "linux")]
mod filesystem;
mod message;
#[cfg(target_os = "linux")]
mod namespace;
mod readings;
#[cfg(target_os = "linux")]
mod recorded;
mod sending;
mod service;
mod state;
mod support;
#[cfg(target_os = "linux")]
mod systemctl;
