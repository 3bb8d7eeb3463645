//! The tool through its real command line, against a DynamoDB.

#![allow(clippy::print_stderr, clippy::unwrap_used, missing_docs)]

mod clock;
mod enroll;
mod environment;
mod events;
mod fleet;
mod groups;
mod history;
mod keys;
mod machines;
mod notify;
mod readers;
mod restore;
mod servers;
mod support;
mod usage;
