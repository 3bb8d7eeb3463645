//! Sets the limits of one server's own.

use crate::server::ServerItem;
use crate::target::Target;
use crate::terminal::{print, print_json};
use clap::Args;
use page::fleet::{Doubt, NEWER};
use serde::Serialize;
use tables::server::VERSION;
use tables::{Limits, ServerId, server};

/// Set limits of a server's own, from which the watchdog announces a problem, and show those that apply.
///
/// A limit replaces the watchdog's for this metric or file system, and `off` means none. A limit with a duration, as in
/// cpu_percent=90/10m, has to last. Services and duplicates are watched unless they are `off`. Entries for anything else stay.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat limit web-1 disk_percent=97
  heartbeatctl --stack heartbeat limit web-1 disk_percent=off,load_5m=16/10m
  heartbeatctl --stack heartbeat limit web-1 disk_percent:/backup=97,service:cups=off,duplicate=off
  heartbeatctl --stack heartbeat limit web-1 --default")]
pub struct Command {
    /// The server.
    server: ServerId,
    /// Entries KEY=LIMIT, KEY=LIMIT/DURATION or KEY=off, separated by commas: a KEY is a metric, disk_percent:MOUNT,
    /// service, service:NAME or duplicate, and the last three can only be off.
    #[arg(value_parser = Limits::parse_own)]
    limits: Option<Limits>,
    /// Remove all limits of this server's own.
    #[arg(long, conflicts_with = "limits")]
    default: bool,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Limited<'a> {
    server_id: &'a str,
    /// Those of its own.
    limits: Option<String>,
    applies: String,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let server = &self.server;
        let item = ServerItem::new(target, server).await?;
        let known = item.fetch().await?.limits.unwrap_or_default();
        let own = match (&self.limits, self.default) {
            (_, true) => Limits::default(),
            (Some(limits), false) => known.with(limits),
            (None, false) => known.clone(),
        };
        if self.default || self.limits.is_some() {
            let stored = (!own.is_empty()).then_some(&own);
            item.update(0, |update| server::limit(update, server, stored)).await?;
        }
        let memory = item.memory().await?;
        if memory.as_ref().is_some_and(|memory| memory.version > VERSION) {
            eprintln!("{NEWER}.");
        }
        let rules = memory.and_then(|memory| memory.rules);
        if rules.is_none() {
            eprintln!("{}.", Doubt::NoRules.say(item.now().await?));
        }
        let applies = rules.unwrap_or_default().limits.with(&own);
        if target.json {
            let told = Limited {
                server_id: server.as_str(),
                limits: (!own.is_empty()).then(|| own.to_string()),
                applies: applies.to_string(),
            };
            return Ok(print_json(&told)?);
        }
        Ok(print(&format!("{server}: {applies}"))?)
    }
}
