//! Announces when a server falls silent and when it is back (C8), when a metric reaches its limit (C9), and once a day what
//! is still wrong (C10).
//!
//! A sweep compares the servers table with what has been announced, and announces the difference. All of its state
//! is in the items, so the next sweep finishes the work of one that crashed:
//!
//! ```text
//! scan ─▶ review ─▶ mark, write ahead ─▶ publish ─▶ record
//!         (pure)    (conditional)        (once)     (conditional)
//! ```
//!
//! An end is announced if and only if its beginning may be out. What is written ahead tells the next sweep that it may be.

mod announcement;
mod config;
mod limits;
mod review;
mod sweep;

pub use self::announcement::{Announcement, Contents};
pub use self::config::{Config, Rules};
pub use self::limits::Entry;
pub use self::review::{Decision, Digest, Review};
pub use self::sweep::{SweepError, Watchdog};

use chrono::{DateTime, Utc};
use serde_json::Value;
use std::time::{Duration, SystemTime};
use tables::time;

/// How long a sweep may take if the event has no usable deadline: less than its timeout in `template.yaml`.
const DEFAULT_TIME: Duration = Duration::from_secs(45);

/// The most time that a sweep reserves for its last log line and its response.
const TIME_TO_RESPOND: Duration = Duration::from_secs(1);

/// The time of a sweep: the event's `time`, which the scheduler fills with its scheduled time, or else the
/// function's clock.
#[must_use]
pub fn as_of(event: &Value, now: DateTime<Utc>) -> DateTime<Utc> {
    event["time"].as_str().and_then(time::parse).unwrap_or(now)
}

/// How long a sweep may take: until shortly before Lambda ends it. A deadline in the past is ignored, because
/// `cargo lambda watch` sends the same one with every event: ten minutes after the Unix epoch.
#[must_use]
pub fn time_budget(deadline: SystemTime, now: SystemTime) -> Duration {
    deadline.duration_since(now).map_or(DEFAULT_TIME, |left| {
        left.saturating_sub(TIME_TO_RESPOND.min(left / 10))
    })
}
