//! The keys table: which keys are accepted. It holds only their digests.

mod add;
mod import;
mod list;
mod new;
mod revoke;
mod rotate;

use crate::aws::Aws;
use crate::key::KeysTable;
use crate::target::Target;
pub use add::check_prefix;
use clap::{Args, Subcommand};
pub use new::New;

/// Create, list, revoke, rotate and import API keys.
#[derive(Args)]
#[command(
    after_help = "Example:\n  heartbeatctl --stack heartbeat keys add web-1 --label \"made by hand\""
)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Add(add::Add),
    List(list::List),
    Revoke(revoke::Revoke),
    Rotate(rotate::Rotate),
    Import(import::Import),
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let table = KeysTable::new(&aws).await?;
        match self.action {
            Action::Add(add) => add.run(&aws, &table, target.json).await,
            Action::List(list) => list.run(&table, target.json).await,
            Action::Revoke(revoke) => revoke.run(&table, target.json).await,
            Action::Rotate(rotate) => rotate.run(&table, target.json).await,
            Action::Import(import) => import.run(&table, target.json).await,
        }
    }
}
