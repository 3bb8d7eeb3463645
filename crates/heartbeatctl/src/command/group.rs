//! Puts servers into a group.

use crate::server::{GROUPS_SINCE, ServerItem};
use crate::target::Target;
use crate::terminal::print;
use anyhow::bail;
use clap::Args;
use serde_json::json;
use tables::{Group, ServerId, server};

/// Put servers into a group, whose rules apply to them unless they have their own.
///
/// A server belongs to one group at most. `none` takes it out for good: no heartbeat whose key has a group brings it back.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat group web web-1 web-2
  heartbeatctl --stack heartbeat group none web-1")]
pub struct Command {
    /// 1 to 16 characters from a-z, 0-9 and -; or `none`.
    #[arg(value_parser = name)]
    name: Name,
    /// The servers.
    #[arg(required = true)]
    servers: Vec<ServerId>,
}

#[derive(Clone)]
struct Name(Option<Group>);

fn name(text: &str) -> Result<Name, &'static str> {
    if text == Group::NONE { Ok(Name(None)) } else { text.parse().map(Some).map(Name) }
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let group = self.name.0.as_ref();
        let mut failed = 0;
        for id in &self.servers {
            let item = ServerItem::new(target, id).await?;
            match item.update(GROUPS_SINCE, |update| server::group(update, id, group)).await {
                Ok(()) => eprintln!("{id}: {}", group.map_or(Group::NONE, Group::as_str)),
                Err(error) => {
                    eprintln!("{id}: {error:#}");
                    failed += 1;
                }
            }
        }
        if failed > 0 {
            bail!("{failed} of {} servers are as they were", self.servers.len());
        }
        if target.json {
            let ids: Vec<_> = self.servers.iter().map(ServerId::as_str).collect();
            print(&json!({ "group": group.map(Group::as_str), "servers": ids }).to_string())?;
        }
        Ok(())
    }
}
