//! Installs the agent on other machines, each with a key of its own, and waits for their first heartbeats.

mod agent;
mod attempt;
mod cloud_init;

use crate::aws::Aws;
use crate::key::KeysTable;
use crate::remote::ssh::Host;
use crate::server::Servers;
use crate::stop;
use crate::target::{Target, URL};
use crate::terminal::{print, printable};
use anyhow::{bail, ensure};
use attempt::Attempt;
use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;
use syntax::duration;
use syntax::url::parse_private;
use tables::key::Prefix;
use tables::{Group, ServerId};

/// Install the agent on a machine with systemd, give it a key of its own, and wait for its first heartbeat.
///
/// Where the package heartbeat-agent is installed, only its settings and the key are written. Else the program goes to
/// /usr/local/bin or /opt/bin, and its units to /etc/systemd/system. The key is written last, to a file that only root and
/// the agent can read; it goes there through ssh's standard input. If the new agent is not heard, everything is put back as
/// it was. Run again, it repairs what it finds, and revokes the server's older keys after the first heartbeat with the new
/// one.
///
/// ssh is your own, with your configuration, and asks at most once for each machine. As a user who is not root, it runs
/// one script with sudo, on your terminal.
///
/// With --print cloud-init, user data is printed instead, with which every instance of an autoscaling group becomes a server: its
/// id is the prefix and the instance's id, as in web-i-0abc. It holds a new key for all ids that begin so.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat enroll web-1 --ssh root@web-1
  heartbeatctl --stack heartbeat enroll --ssh root@web-1 --ssh admin@web-2
  heartbeatctl --stack heartbeat enroll --ssh web-3=root@192.0.2.7
  heartbeatctl --stack heartbeat enroll --print cloud-init --group web --prefix web- > user-data")]
pub struct Command {
    /// The server. Default: the name of the machine in --ssh, with invalid characters replaced by dashes. Of an address: what
    /// the machine calls itself, unless a server or a key has that name.
    server: Option<ServerId>,
    /// The server.
    #[arg(long = "as", value_name = "NAME", conflicts_with = "server")]
    name: Option<ServerId>,
    /// The machine, as ssh takes it, and before it the server if that is not its name. May be given more than once, without a
    /// SERVER.
    #[arg(long = "ssh", value_name = "[NAME=]HOST", required_unless_present = "print")]
    hosts: Vec<Named>,
    /// The URL of the endpoint, up to and including /api/v1/agents/heartbeat. Default: the stack's [env: HEARTBEAT_URL].
    #[arg(long, value_parser = url)]
    url: Option<String>,
    /// A folder with the archives of heartbeat-agent that `make release` builds. Default: what was built with this program.
    #[arg(long, value_name = "DIR")]
    agent: Option<PathBuf>,
    /// Print user data for machines that do not exist yet.
    #[arg(
        long,
        value_name = "FORMAT",
        requires = "prefix",
        conflicts_with_all = ["server", "name", "hosts", "replace", "wait"]
    )]
    print: Option<Format>,
    /// What the ids of these machines begin with. It ends with a dash.
    #[arg(long, requires = "print", conflicts_with = "hosts")]
    prefix: Option<Prefix>,
    /// The group of these machines.
    #[arg(long, value_name = "NAME", requires = "print", conflicts_with = "hosts")]
    group: Option<Group>,
    /// The URL of a folder with the archives of heartbeat-agent, for machines whose image has no agent. What they download has to
    /// be what --agent has.
    #[arg(long, value_name = "URL", requires = "print", conflicts_with = "hosts", value_parser = url)]
    from: Option<String>,
    /// Print it also if others have ids that begin with the prefix.
    #[arg(long, requires = "print", conflicts_with = "hosts")]
    force: bool,
    /// Take over an id that another machine has used within the last ten minutes.
    #[arg(long)]
    replace: bool,
    /// How long to wait for the first heartbeat.
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = duration::parse_positive)]
    wait: TimeDelta,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    CloudInit,
}

/// A machine, and the server that it becomes, if that was said.
#[derive(Clone)]
struct Named {
    server: Option<ServerId>,
    host: Host,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (server, host) = match text.split_once('=') {
            Some((server, host)) => {
                (Some(server.parse().map_err(|rule| format!("{server:?}: {rule}"))?), host)
            }
            None => (None, text),
        };
        Ok(Self { server, host: host.parse()? })
    }
}

/// A URL that the agent's settings can hold.
fn url(text: &str) -> Result<String, &'static str> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"'\"\\`".contains(&byte));
    if is_plain && parse_private(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err("it is not a URL")
    }
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let named = self.server.as_ref().or(self.name.as_ref());
        let is_said_twice =
            named.is_some() && self.hosts.iter().any(|named| named.server.is_some());
        ensure!(
            named.is_none() || self.hosts.len() == 1 && !is_said_twice,
            "one id is for one machine: leave it out, or pass one --ssh"
        );
        let aws = Aws::new(target);
        let endpoint = match &self.url {
            Some(given) => given.clone(),
            None => url(&aws.name(&URL).await?)
                .map_err(|reason| anyhow::anyhow!("the URL of the endpoint: {reason}"))?,
        };
        let keys = KeysTable::new(&aws).await?;
        let servers = Servers::new(&aws).await?;
        if let Some(prefix) = self.prefix.clone() {
            return cloud_init::print(&self, prefix, &endpoint, &keys, &servers, target.json).await;
        }
        let mut failed = Vec::new();
        for Named { server, host } in &self.hosts {
            let mut attempt = Attempt::new(&self, &endpoint, &keys, &servers);
            let server = server.as_ref().or(named).cloned();
            let done = tokio::select! {
                done = attempt.enroll(host.clone(), server) => done,
                stopped = stop::requested() => stopped.map_err(Into::into).and_then(|()| bail!("interrupted")),
            };
            let is_interrupted = done.is_err() && attempt.is_interrupted();
            match done {
                Ok(enrolled) if target.json => print(&enrolled.to_string())?,
                Ok(_) => (),
                Err(error) => {
                    eprintln!("✗ {host}: {}", printable(&format!("{error:#}")));
                    for line in attempt.settle().await {
                        eprintln!("  {line}");
                    }
                    failed.push(host.to_string());
                    if is_interrupted {
                        break;
                    }
                }
            }
        }
        match (failed.len(), self.hosts.len()) {
            (0, _) => Ok(()),
            (1, 1) => bail!("{} is not enrolled", failed[0]),
            (count, all) => {
                bail!("{count} of {all} machines are not enrolled: {}", failed.join(", "))
            }
        }
    }
}
