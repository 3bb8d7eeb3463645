//! A fleet after an outage, as a model: every agent decides as the agent does, and API Gateway's throttle is a bucket of
//! tokens. The same seed gives the same numbers.

use super::{BacklogPace, retry_pause};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(60);
/// `OfflineAfterSeconds`.
const OFFLINE_AFTER: Duration = Duration::from_secs(180);
/// `ThrottleRate` and `ThrottleBurst`.
const RATE: f64 = 200.0;
const BURST: f64 = 1000.0;
/// From an attempt to its response.
const LATENCY: Duration = Duration::from_millis(50);
/// What every agent has kept when the model begins: in the last minute of an outage of an hour.
const KEPT: u32 = 59;

struct Throttle {
    tokens: f64,
    filled: Duration,
}

impl Throttle {
    fn admits(&mut self, now: Duration) -> bool {
        let new = (now - self.filled).as_secs_f64() * RATE;
        self.tokens = (self.tokens + new).min(BURST);
        self.filled = now;
        let admits = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(admits));
        admits
    }
}

#[derive(Clone, Copy)]
enum Attempt {
    /// Of the live heartbeat, after this many.
    Live(u32),
    Backlog,
}

struct Agent {
    due: Duration,
    next: Attempt,
    pace: BacklogPace,
    kept: u32,
    /// Since the outage.
    last_seen: Option<Duration>,
    was_silent: bool,
}

impl Agent {
    fn note_silence(&mut self, now: Duration) {
        let silence = now - self.last_seen.unwrap_or(INTERVAL);
        self.was_silent |= silence > OFFLINE_AFTER;
    }

    /// What follows an attempt, and when.
    fn proceed(&mut self, now: Duration, is_accepted: bool, chance: f64) -> Duration {
        let answered = now + LATENCY;
        match (self.next, is_accepted) {
            (Attempt::Live(before), true) => {
                self.note_silence(now);
                self.last_seen = Some(now);
                self.pace.after_live(Some(before + 1));
            }
            (Attempt::Live(before), false) => {
                let retry = answered + retry_pause(before + 1, Duration::ZERO, chance);
                if retry < self.due {
                    self.next = Attempt::Live(before + 1);
                    return retry;
                }
                self.pace.after_live(None);
                self.kept += 1;
            }
            (Attempt::Backlog, true) => {
                self.kept -= 1;
                self.pace.go_on(answered, chance);
            }
            (Attempt::Backlog, false) => self.pace.stop(answered, Duration::ZERO),
        }
        self.next = Attempt::Backlog;
        let backlog = self.pace.next(self.due).filter(|_| self.kept > 0);
        backlog.map_or(self.due, |next| next.max(answered))
    }
}

/// What has become of a fleet.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Servers that were silent for [`OFFLINE_AFTER`] after the outage.
    silent: usize,
    /// The share of attempts that were answered with 429 in the last five minutes, percent.
    throttled: u32,
    /// The share of the backlog that is still kept, percent.
    kept: u32,
}

/// A fleet, this long after an outage of an hour.
fn after_outage(agents: u32, time: Duration) -> Outcome {
    let mut random = fastrand::Rng::with_seed(7);
    let mut fleet = Vec::new();
    let mut queue = BinaryHeap::new();
    for number in 0..agents as usize {
        let start = INTERVAL.mul_f64(random.f64());
        fleet.push(Agent {
            due: start,
            next: Attempt::Live(0),
            pace: BacklogPace::new(),
            kept: KEPT,
            last_seen: None,
            was_silent: false,
        });
        queue.push(Reverse((start, number)));
    }
    let mut throttle = Throttle { tokens: BURST, filled: Duration::ZERO };
    let end = INTERVAL + time;
    let (mut attempts, mut throttled) = (0, 0);
    while let Some(Reverse((now, number))) = queue.pop().filter(|Reverse((now, _))| *now < end) {
        let agent = &mut fleet[number];
        if now >= agent.due {
            (agent.due, agent.next) = (now + INTERVAL, Attempt::Live(0));
        }
        let is_accepted = now >= INTERVAL && throttle.admits(now);
        if now + Duration::from_secs(300) >= end {
            attempts += 1;
            throttled += u32::from(!is_accepted);
        }
        let resume = agent.proceed(now, is_accepted, random.f64());
        queue.push(Reverse((resume, number)));
    }
    let percent =
        |part: u32, whole: u32| (f64::from(part) / f64::from(whole) * 100.0).round() as u32;
    fleet.iter_mut().for_each(|agent| agent.note_silence(end));
    Outcome {
        silent: fleet.iter().filter(|agent| agent.was_silent).count(),
        throttled: percent(throttled, attempts),
        kept: percent(fleet.iter().map(|agent| agent.kept).sum(), agents * (KEPT + 1)),
    }
}

// As docs/agent.md says it. Before an agent looked at its own live heartbeat first, 44 of the 8,000 servers and 790 of the
// 10,000 had been silent by then.
#[test]
fn a_fleet_of_forty_servers_for_each_request_per_second_outlives_an_outage() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let expected = Outcome { silent: 0, throttled: 53, kept: 75 };
    assert_eq!(after_outage(8000, minutes(30)), expected);
    let crowded = after_outage(10_000, minutes(10));
    assert!(crowded.silent < 10, "{crowded:?}");
}
