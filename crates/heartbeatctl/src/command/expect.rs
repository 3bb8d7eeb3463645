//! Sets the threshold after which one server is late.

use crate::server::ServerItem;
use crate::target::Target;
use crate::terminal::print_json;
use chrono::TimeDelta;
use clap::{ArgGroup, Args};
use serde::Serialize;
use syntax::duration;
use tables::{ServerId, server};

/// Set the time without a heartbeat after which a server counts as offline.
///
/// Twice the agent's interval is the least that is safe: after an outage of our own path, an agent may need one interval
/// until its next heartbeat, and one heartbeat may be lost.
#[derive(Args)]
#[command(
    group = ArgGroup::new("threshold").required(true),
    after_help = "Examples:\n  heartbeatctl --stack heartbeat expect web-1 --within 15m\n  heartbeatctl --stack heartbeat expect laptop --never"
)]
pub struct Command {
    /// The server.
    server: ServerId,
    /// It is late after this time without a heartbeat.
    #[arg(long, group = "threshold", value_name = "DURATION", value_parser = threshold)]
    within: Option<TimeDelta>,
    /// It is never late, like a laptop.
    #[arg(long, group = "threshold")]
    never: bool,
    /// It is late when the watchdog's settings say so.
    #[arg(long, group = "threshold")]
    default: bool,
}

fn threshold(text: &str) -> Result<TimeDelta, String> {
    let threshold = duration::parse_positive(text)?;
    if threshold > TimeDelta::seconds(server::MAX_OFFLINE_AFTER) {
        return Err("it is longer than a year".to_owned());
    }
    if threshold.subsec_nanos() != 0 {
        return Err("it is not a whole number of seconds".to_owned());
    }
    Ok(threshold)
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Expected<'a> {
    server_id: &'a str,
    /// Seconds; 0 is never, and null the watchdog's setting.
    offline_after: Option<i64>,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let threshold = match (self.within, self.never) {
            (Some(within), _) => Some(within),
            (None, true) => Some(TimeDelta::zero()),
            (None, false) => None,
        };
        let server = &self.server;
        ServerItem::new(target, server)
            .await?
            .update(0, |update| server::expect(update, server, threshold))
            .await?;
        if target.json {
            let told = Expected {
                server_id: server.as_str(),
                offline_after: threshold.map(|threshold| threshold.num_seconds()),
            };
            return Ok(print_json(&told)?);
        }
        match threshold {
            None => eprintln!("{server} is late when the watchdog's settings say so."),
            Some(threshold) if threshold.is_zero() => eprintln!("{server} is never late."),
            Some(threshold) => {
                let words = duration::exact(threshold);
                eprintln!("{server} is late after {words} without a heartbeat.");
            }
        }
        Ok(())
    }
}
