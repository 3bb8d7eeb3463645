//! What only development needs. Nothing here is deployed.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

pub mod dynamodb;
pub mod proxy;
pub mod tables;
