//! Keeps the watchdog from announcing a server, or those of a group.

use crate::aws::Aws;
use crate::server::{ServerItem, Servers};
use crate::target::Target;
use crate::terminal::print_json;
use crate::whom::Whom;
use chrono::TimeDelta;
use clap::Args;
use serde_json::json;
use syntax::duration;
use tables::server;
use tables::time::format;

/// Keep the watchdog from announcing a server, or all of a group, for a time.
///
/// A server is still marked as online or offline; what still holds when the silence ends is announced then.
#[derive(Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:\n  heartbeatctl --stack heartbeat silence web-1 2h\n  heartbeatctl --stack heartbeat silence --group web 2h"
)]
pub struct Command {
    #[command(flatten)]
    whom: Whom,
    /// For how long from now (2h, 3days), or `off`.
    #[arg(value_parser = until)]
    time: Until,
}

#[derive(Clone)]
enum Until {
    Off,
    In(TimeDelta),
}

fn until(text: &str) -> Result<Until, String> {
    match text {
        "off" => Ok(Until::Off),
        text => duration::parse_positive(text).map(Until::In),
    }
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let whom = &self.whom;
        let servers = Servers::new(&Aws::new(target)).await?;
        let until = match self.time {
            Until::Off => None,
            Until::In(duration) => Some(servers.now().await? + duration),
        };
        if let Some(group) = &whom.group {
            servers.change_group(group, |rules| rules.silenced_until = until).await?;
        }
        if let Some(id) = &whom.server {
            let item = ServerItem { id, servers };
            item.update(0, |update| server::silence(update, id, until)).await?;
        }
        let silenced_until = until.map(format);
        if target.json {
            return Ok(print_json(&whom.told("silenced_until", json!(silenced_until)))?);
        }
        match silenced_until {
            None => eprintln!("{whom} is no longer silenced."),
            Some(until) => eprintln!("{whom} is silenced until {until}."),
        }
        Ok(())
    }
}
