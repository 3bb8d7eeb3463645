//! Sets the limits of a server's own, or of a group.

use crate::aws::Aws;
use crate::server::{ServerItem, Servers};
use crate::target::Target;
use crate::terminal::{print, print_json};
use anyhow::bail;
use clap::Args;
use clap::error::ErrorKind;
use page::fleet::{Doubt, NEWER};
use serde::Serialize;
use std::fmt::Display;
use tables::server::{self, VERSION};
use tables::{Group, Limits, ServerId, Zone};

/// Set limits of a server's own or of a group, from which the watchdog announces a problem, and show those that apply.
///
/// A server's own limit replaces that of its group, and this the watchdog's, for this metric or file system, and `off` means none. A limit with a duration, as in
/// cpu_percent=90/10m, has to last. Services and duplicates are watched unless they are `off`. Entries for anything else stay.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat limit web-1 disk_percent=93,disk_percent!=97
  heartbeatctl --stack heartbeat limit web-1 disk_percent=off,load_5m=16/10m
  heartbeatctl --stack heartbeat limit web-1 disk_percent:/backup=97,service:cups=off,duplicate=off
  heartbeatctl --stack heartbeat limit web-1 --default
  heartbeatctl --stack heartbeat limit --group web cpu_percent=95/30m")]
pub struct Command {
    /// The server; without it, with --group, the entries.
    #[arg(required_unless_present = "group")]
    server: Option<String>,
    /// All servers of this group, also those that join it later.
    #[arg(long, value_name = "NAME", conflicts_with = "limits")]
    group: Option<Group>,
    /// Entries KEY=LIMIT, KEY=LIMIT/DURATION or KEY=off, separated by commas: a KEY is a metric, metric! for what is urgent,
    /// disk_percent:MOUNT, disk_percent!:MOUNT, service, service:NAME or duplicate, and the last three can only be off.
    #[arg(value_parser = Limits::parse_own)]
    limits: Option<Limits>,
    /// Remove all limits of this server's own, or of this group.
    #[arg(long, conflicts_with = "limits")]
    default: bool,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Limited<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    server_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    /// Those of its own.
    limits: Option<String>,
    applies: String,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let first = self.server.as_deref();
        let usage = |reason: &dyn Display| clap::Error::raw(ErrorKind::ValueValidation, reason);
        let servers = Servers::new(&Aws::new(target)).await?;
        match (&self.group, first) {
            (Some(group), given) => {
                let given = given.map(Limits::parse_own).transpose();
                let given = given.map_err(|error| usage(&format!("{error}\n")))?;
                if given.is_some() && self.default {
                    bail!(usage(&"the argument '--default' cannot be used with limits\n"));
                }
                self.of_group(group, given, &servers, target.json).await
            }
            (None, first) => {
                let id = first.unwrap_or_default().parse::<ServerId>();
                let id = id.map_err(|reason| usage(&format!("{reason}\n")))?;
                self.of_server(&ServerItem { id: &id, servers }, target.json).await
            }
        }
    }

    async fn of_group(
        &self,
        group: &Group,
        given: Option<Limits>,
        servers: &Servers,
        json: bool,
    ) -> anyhow::Result<()> {
        let known = servers.groups().await?.of(group).and_then(|rules| rules.limits.clone());
        let known = known.unwrap_or_default();
        let limits = self.changed(&known, given.as_ref());
        if self.default || given.is_some() {
            let stored = (!limits.is_empty()).then(|| limits.clone());
            servers.change_group(group, |rules| rules.limits = stored).await?;
        }
        let applies = watchdogs(servers).await?.with(&limits);
        let told = Limited {
            server_id: None,
            group: Some(group.as_str()),
            limits: (!limits.is_empty()).then(|| limits.to_string()),
            applies: applies.to_string(),
        };
        let printed =
            if json { print_json(&told) } else { print(&format!("group {group}: {applies}")) };
        Ok(printed?)
    }

    async fn of_server(&self, item: &ServerItem<'_>, json: bool) -> anyhow::Result<()> {
        let server = item.fetch().await?;
        let known = server.limits.clone().unwrap_or_default();
        let own = self.changed(&known, self.limits.as_ref());
        if self.default || self.limits.is_some() {
            let stored = (!own.is_empty()).then_some(&own);
            // A watchdog before version 2 would ignore the whole list.
            let heeded_since = if own.has_urgent() { 2 } else { 0 };
            item.update(heeded_since, |update| server::limit(update, item.id, stored)).await?;
        }
        let groups = item.servers.groups().await?;
        let rules = server.group.as_ref().and_then(|group| groups.of(group));
        let of_group = rules.and_then(|rules| rules.limits.clone()).unwrap_or_default();
        let applies = watchdogs(&item.servers).await?.with(&of_group.with(&own));
        let told = Limited {
            server_id: Some(item.id.as_str()),
            group: None,
            limits: (!own.is_empty()).then(|| own.to_string()),
            applies: applies.to_string(),
        };
        let printed =
            if json { print_json(&told) } else { print(&format!("{}: {applies}", item.id)) };
        Ok(printed?)
    }

    fn changed(&self, known: &Limits, given: Option<&Limits>) -> Limits {
        match given {
            _ if self.default => Limits::default(),
            Some(limits) => known.with(limits),
            None => known.clone(),
        }
    }
}

/// The limits of the watchdog; the default if they are unknown, which is said.
async fn watchdogs(servers: &Servers) -> anyhow::Result<Limits> {
    let memory = servers.memory().await?;
    if memory.as_ref().is_some_and(|memory| memory.version > VERSION) {
        eprintln!("{NEWER}.");
    }
    let rules = memory.and_then(|memory| memory.rules);
    if rules.is_none() {
        eprintln!("{}.", Doubt::NoRules.say(servers.now().await?, &Zone::default()));
    }
    Ok(rules.unwrap_or_default().limits)
}
