//! Removes a server from the table.

use crate::server::ServerItem;
use crate::target::Target;
use crate::terminal::{confirm, print};
use clap::Args;
use serde_json::json;
use std::io::{IsTerminal, stdin};
use tables::ServerId;

/// Remove a server from the table, for example when it is retired.
///
/// Its metrics expire by themselves.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat forget web-1")]
pub struct Command {
    /// The server.
    server: ServerId,
    /// Do not ask on the terminal.
    #[arg(long)]
    yes: bool,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let server = &self.server;
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
}
