//! When to send what: decisions without a clock and without a connection, so that the model of a fleet (`pace/fleet.rs`)
//! makes the same ones. A time is counted from any moment that stays the same, and chance is a number from 0 to 1.

#[cfg(test)]
mod fleet;

use std::time::Duration;

/// The upper bound of the random pause before the first retry. It doubles with each retry, up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// The shortest pause between two heartbeats of the backlog. Up to as much again is added at random.
const BACKLOG_PAUSE: Duration = Duration::from_millis(500);

/// The longest time for which the backlog waits because a response asks for it.
const MAX_BACKLOG_WAIT: Duration = Duration::from_secs(300);

/// The pause before a live heartbeat is sent again, after this many attempts.
pub fn retry_pause(attempts: u32, retry_after: Duration, chance: f64) -> Duration {
    let doubled = BACKOFF.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    retry_after.saturating_add(doubled.min(MAX_BACKOFF).mul_f64(chance))
}

/// When the backlog may be sent. After an outage, the backlogs of a fleet are far more than its live heartbeats; if they
/// were sent as soon as one heartbeat gets through, they would crowd out those of other servers. So an agent sends its
/// backlog only while the endpoint has room: its own live heartbeat was accepted at the first attempt, and nothing has
/// failed since.
pub struct BacklogPace {
    has_room: bool,
    next: Duration,
}

impl BacklogPace {
    pub const fn new() -> Self {
        Self { has_room: false, next: Duration::ZERO }
    }

    /// A live heartbeat was accepted after this many attempts, or was not.
    pub const fn after_live(&mut self, accepted_after: Option<u32>) {
        self.has_room = matches!(accepted_after, Some(1));
    }

    /// When the next heartbeat of the backlog may be sent, if that is before the next live one.
    pub fn next(&self, due: Duration) -> Option<Duration> {
        (self.has_room && self.next < due).then_some(self.next)
    }

    /// One of the backlog has been sent, and is done with.
    pub fn go_on(&mut self, now: Duration, chance: f64) {
        self.next = now + BACKLOG_PAUSE.mul_f64(1.0 + chance);
    }

    /// One of the backlog failed: the next live heartbeat tells whether there is room again.
    pub fn stop(&mut self, now: Duration, retry_after: Duration) {
        self.has_room = false;
        self.next = now + retry_after.min(MAX_BACKLOG_WAIT);
    }
}
