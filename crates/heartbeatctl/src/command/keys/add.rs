//! `keys add`

use super::new::New;
use crate::key::KeysTable;
use chrono::TimeDelta;
use clap::{ArgGroup, Args};
use syntax::duration;
use tables::ServerId;

/// Create a key and print it. It is shown only once; the table stores its digest.
#[derive(Args)]
#[command(
    group = ArgGroup::new("holder").required(true),
    after_help = "Example:\n  heartbeatctl --stack heartbeat keys add web-1 --expires 90d"
)]
pub struct Add {
    /// The only server that the key may write for.
    #[arg(group = "holder")]
    server: Option<ServerId>,
    /// A key that may write for every server.
    #[arg(long, group = "holder")]
    shared: bool,
    /// A label to find the key by later.
    #[arg(long)]
    label: Option<String>,
    /// How long the key is valid. Default: forever.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    expires: Option<TimeDelta>,
}

impl Add {
    pub async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let key = New::make(self.server, self.label, self.expires, table.now().await?)?;
        table.put(&key.stored).await?;
        key.print(json)
    }
}
