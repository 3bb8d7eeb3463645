//! When an invocation has to end.

use std::time::{Duration, SystemTime};

/// The most time that is reserved for the last log line and the response.
const TIME_TO_RESPOND: Duration = Duration::from_secs(1);

/// How long an invocation may take: until shortly before Lambda ends it. A deadline in the past is ignored, because
/// `cargo lambda watch` sends the same one with every event: ten minutes after the Unix epoch.
#[must_use]
pub fn time_budget(deadline: SystemTime, now: SystemTime, default: Duration) -> Duration {
    deadline
        .duration_since(now)
        .map_or(default, |left| left.saturating_sub(TIME_TO_RESPOND.min(left / 10)))
}
