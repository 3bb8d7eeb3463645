//! The tool through its real command line, against a DynamoDB.

#![allow(clippy::unwrap_used, missing_docs)]

mod fleet;
mod history;
mod keys;
mod restore;
mod servers;
mod support;
mod usage;
