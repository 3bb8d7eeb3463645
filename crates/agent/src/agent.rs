//! The loop: one heartbeat per interval, and the backlog in between.

use crate::backlog::{Attempt, Kept};
use crate::clock::Moment;
use crate::machine::{Machine, Problem};
use crate::pace::BacklogPace;
use crate::print;
use crate::sender::{Failure, FailureKind, Outgoing, Sender};
use crate::state::State;
use anyhow::Context;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// A new agent is heard within this time, whatever its interval is.
const FIRST_WITHIN: Duration = Duration::from_secs(60);

/// How often the clocks are looked at while the agent waits. A laptop that wakes up sends its present state within it.
const TICK: Duration = Duration::from_secs(1);

/// Sends one heartbeat, and prints the answer.
///
/// # Errors
/// If it was not sent.
pub fn send_once(mut machine: Machine, sender: &Sender, interval: Duration) -> anyhow::Result<()> {
    let reading = machine.read();
    Said::default().tell_problems(&reading.problems);
    let heartbeat = Outgoing::new(&reading.heartbeat);
    let sent = sender.send(&heartbeat, Instant::now() + interval);
    print::result(sent.context("heartbeat not sent")?.answer);
    Ok(())
}

/// What the loop works with, and what a stop writes. It is never locked while something is read or sent.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<State>>);

impl Shared {
    pub fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Agent {
    interval: Duration,
    machine: Machine,
    pace: BacklogPace,
    said: Said,
    sender: Arc<Sender>,
    start: Instant,
    state: Shared,
}

impl Agent {
    pub fn new(
        mut machine: Machine,
        sender: Arc<Sender>,
        interval: Duration,
        state: Shared,
    ) -> Self {
        machine.history = state.lock().history.clone();
        Self {
            interval,
            machine,
            pace: BacklogPace::new(),
            said: Said::default(),
            sender,
            start: Instant::now(),
            state,
        }
    }

    /// Sends heartbeats for ever.
    pub fn run(mut self) -> ! {
        // Agents that start together must not all send in the same second.
        thread::sleep(self.interval.min(FIRST_WITHIN).mul_f64(fastrand::f64()));
        loop {
            let (due, due_by_clock) =
                (Instant::now() + self.interval, SystemTime::now() + self.interval);
            let accepted_after = self.send_live(due);
            self.pace.after_live(accepted_after);
            self.send_backlog(due, due_by_clock);
            sleep_until(due, due_by_clock);
        }
    }

    /// Sends the present state. Returns the number of attempts after which it was accepted.
    fn send_live(&mut self, due: Instant) -> Option<u32> {
        let reading = self.machine.read();
        self.said.tell_problems(&reading.problems);
        let heartbeat = Outgoing::new(&reading.heartbeat);
        let key = heartbeat.idempotency_key.clone();
        let kept = Kept::new(reading.heartbeat, key, reading.measured);
        {
            let mut state = self.state.lock();
            state.history = self.machine.history.clone();
            state.sending = Some(kept);
        }
        let sent = self.sender.send(&heartbeat, due);
        let mut state = self.state.lock();
        let kept = state.sending.take();
        let failure = match sent {
            Ok(accepted) => {
                self.said.forget_failures();
                return Some(accepted.attempts);
            }
            Err(failure) => failure,
        };
        if !matches!(failure.kind, FailureKind::Rejected(_)) {
            state.backlog.drop_old(Moment::now());
            if let Some(mut kept) = kept {
                kept.may_have_arrived = failure.may_have_arrived;
                state.backlog.keep(kept);
            }
        }
        let count = state.backlog.len();
        drop(state);
        self.said.tell_failure(&failure, count);
        None
    }

    /// Sends the backlog, oldest first, one at a time, until the next heartbeat is due.
    fn send_backlog(&mut self, due: Instant, due_by_clock: SystemTime) {
        while let Some(attempt) = self.next_attempt(due, due_by_clock) {
            let sent = self.sender.attempt(&attempt.outgoing, due);
            let now = self.start.elapsed();
            let mut state = self.state.lock();
            let failure = match sent {
                Ok(_) => {
                    state.backlog.pop();
                    self.pace.go_on(now, fastrand::f64());
                    continue;
                }
                Err(failure) => failure,
            };
            match failure.kind {
                FailureKind::Rejected(_) => {
                    state.backlog.pop();
                    print::message(format_args!("a kept heartbeat was rejected: {failure}"));
                    self.pace.go_on(now, fastrand::f64());
                    continue;
                }
                FailureKind::Transient(retry_after) => self.pace.stop(now, retry_after),
                FailureKind::Blocked(_) => {
                    self.pace.stop(now, Duration::ZERO);
                    self.said.tell_failure(&failure, state.backlog.len());
                }
            }
            if !failure.may_have_arrived {
                state.backlog.did_not_leave(&attempt);
            }
        }
    }

    /// Waits for the moment at which the oldest heartbeat may be sent, if there is one before the next heartbeat is due.
    fn next_attempt(&self, due: Instant, due_by_clock: SystemTime) -> Option<Attempt> {
        let next = self.pace.next(due.duration_since(self.start))?;
        if self.state.lock().backlog.is_empty() || SystemTime::now() >= due_by_clock {
            return None;
        }
        thread::sleep(next.saturating_sub(self.start.elapsed()));
        self.state.lock().backlog.attempt(Moment::now())
    }
}

/// Waits until a heartbeat is due by either clock: while a machine is suspended, only the wall clock goes on.
fn sleep_until(due: Instant, due_by_clock: SystemTime) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || SystemTime::now() >= due_by_clock {
            return;
        }
        thread::sleep(left.min(TICK));
    }
}

/// What has been said already, so that it is not said again every minute.
#[derive(Default)]
struct Said {
    problems: HashSet<String>,
    failures: HashSet<FailureKind>,
}

impl Said {
    /// Says what is wrong with the readings, each once until it is over.
    fn tell_problems(&mut self, problems: &[Problem]) {
        self.problems.retain(|known| problems.iter().any(|problem| problem.what == *known));
        for problem in problems {
            if self.problems.insert(problem.what.clone()) {
                print::message(problem);
            }
        }
    }

    /// Says why a heartbeat was not sent. What lasts until somebody changes something is said once, until one is accepted.
    fn tell_failure(&mut self, failure: &Failure, kept: usize) {
        let is_transient = matches!(failure.kind, FailureKind::Transient(_));
        if !is_transient && !self.failures.insert(failure.kind) {
            return;
        }
        let what = format_args!("heartbeat not sent: {failure}");
        match failure.kind {
            FailureKind::Rejected(_) => print::message(what),
            _ => print::message(format_args!("{what}; {kept} kept")),
        }
    }

    fn forget_failures(&mut self) {
        self.failures.clear();
    }
}
