//! Tools for development and tests. Nothing here is deployed.

#![allow(clippy::unwrap_used, reason = "a failure here fails a test")]

pub mod command;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
#[cfg(feature = "dynamodb")]
pub mod log;
#[cfg(feature = "dynamodb")]
pub mod process;
#[cfg(feature = "dynamodb")]
pub mod proxy;
pub mod runtime_api;
#[cfg(feature = "dynamodb")]
pub mod tables;
#[cfg(feature = "dynamodb")]
pub mod template;
#[cfg(feature = "dynamodb")]
pub mod topic;
