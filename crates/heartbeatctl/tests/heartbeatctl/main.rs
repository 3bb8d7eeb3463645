//! The tool through its real command line, against a DynamoDB.

#![allow(clippy::unwrap_used, missing_docs)]

mod agent;
mod fleet;
mod keys;
mod servers;
mod service;
mod support;
mod usage;
