//! Tells somebody when a server falls silent, and when it is back (C8).
//!
//! A sweep compares what the servers table says with what has been announced, and moves the second towards
//! the first. All of its state is on the items, so whatever crashes, the next sweep finishes the work:
//!
//! ```text
//! scan ─▶ review ─▶ mark as offline ─▶ publish ─▶ record as announced
//!         (pure)    (conditional)      (once)     (conditional)
//! ```

mod announcement;
mod review;
mod sweep;

pub use self::announcement::Announcement;
pub use self::review::{Decision, Review, Server};
pub use self::sweep::{SweepError, Watchdog};

use chrono::{DateTime, Utc};
use serde_json::Value;

/// The time of a sweep: the event's `time`, which the scheduler fills with its scheduled time, or else the
/// function's clock.
#[must_use]
pub fn sweep_time(event: &Value, now: DateTime<Utc>) -> DateTime<Utc> {
    event["time"].as_str().and_then(read_time).unwrap_or(now)
}

/// Reads a time as the servers table holds it.
fn read_time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.with_timezone(&Utc))
}
