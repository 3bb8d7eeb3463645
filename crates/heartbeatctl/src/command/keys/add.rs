//! `keys add`

use super::new::New;
use crate::aws::Aws;
use crate::key::KeysTable;
use crate::server::Servers;
use anyhow::bail;
use chrono::TimeDelta;
use clap::{ArgGroup, Args};
use syntax::duration;
use tables::key::{Prefix, Scope};
use tables::{Group, ServerId};

/// Create a key and print it. It is shown only once; the table stores its digest.
///
/// One with a prefix is for all servers whose id begins so: those of an autoscaling group, whose image or user data holds it.
/// A prefix is rejected if another key, or a server outside of the group, has an id that begins so.
#[derive(Args)]
#[command(
    group = ArgGroup::new("holder").required(true),
    after_help = "\
Examples:
  heartbeatctl --stack heartbeat keys add web-1 --expires 90d
  heartbeatctl --stack heartbeat keys add --group web --prefix web-"
)]
pub struct Add {
    /// The only server that the key may write for.
    #[arg(group = "holder")]
    server: Option<ServerId>,
    /// A key for all servers whose id begins so and is longer. It ends with a dash.
    #[arg(long, group = "holder")]
    prefix: Option<Prefix>,
    /// A key that may write for every server.
    #[arg(long, group = "holder")]
    shared: bool,
    /// The group of servers that have none when they send a heartbeat with the key.
    #[arg(long, value_name = "NAME")]
    group: Option<Group>,
    /// Create it also if others have ids that begin with the prefix.
    #[arg(long)]
    force: bool,
    /// A label to find the key by later.
    #[arg(long)]
    label: Option<String>,
    /// How long the key is valid. Default: forever.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive)]
    expires: Option<TimeDelta>,
}

impl Add {
    pub async fn run(self, aws: &Aws<'_>, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        if let Some(prefix) = self.prefix.as_ref().filter(|_| !self.force) {
            check_prefix(prefix, self.group.as_ref(), &Servers::new(aws).await?, table).await?;
        }
        let server = self.server.map(Scope::Server);
        let scope = server.or(self.prefix.map(Scope::Prefix));
        let now = table.now().await?;
        let key = New::make(scope, self.group, self.label, self.expires, now)?;
        table.put(&key.stored).await?;
        key.print(json)
    }
}

/// Rejects a prefix that is the start of the id of a known server outside of the group, or of what another key is for.
pub async fn check_prefix(
    prefix: &Prefix,
    group: Option<&Group>,
    servers: &Servers,
    table: &KeysTable,
) -> anyhow::Result<()> {
    let keys = table.all().await?;
    let begins_so = |scope: &Scope| scope.to_string().starts_with(prefix.as_str());
    if let Some(key) = keys.iter().find(|key| key.scope.as_ref().is_some_and(begins_so)) {
        bail!("there is a key {}: pass --force if that is meant", key.describe());
    }
    let known = servers.all().await?;
    let is_outside = |group_of: Option<&Group>| group.is_none() || group_of != group;
    let other = known.iter().find(|server| {
        server.server_id.starts_with(prefix.as_str()) && is_outside(server.group.as_ref())
    });
    match (other, group) {
        (Some(server), Some(group)) => {
            bail!(
                "{} is a known server outside of the group {group}: pass --force if that is meant",
                server.server_id
            )
        }
        (Some(server), None) => {
            bail!("{} is a known server: pass --force if that is meant", server.server_id)
        }
        (None, _) => Ok(()),
    }
}
