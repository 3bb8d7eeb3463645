//! Two clocks: the wall clock, which somebody may set, and the time since the start of the machine, which nobody can and
//! which goes on while it is suspended.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// A clock that differs by less was not set, only kept in step.
const DRIFT: TimeDelta = TimeDelta::seconds(2);

/// A moment by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub wall: DateTime<Utc>,
    pub since_boot: Duration,
}

impl Moment {
    pub fn now() -> Self {
        Self { wall: Utc::now(), since_boot: since_boot() }
    }

    /// By the wall clock of this moment, when it was `since_boot`; if the clock was set between then, when it showed
    /// `wall`, and now.
    pub fn correct(self, wall: DateTime<Utc>, since_boot: Duration) -> Option<DateTime<Utc>> {
        let age = TimeDelta::from_std(self.since_boot.checked_sub(since_boot)?).ok()?;
        let corrected = self.wall.checked_sub_signed(age)?;
        ((corrected - wall).abs() > DRIFT).then_some(corrected)
    }
}

fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// What distinguishes this start of the machine from all others.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall: &str, seconds: u64) -> Moment {
        Moment { wall: wall.parse().expect("a time"), since_boot: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_clock_that_was_set_is_corrected_and_one_that_drifts_is_not() {
        let measured = moment("2026-01-08T10:00:00Z", 100);
        let later = moment("2026-01-18T10:10:00Z", 700);
        let corrected = later.correct(measured.wall, measured.since_boot);
        assert_eq!(corrected, "2026-01-18T10:00:00Z".parse().ok());
        let drifted = moment("2026-01-08T10:10:01Z", 700);
        assert_eq!(drifted.correct(measured.wall, measured.since_boot), None);
    }
}
