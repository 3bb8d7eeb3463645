//! The heartbeat endpoint: one AWS Lambda function in front of two DynamoDB tables.
//!
//! A heartbeat walks through the crate once, front to back:
//!
//! ```text
//! API Gateway ─▶ main ─▶ handler ─▶ auth ─▶ heartbeat ─▶ store ─▶ DynamoDB
//!                wires    routes     key      parse       2 conditional writes
//!                           ▲                               │
//!                           └──────── answer ◀── error ◀────┘
//! ```

pub mod auth;
pub mod client;
pub mod config;
pub mod error;
pub mod handler;
pub mod heartbeat;
pub mod lambda;
pub mod log;
pub mod openapi;
pub mod response;
pub mod store;
pub mod watchdog;
