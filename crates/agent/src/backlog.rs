//! Heartbeats that could not be sent, in memory, the oldest first.

use crate::sender::Outgoing;
use std::collections::VecDeque;
use std::time::Duration;

/// The maximum size of all bodies together, bytes. A heartbeat has about 700.
const MAX_BYTES: usize = 7_000_000;

/// The heartbeats that are kept.
pub struct Backlog {
    keep_for: Duration,
    bytes: usize,
    /// Each with the time at which it was measured, since the start of the agent.
    waiting: VecDeque<(Duration, Outgoing)>,
}

impl Backlog {
    pub const fn new(keep_for: Duration) -> Self {
        Self {
            keep_for,
            bytes: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Keeps a heartbeat that was measured now, and drops the oldest ones for which there is no room.
    pub fn keep(&mut self, now: Duration, heartbeat: Outgoing) {
        if self.keep_for.is_zero() {
            return;
        }
        self.bytes += heartbeat.body.len();
        self.waiting.push_back((now, heartbeat));
        while self.bytes > MAX_BYTES {
            self.pop();
        }
        self.drop_old(now);
    }

    /// Drops what has been kept for long enough.
    pub fn drop_old(&mut self, now: Duration) {
        let is_old = |(at, _): &(Duration, Outgoing)| now.saturating_sub(*at) > self.keep_for;
        let old = self
            .waiting
            .iter()
            .take_while(|waiting| is_old(waiting))
            .count();
        for _ in 0..old {
            self.pop();
        }
    }

    pub fn oldest(&self) -> Option<&Outgoing> {
        self.waiting.front().map(|(_, heartbeat)| heartbeat)
    }

    /// Removes the oldest one.
    pub fn pop(&mut self) {
        if let Some((_, heartbeat)) = self.waiting.pop_front() {
            self.bytes -= heartbeat.body.len();
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(body: &str) -> Outgoing {
        Outgoing {
            body: body.to_owned(),
            idempotency_key: String::new(),
        }
    }

    fn bodies(backlog: &Backlog) -> Vec<&str> {
        let waiting = backlog.waiting.iter();
        waiting
            .map(|(_, heartbeat)| heartbeat.body.as_str())
            .collect()
    }

    #[test]
    fn the_oldest_are_dropped_first() {
        let mut backlog = Backlog::new(Duration::from_secs(120));
        for (seconds, body) in [(0, "a"), (60, "b"), (120, "c"), (121, "d")] {
            backlog.keep(Duration::from_secs(seconds), outgoing(body));
        }
        assert_eq!(bodies(&backlog), ["b", "c", "d"]);
        backlog.drop_old(Duration::from_secs(181));
        assert_eq!(bodies(&backlog), ["c", "d"]);
        backlog.pop();
        assert_eq!(backlog.oldest().map(|oldest| &*oldest.body), Some("d"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut backlog = Backlog::new(Duration::MAX);
        for _ in 0..20_000 {
            backlog.keep(Duration::ZERO, outgoing(&"x".repeat(700)));
        }
        assert_eq!(backlog.len(), MAX_BYTES / 700);
        assert!(backlog.bytes <= MAX_BYTES);
        let mut none = Backlog::new(Duration::ZERO);
        none.keep(Duration::ZERO, outgoing("a"));
        assert_eq!(none.len(), 0);
    }
}
