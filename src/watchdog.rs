//! Announces when a server is offline and when it is back (C8), its problems (C9), and once a day what is still wrong, or
//! that all is well (C10).
//!
//! A sweep compares the servers table with what has been announced, and announces the difference. All of its state
//! is in the items, so the next sweep finishes the work of one that crashed:
//!
//! ```text
//! scan ─▶ review ─▶ plan ─▶ mark, write ahead ─▶ publish ─▶ record
//!         (pure)    (pure)  (conditional)        (once)     (conditional)
//! ```
//!
//! An end is announced if and only if its beginning may have been announced. What is written ahead tells the next sweep
//! whether it may have been.

mod announcement;
mod config;
mod plan;
mod review;
mod sweep;

pub use self::announcement::{Planned, SnsMessage};
pub use self::config::{Config, EventsConfig};
pub use self::review::{Decision, Review};
pub use self::sweep::{SweepError, Watchdog};

use chrono::{DateTime, Utc};
use serde_json::Value;
use std::time::Duration;
use tables::time;

/// How long a sweep may take if the event has no usable deadline: less than its timeout in `template.yaml`.
pub const DEFAULT_TIME: Duration = Duration::from_secs(45);

/// The time of a sweep: the event's `time`, which the scheduler fills with its scheduled time, or else the
/// function's clock.
#[must_use]
pub fn as_of(event: &Value, now: DateTime<Utc>) -> DateTime<Utc> {
    event["time"].as_str().and_then(time::parse).unwrap_or(now)
}
