//! The loop: one heartbeat per interval, and the backlog in between.

use crate::backlog::Backlog;
use crate::machine::{Machine, Problem};
use crate::sender::{Failure, Outgoing, Sender};
use anyhow::Context;
use serde_json::Value;
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// The shortest pause between two heartbeats of the backlog. Up to as much again is added at random.
const BACKLOG_PAUSE: Duration = Duration::from_millis(500);

/// The pause after the endpoint was too busy for a heartbeat of the backlog. It doubles each time, up to
/// [`MAX_BUSY_PAUSE`].
const BUSY_PAUSE: Duration = Duration::from_secs(2);
const MAX_BUSY_PAUSE: Duration = Duration::from_secs(300);

/// How often the clocks are looked at while the agent waits. A laptop that wakes up sends its present state within it.
const TICK: Duration = Duration::from_secs(1);

pub struct Agent {
    pub backlog: Backlog,
    pub interval: Duration,
    pub machine: Machine,
    pub pace: Pace,
    pub sender: Sender,
}

impl Agent {
    /// Sends one heartbeat, and prints the answer.
    ///
    /// # Errors
    /// If it was not sent.
    pub fn send_once(mut self) -> anyhow::Result<()> {
        let reading = self.machine.read();
        Warnings::default().tell(&reading.problems);
        let heartbeat = Outgoing::new(&reading.heartbeat);
        let deadline = Instant::now() + self.interval;
        let sent = self.sender.send(&heartbeat, deadline);
        let answer = sent
            .map_err(anyhow::Error::from)
            .context("heartbeat not sent")?;
        println!("{answer}");
        Ok(())
    }

    /// Sends heartbeats for ever.
    pub fn run(mut self) -> ! {
        // Agents that start together must not all send in the same second.
        thread::sleep(self.interval.mul_f64(fastrand::f64()));
        let start = Instant::now();
        let mut warnings = Warnings::default();
        loop {
            let (due, due_by_clock) = (
                Instant::now() + self.interval,
                SystemTime::now() + self.interval,
            );
            let reading = self.machine.read();
            warnings.tell(&reading.problems);
            let heartbeat = Outgoing::new(&reading.heartbeat);
            match self.sender.send(&heartbeat, due) {
                Ok(_) => {
                    warnings.forget_rejections();
                    self.send_backlog(due, due_by_clock, start);
                }
                Err(Failure::Rejected(status, reason)) => warnings.tell_rejection(status, &reason),
                Err(failure) => {
                    self.backlog
                        .keep(start.elapsed(), as_backlog(reading.heartbeat, heartbeat));
                    eprintln!("heartbeat not sent: {failure}; {} kept", self.backlog.len());
                }
            }
            sleep_until(due, due_by_clock);
        }
    }

    /// Sends the backlog, oldest first, one at a time, until the next heartbeat is due.
    fn send_backlog(&mut self, due: Instant, due_by_clock: SystemTime, start: Instant) {
        loop {
            self.backlog.drop_old(start.elapsed());
            let Some(oldest) = self.backlog.oldest() else {
                return;
            };
            if self.pace.next >= due || SystemTime::now() >= due_by_clock {
                return;
            }
            thread::sleep(self.pace.next.saturating_duration_since(Instant::now()));
            match self.sender.attempt(oldest, due) {
                Ok(_) => {
                    self.backlog.pop();
                    self.pace.go_on();
                }
                Err(Failure::Rejected(_, reason)) => {
                    eprintln!("a kept heartbeat was rejected: {reason}");
                    self.backlog.pop();
                    self.pace.go_on();
                }
                Err(Failure::Untrusted(_)) => return,
                Err(Failure::Transient(_, retry_after)) => self.pace.slow_down(retry_after),
            }
        }
    }
}

/// When the next heartbeat of the backlog may be sent.
pub struct Pace {
    next: Instant,
    busy_pause: Duration,
}

impl Pace {
    pub fn new() -> Self {
        Self {
            next: Instant::now(),
            busy_pause: BUSY_PAUSE,
        }
    }

    fn go_on(&mut self) {
        self.next = Instant::now() + BACKLOG_PAUSE.mul_f64(1.0 + fastrand::f64());
        self.busy_pause = BUSY_PAUSE;
    }

    fn slow_down(&mut self, retry_after: Duration) {
        let pause = self.busy_pause.mul_f64(1.0 + fastrand::f64());
        self.next = Instant::now() + pause.max(retry_after.min(MAX_BUSY_PAUSE));
        self.busy_pause = (self.busy_pause * 2).min(MAX_BUSY_PAUSE);
    }
}

/// The same heartbeat, marked as measured earlier. Its id stays, so that one that arrived after all is stored once.
fn as_backlog(mut heartbeat: Value, sent: Outgoing) -> Outgoing {
    heartbeat["backlog"] = true.into();
    Outgoing {
        body: heartbeat.to_string(),
        ..sent
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
struct Warnings {
    /// The readings that are missing.
    missing: HashSet<String>,
    rejections: HashSet<u16>,
}

impl Warnings {
    /// Says what could not be read, once until it can be read again.
    fn tell(&mut self, problems: &[Problem]) {
        self.missing
            .retain(|known| problems.iter().any(|problem| problem.what == *known));
        for problem in problems {
            if self.missing.insert(problem.what.clone()) {
                eprintln!("{problem}");
            }
        }
    }

    fn tell_rejection(&mut self, status: u16, reason: &str) {
        if self.rejections.insert(status) {
            eprintln!("heartbeat not sent: {reason}");
        }
    }

    fn forget_rejections(&mut self) {
        self.rejections.clear();
    }
}
