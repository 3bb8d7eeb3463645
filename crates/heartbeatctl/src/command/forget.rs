//! Removes a server from the table.

use crate::aws::Aws;
use crate::server::{ServerItem, Servers};
use crate::target::Target;
use crate::terminal::{confirm, print, printable};
use clap::{ArgGroup, Args};
use page::time;
use serde_json::json;
use std::io::{IsTerminal, stdin};
use tables::ServerId;

/// Remove a server from the table, for example when it is retired.
///
/// Its metrics expire by themselves, and its keys stay. With --registered-after, the servers are listed first: a shared key
/// that was stolen may have invented them, so revoke it before.
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true),
    after_help = "\
Examples:
  heartbeatctl --stack heartbeat forget web-1
  heartbeatctl --stack heartbeat forget --registered-after 2026-01-18T10:30")]
pub struct Command {
    /// The server.
    #[arg(group = "which")]
    server: Option<ServerId>,
    /// All servers whose first heartbeat came after this time, or less than this long ago.
    #[arg(long, group = "which", value_name = "TIME", value_parser = time::moment)]
    registered_after: Option<time::Moment>,
    /// Do not ask on the terminal.
    #[arg(long)]
    yes: bool,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        match (&self.server, self.registered_after) {
            (Some(server), _) => self.one(server, target).await,
            (None, Some(after)) => self.all_after(after, target).await,
            (None, None) => Ok(()),
        }
    }

    async fn one(&self, server: &ServerId, target: &Target) -> anyhow::Result<()> {
        let item = ServerItem::new(target, server).await?;
        item.fetch().await?;
        let warning = "If its agent is still running, its next heartbeat registers it again.";
        // Scripts are not asked: a live server comes back with its next heartbeat.
        let yes = self.yes || !stdin().is_terminal();
        confirm(&format!("Forget {server}? {warning}"), yes)?;
        item.forget().await?;
        if target.json {
            print(&json!({ "server_id": server.as_str() }).to_string())?;
        }
        eprintln!("{server} is forgotten. {warning}");
        Ok(())
    }

    async fn all_after(&self, after: time::Moment, target: &Target) -> anyhow::Result<()> {
        let servers = Servers::new(&Aws::new(target)).await?;
        let all = servers.all().await?;
        let after = after.at(servers.clock.now());
        let new = all.into_iter().filter_map(|server| {
            let at = tables::time::parse(server.registered_at.as_deref()?)?;
            let id = ServerId::new(&server.server_id).ok()?;
            (at > after).then_some((at, id, server.hostname))
        });
        let mut new: Vec<_> = new.collect();
        new.sort();
        for (at, id, hostname) in &new {
            let hostname = printable(hostname.as_deref().unwrap_or("–"));
            eprintln!("  {id}  {hostname}  registered {}", tables::time::format(*at));
        }
        if new.is_empty() {
            eprintln!("No server was registered after {}.", tables::time::format(after));
        } else {
            confirm(&format!("Forget these {} server(s)?", new.len()), self.yes)?;
        }
        for (_, id, _) in &new {
            servers.forget(id).await?;
        }
        if target.json {
            let ids: Vec<_> = new.iter().map(|(_, id, _)| id.as_str()).collect();
            print(&json!(ids).to_string())?;
        }
        eprintln!("✓ forgot {} server(s)", new.len());
        Ok(())
    }
}
