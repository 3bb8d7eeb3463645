//! One heartbeat, front to back: a Lambda event comes in, two conditional writes go out.
//!
//! ```text
//! lambda ─▶ handler ─▶ auth ─▶ heartbeat ─▶ store ─▶ DynamoDB
//! event →   routes    key      parse       two conditional writes
//! request      ▲                              │
//!              └────────── error ◀────────────┘
//! ```

pub mod auth;
mod config;
mod error;
mod handler;
mod heartbeat;
mod lambda;
#[cfg(test)]
mod openapi;
mod store;

pub use config::Config;
pub use heartbeat::{FieldError, Heartbeat, Member, Object, Schema, parse};
pub use lambda::function;
