//! Heartbeats that could not be sent, in memory, the oldest first.

use crate::clock::Moment;
use crate::sender::Outgoing;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;

/// The maximum size of all bodies together, bytes. A heartbeat has about 700.
const MAX_BYTES: usize = 7_000_000;

/// What a heartbeat holds that is kept.
const KEPT: [&str; 6] = ["server_id", "hostname", "timestamp", "os_info", "metrics", "filesystems"];

/// A heartbeat that is sent later than it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Kept {
    #[serde(flatten)]
    pub outgoing: Outgoing,
    /// When it was measured, as its `timestamp` says.
    pub measured: DateTime<Utc>,
    /// The same since the start of the machine, if that was this one.
    #[serde(rename = "since_boot_ms", with = "milliseconds")]
    pub since_boot: Option<Duration>,
    /// Whether the endpoint may have stored it. Its timestamp is part of the key there, so with another one it would be
    /// stored twice.
    pub may_have_arrived: bool,
}

mod milliseconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_millis() as u64).serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(from)?.map(Duration::from_millis))
    }
}

impl Kept {
    /// Marks a heartbeat as measured at a moment that has passed. Its id stays, and of its content what a row has: the
    /// rest is about the present.
    pub fn new(mut heartbeat: Value, idempotency_key: String, measured: Moment) -> Self {
        if let Some(heartbeat) = heartbeat.as_object_mut() {
            heartbeat.retain(|name, _| KEPT.contains(&name.as_str()));
        }
        heartbeat["backlog"] = true.into();
        Self {
            outgoing: Outgoing { body: heartbeat.to_string(), idempotency_key },
            measured: measured.wall,
            since_boot: Some(measured.since_boot),
            may_have_arrived: true,
        }
    }

    /// Gives it the time that the clock would have shown if it had been right, as it is now.
    fn correct(&mut self, now: Moment) {
        let since_boot = self.since_boot.filter(|_| !self.may_have_arrived);
        let corrected = since_boot.and_then(|since_boot| now.correct(self.measured, since_boot));
        let heartbeat = serde_json::from_str::<Value>(&self.outgoing.body).ok();
        if let Some((time, mut heartbeat)) = corrected.zip(heartbeat) {
            heartbeat["timestamp"] = tables::time::format(time).into();
            self.outgoing.body = heartbeat.to_string();
            self.measured = time;
        }
    }

    fn age(&self, now: Moment) -> Duration {
        match self.since_boot {
            Some(since_boot) => now.since_boot.saturating_sub(since_boot),
            None => (now.wall - self.measured).to_std().unwrap_or_default(),
        }
    }
}

/// The heartbeats that are kept.
pub struct Backlog {
    keep_for: Duration,
    bytes: usize,
    waiting: VecDeque<Kept>,
}

impl Backlog {
    pub const fn new(keep_for: Duration) -> Self {
        Self { keep_for, bytes: 0, waiting: VecDeque::new() }
    }

    /// Keeps a heartbeat that is newer than all others, and drops the oldest ones for which there is no room.
    pub fn keep(&mut self, heartbeat: Kept) {
        if self.keep_for.is_zero() {
            return;
        }
        self.bytes += heartbeat.outgoing.body.len();
        self.waiting.push_back(heartbeat);
        while self.bytes > MAX_BYTES {
            self.pop();
        }
    }

    /// Drops what has been kept for long enough.
    pub fn drop_old(&mut self, now: Moment) {
        let is_old = |kept: &&Kept| kept.age(now) > self.keep_for;
        let old = self.waiting.iter().take_while(is_old).count();
        for _ in 0..old {
            self.pop();
        }
    }

    /// The oldest one, for an attempt that begins now. Until [`Self::did_not_leave`] says otherwise, it may have arrived.
    pub fn attempt(&mut self, now: Moment) -> Option<Attempt> {
        self.drop_old(now);
        let oldest = self.waiting.front_mut()?;
        let before = oldest.outgoing.body.len();
        oldest.correct(now);
        self.bytes = self.bytes - before + oldest.outgoing.body.len();
        let may_have_arrived = std::mem::replace(&mut oldest.may_have_arrived, true);
        Some(Attempt { outgoing: oldest.outgoing.clone(), may_have_arrived })
    }

    /// The attempt did not reach the endpoint.
    pub fn did_not_leave(&mut self, attempt: &Attempt) {
        if let Some(oldest) = self.waiting.front_mut() {
            oldest.may_have_arrived = attempt.may_have_arrived;
        }
    }

    /// Removes the oldest one.
    pub fn pop(&mut self) {
        if let Some(kept) = self.waiting.pop_front() {
            self.bytes -= kept.outgoing.body.len();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.waiting.iter()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// What an attempt sends, and whether it may have arrived with an earlier one.
pub struct Attempt {
    pub outgoing: Outgoing,
    may_have_arrived: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A heartbeat that was measured this long after the start of the machine, with a clock that was right.
    fn kept(seconds: u64, name: &str) -> Kept {
        Kept {
            may_have_arrived: false,
            ..Kept::new(serde_json::json!({}), name.to_owned(), at(seconds))
        }
    }

    fn at(seconds: u64) -> Moment {
        let wall = DateTime::from_timestamp(1_768_732_200 + seconds as i64, 0);
        Moment { wall: wall.expect("a time"), since_boot: Duration::from_secs(seconds) }
    }

    fn names(backlog: &Backlog) -> Vec<&str> {
        let kept = backlog.iter();
        kept.map(|kept| kept.outgoing.idempotency_key.as_str()).collect()
    }

    #[test]
    fn the_oldest_are_dropped_first() {
        let mut backlog = Backlog::new(Duration::from_secs(120));
        for (seconds, name) in [(0, "a"), (60, "b"), (120, "c"), (121, "d")] {
            backlog.keep(kept(seconds, name));
            backlog.drop_old(at(seconds));
        }
        assert_eq!(names(&backlog), ["b", "c", "d"]);
        backlog.drop_old(at(181));
        assert_eq!(names(&backlog), ["c", "d"]);
        backlog.pop();
        assert_eq!(names(&backlog), ["d"]);
    }

    // After another start of the machine, only the wall clock tells how old a heartbeat is.
    #[test]
    fn the_age_is_told_by_the_clock_that_both_starts_share() {
        let mut backlog = Backlog::new(Duration::from_secs(120));
        backlog.keep(Kept { since_boot: None, ..kept(1000, "earlier") });
        let after_restart = |seconds| Moment { since_boot: Duration::from_secs(5), ..at(seconds) };
        backlog.drop_old(after_restart(1119));
        assert_eq!(backlog.len(), 1);
        backlog.drop_old(after_restart(1121));
        assert!(backlog.is_empty());
    }

    // The clock was ten days behind until it was set.
    #[test]
    fn a_time_is_corrected_unless_the_heartbeat_may_have_arrived() {
        let ten_days = chrono::TimeDelta::days(10);
        for (arrived, is_corrected) in [(false, true), (true, false)] {
            let mut backlog = Backlog::new(Duration::MAX);
            let behind = Moment { wall: at(100).wall - ten_days, ..at(100) };
            backlog.keep(Kept {
                may_have_arrived: arrived,
                ..Kept::new(serde_json::json!({}), "a".to_owned(), behind)
            });
            let first = backlog.attempt(at(700)).expect("a heartbeat");
            let body: Value = serde_json::from_str(&first.outgoing.body).expect("JSON");
            let expected = is_corrected.then(|| tables::time::format(at(100).wall).into());
            assert_eq!(body.get("timestamp").cloned(), expected);
            // That attempt may have arrived, so the time stays from then on.
            let set_again = Moment { wall: at(760).wall + ten_days, ..at(760) };
            let second = backlog.attempt(set_again).expect("a heartbeat");
            assert_eq!(second.outgoing, first.outgoing);
        }
    }

    #[test]
    fn an_attempt_that_did_not_leave_changes_nothing() {
        let mut backlog = Backlog::new(Duration::MAX);
        backlog.keep(kept(100, "a"));
        let attempt = backlog.attempt(at(160)).expect("a heartbeat");
        assert!(backlog.iter().all(|kept| kept.may_have_arrived));
        backlog.did_not_leave(&attempt);
        assert!(backlog.iter().all(|kept| !kept.may_have_arrived));
    }

    #[test]
    fn memory_is_bounded() {
        let mut backlog = Backlog::new(Duration::MAX);
        let body = "x".repeat(700);
        let of_700_bytes =
            Kept { outgoing: Outgoing { body, idempotency_key: String::new() }, ..kept(0, "") };
        for _ in 0..20_000 {
            backlog.keep(of_700_bytes.clone());
        }
        assert_eq!(backlog.len(), MAX_BYTES / 700);
        assert!(backlog.bytes <= MAX_BYTES);
        let mut none = Backlog::new(Duration::ZERO);
        none.keep(kept(0, "a"));
        assert_eq!(none.len(), 0);
    }
}
