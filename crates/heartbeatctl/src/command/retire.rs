//! Retires servers: the agent, the keys, and the server's item.

use crate::aws::Aws;
use crate::key::KeysTable;
use crate::remote::ssh::{Connection, Host};
use crate::remote::{Agent, Folder, Machine};
use crate::server::Servers;
use crate::target::Target;
use crate::terminal::{confirm, print, printable};
use anyhow::{Context, bail, ensure};
use chrono::TimeDelta;
use clap::{ArgGroup, Args};
use serde_json::json;
use syntax::duration;
use tables::ServerId;
use tables::key::Scope;
use tables::server::Server;

/// Retire a server: stop and remove its agent, revoke its keys, and forget it.
///
/// Its metrics expire by themselves. Without --ssh, the agent is left alone, and its heartbeats are rejected once no
/// function instance has its key cached. With --silent-for, the servers are listed first, and those that send again
/// meanwhile stay.
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true),
    after_help = "\
Examples:
  heartbeatctl --stack heartbeat retire web-1 --ssh root@web-1
  heartbeatctl --stack heartbeat retire --silent-for 30d")]
pub struct Command {
    /// The server.
    #[arg(group = "which")]
    server: Option<ServerId>,
    /// The machine, as ssh takes it.
    #[arg(long, value_name = "HOST", requires = "server")]
    ssh: Option<Host>,
    /// All servers that were last heard longer ago than this.
    #[arg(long, group = "which", value_name = "DURATION", value_parser = duration::parse_positive)]
    silent_for: Option<TimeDelta>,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let keys = KeysTable::new(&aws).await?;
        let servers = Servers::new(&aws).await?;
        let retired = match (&self.server, self.silent_for) {
            (Some(server), _) => self.one(server, &keys, &servers).await?,
            (None, silent_for) => {
                self.retire_unheard(silent_for.unwrap_or_default(), &keys, &servers).await?
            }
        };
        if target.json {
            print(&json!(retired).to_string())?;
        }
        Ok(())
    }

    async fn one(
        &self,
        server: &ServerId,
        keys: &KeysTable,
        servers: &Servers,
    ) -> anyhow::Result<Vec<String>> {
        let item = servers.find(server).await?;
        let own_keys = keys.of_server(server).await?;
        ensure!(
            item.is_some() || !own_keys.is_empty() || self.ssh.is_some(),
            "there is no server {server}, and no key for it"
        );
        let agent = self
            .ssh
            .as_ref()
            .map_or(String::new(), |host| format!("remove the agent from {host}, "));
        let question =
            format!("Retire {server}: {agent}revoke {} key(s), and forget it?", own_keys.len());
        confirm(&question, self.yes)?;
        if let Some(host) = &self.ssh {
            remove_agent(host.clone(), server).await.with_context(|| {
                format!("{host}: the agent is not removed, so nothing else is changed")
            })?;
        }
        for key in &own_keys {
            keys.delete(key).await?;
        }
        eprintln!("✓ revoked {} key(s) of {server}", own_keys.len());
        if item.is_some() {
            servers.forget(server).await?;
            eprintln!("✓ forgot {server}");
        }
        if self.ssh.is_none() {
            eprintln!(
                "If its agent is still running, heartbeats with a cached or shared key register it again."
            );
        }
        Ok(vec![server.to_string()])
    }

    async fn retire_unheard(
        &self,
        time: TimeDelta,
        keys: &KeysTable,
        servers: &Servers,
    ) -> anyhow::Result<Vec<String>> {
        let mut unheard = servers.all().await?;
        let now = servers.clock.now();
        let age = |server: &Server| server.last_seen.as_ref().map(|seen| now - seen.time);
        unheard.retain(|server| age(server).is_some_and(|age| age > time));
        unheard.sort_by_key(|server| std::cmp::Reverse(age(server)));
        if unheard.is_empty() {
            eprintln!("No server has been silent for {}.", duration::rounded(time));
            return Ok(Vec::new());
        }
        for server in &unheard {
            let hostname = printable(server.hostname.as_deref().unwrap_or("–"));
            let ago = age(server).map(duration::rounded).unwrap_or_default();
            eprintln!("  {}  {hostname}  silent for {ago}", server.server_id);
        }
        confirm(
            &format!("Forget these {} servers, and revoke their own keys?", unheard.len()),
            self.yes,
        )?;
        let all_keys = keys.all().await?;
        let mut retired = Vec::new();
        for server in unheard {
            // First the server, on condition that it is still unheard: one that came back keeps its keys.
            if !servers.forget_unheard(&server).await? {
                eprintln!("{} was heard just now, and stays.", server.server_id);
                continue;
            }
            let is_own = |scope: &Scope| matches!(scope, Scope::Server(id) if id.as_str() == server.server_id);
            for key in all_keys.iter().filter(|key| key.scope.as_ref().is_some_and(is_own)) {
                keys.delete(key).await?;
            }
            retired.push(server.server_id);
        }
        eprintln!("✓ retired {} server(s)", retired.len());
        Ok(retired)
    }
}

async fn remove_agent(host: Host, server: &ServerId) -> anyhow::Result<()> {
    let connection = Connection::new(host)?;
    let machine = Machine::look(&connection).await?;
    if let Agent::With(id) = &machine.agent
        && id != server.as_str()
    {
        bail!("the agent that is installed is {}", printable(id));
    }
    let folder = Folder::for_retirement(&connection, machine.is_root, server).await?;
    let ended = folder.run().await?;
    for line in ended.stdout.lines().filter(|line| line.starts_with('✓')) {
        eprintln!("{}", printable(line));
    }
    ended.output()?;
    Ok(())
}
