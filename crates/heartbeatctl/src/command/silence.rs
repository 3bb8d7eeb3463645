//! Keeps the watchdog from announcing a server.

use crate::server::ServerItem;
use crate::target::Target;
use crate::terminal::print_json;
use chrono::TimeDelta;
use clap::Args;
use serde::Serialize;
use syntax::duration;
use tables::time::format;
use tables::{ServerId, server};

/// Keep the watchdog from announcing a server, for a time.
///
/// The server is still marked as online or offline; what still holds when the silence ends is announced then.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat silence web-1 2h")]
pub struct Command {
    /// The server.
    server: ServerId,
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

/// What is printed with `--json`.
#[derive(Serialize)]
struct Silenced<'a> {
    server_id: &'a str,
    silenced_until: Option<String>,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let server = &self.server;
        let item = ServerItem::new(target, server).await?;
        let until = match self.time {
            Until::Off => None,
            Until::In(duration) => Some(item.now().await? + duration),
        };
        item.update(0, |update| server::silence(update, server, until)).await?;
        let silenced_until = until.map(format);
        if target.json {
            let told = Silenced { server_id: server.as_str(), silenced_until };
            return Ok(print_json(&told)?);
        }
        match silenced_until {
            None => eprintln!("{server} is no longer silenced."),
            Some(until) => eprintln!("{server} is silenced until {until}."),
        }
        Ok(())
    }
}
