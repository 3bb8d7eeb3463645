//! An agent of the fleet: sends one heartbeat after another, and retries each until it is acknowledged. Some agents
//! send nothing for a while, and some forever.

use crate::KEY;
use crate::lambda::Gateway;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// When agents send nothing, counted from the start of the run. Those that leave stop when it starts.
const PAUSE: Range<Duration> = Duration::from_secs(10)..Duration::from_secs(40);

pub struct Agent {
    name: String,
    pub habit: Habit,
    gateway: Gateway,
    pause: Duration,
    /// The number of the next heartbeat.
    next: u64,
    pub heartbeats: Heartbeats,
}

/// Whether an agent stops, and whether it returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    Steady,
    Returns,
    Leaves,
}

impl Habit {
    /// One agent in ten returns, and one in ten leaves.
    pub const fn of(number: usize) -> Self {
        match number % 10 {
            0 => Self::Returns,
            1 => Self::Leaves,
            _ => Self::Steady,
        }
    }
}

/// The `server_id` of an agent.
pub fn name(number: usize) -> String {
    format!("agent-{number}")
}

/// The heartbeats of an agent, by their `Idempotency-Key`.
#[derive(Default)]
pub struct Heartbeats {
    pub sent: HashSet<String>,
    pub acknowledged: HashSet<String>,
    /// Those whose answer said that they registered the server.
    pub registered: HashSet<String>,
    /// The number of retries.
    pub retried: usize,
}

impl Agent {
    pub fn new(number: usize, gateway: Gateway, pause: Duration) -> Self {
        Self {
            name: name(number),
            habit: Habit::of(number),
            gateway,
            pause,
            next: 0,
            heartbeats: Heartbeats::default(),
        }
    }

    /// Sends heartbeats until `end`, and completes the last one.
    pub async fn run_until(mut self, end: Instant) -> Self {
        let started = Instant::now();
        sleep(self.pause.mul_f64(fastrand::f64())).await;
        loop {
            let elapsed = started.elapsed();
            match self.habit {
                Habit::Leaves if elapsed >= PAUSE.start => break,
                Habit::Returns if PAUSE.contains(&elapsed) => sleep(PAUSE.end - elapsed).await,
                _ => {}
            }
            self.send_heartbeat().await;
            let pause = self.pause.mul_f64(0.5 + fastrand::f64());
            if Instant::now() + pause > end {
                break;
            }
            sleep(pause).await;
        }
        self
    }

    /// Sends one heartbeat, and retries it until it is acknowledged.
    pub async fn send_heartbeat(&mut self) {
        let number = self.next;
        self.next += 1;
        let id = format!("{}-{number}", self.name);
        let event = self.event(&id, number);
        self.heartbeats.sent.insert(id.clone());
        let mut ceiling = Duration::from_millis(200);
        loop {
            match self.gateway.send(&event).await {
                Some((200, body)) => {
                    if body["server_registered"] == json!(true) {
                        self.heartbeats.registered.insert(id.clone());
                    }
                    self.heartbeats.acknowledged.insert(id);
                    return;
                }
                // A lost answer, or a status that agents retry.
                None | Some((429 | 500.., _)) => {}
                Some((status, body)) => panic!("unexpected answer: {status} {body}"),
            }
            self.heartbeats.retried += 1;
            sleep(ceiling.mul_f64(fastrand::f64())).await;
            ceiling = (ceiling * 2).min(Duration::from_secs(5));
        }
    }

    fn event(&self, id: &str, number: u64) -> String {
        let mut event: Value =
            serde_json::from_str(include_str!("../../events/heartbeat.json")).unwrap();
        event["headers"]["x-api-key"] = KEY.into();
        event["headers"]["idempotency-key"] = id.into();
        let body = json!({
            "server_id": self.name,
            "hostname": format!("{}.example", self.name),
            "timestamp": chrono::Utc::now().timestamp(),
            "os_info": { "distribution": "Debian GNU/Linux", "architecture": "x86_64" },
            "metrics": { "cpu_percent": fastrand::f64() * 100.0, "uptime_seconds": number * 60 },
        });
        event["body"] = body.to_string().into();
        event.to_string()
    }
}
