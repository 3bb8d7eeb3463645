//! The enrolment of one machine, step by step, and what is left of it if a step fails.

use super::{Command, agent};
use crate::command::keys::New;
use crate::key::{KeysTable, Listed};
use crate::remote::ssh::{Connection, Host};
use crate::remote::{Agent, Folder, Machine, Order};
use crate::server::Servers;
use crate::terminal::printable;
use announcement::words::quantity;
use anyhow::{bail, ensure};
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use syntax::duration::{exact, rounded};
use tables::key::Scope;
use tables::server::{Reading, Server};
use tables::{Metric, ServerId};

/// A server that was heard within this time is in use.
const IN_USE: TimeDelta = TimeDelta::minutes(10);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often the machine is asked whether the agent runs.
const ASK_EVERY: Duration = Duration::from_secs(3);

pub struct Attempt<'a> {
    command: &'a Command,
    url: &'a str,
    keys: &'a KeysTable,
    servers: &'a Servers,
    key: Option<Listed>,
    /// Whether an agent may have the new key.
    is_key_out: bool,
    is_done: bool,
}

impl<'a> Attempt<'a> {
    pub const fn new(
        command: &'a Command,
        url: &'a str,
        keys: &'a KeysTable,
        servers: &'a Servers,
    ) -> Self {
        Self { command, url, keys, servers, key: None, is_key_out: false, is_done: false }
    }

    /// Enrolls a machine, as this server if that was said; returns what `--json` prints.
    pub async fn enroll(&mut self, host: Host, server: Option<ServerId>) -> anyhow::Result<Value> {
        let enrolled = self.run(host, server).await;
        self.is_done = true;
        enrolled
    }

    /// Whether it was left before it ended.
    pub const fn is_interrupted(&self) -> bool {
        !self.is_done
    }

    async fn run(&mut self, host: Host, server: Option<ServerId>) -> anyhow::Result<Value> {
        let connection = Connection::new(host)?;
        let host = &connection.host;
        let machine = Machine::look(&connection).await?;
        let program = match (machine.has_package, &machine.processor) {
            (true, _) => None,
            (false, Ok(processor)) => {
                Some(agent::binary(self.command.agent.as_deref(), *processor)?)
            }
            (false, Err(processor)) => {
                bail!("there is no agent for the processor {}", printable(processor))
            }
        };
        let server = match server.or_else(|| host.server_id()) {
            Some(server) => server,
            None => self.new_server(host, &machine).await?,
        };
        let before = self.servers.find(&server).await?;
        ensure!(
            before.is_none() || host.server_id().is_some() || self.command.replace,
            "{server} is a known server, and nothing tells whether it is at this address: pass --replace if it is, or \
             if this machine takes its place"
        );
        let must_be_installed = self.check_id(&server, before.as_ref(), &machine)?;
        let what = if machine.has_package { "the package is installed" } else { "no package" };
        tick(
            host,
            &format!("{} is reachable, {what}; it becomes {server}", printable(&machine.hostname)),
        );

        let order = Order {
            server: &server,
            url: self.url,
            has_program: program.is_some(),
            must_be_installed,
            wait: self.command.wait.to_std().unwrap_or_default(),
        };
        let mut folder = Folder::for_enrollment(&connection, machine.is_root, &order).await?;
        let installed = self.install(&mut folder, host, &server, program).await;
        folder.remove().await;
        let (reading, old_keys) = installed?;
        for key in &old_keys {
            self.keys.delete(key).await?;
        }
        if !old_keys.is_empty() {
            tick(host, &format!("revoked {} older key(s) of {server}", old_keys.len()));
        }
        let values = reading.iter().flat_map(|reading| reading.metrics.iter());
        let values: serde_json::Map<_, _> =
            values.map(|(metric, value)| (metric.name.to_owned(), json!(value.as_f64()))).collect();
        Ok(json!({ "server_id": server.as_str(), "host": host.to_string(), "metrics": values }))
    }

    /// The server that a machine calls itself. Since it may lie, or share its name with another, that must be nobody's.
    async fn new_server(&self, host: &Host, machine: &Machine) -> anyhow::Result<ServerId> {
        let server = ServerId::from_hostname(&machine.hostname);
        let has = if self.servers.find(&server).await?.is_some() {
            "is a known server"
        } else if self.keys.of_server(&server).await?.is_empty() {
            return Ok(server);
        } else {
            "has keys"
        };
        bail!(
            "it calls itself {server}, and {server} {has}. Say which server it is: --as NAME, or \
             HOST=NAME={host} for make enroll; with --replace if that is known"
        )
    }

    /// Rejects an id that another machine uses; returns whether only root can say if this one does.
    fn check_id(
        &self,
        server: &ServerId,
        before: Option<&Server>,
        machine: &Machine,
    ) -> anyhow::Result<bool> {
        let last_seen = before.and_then(|server| server.last_seen.as_ref());
        let ago = last_seen.map(|seen| self.servers.clock.now() - seen.time);
        let Some(ago) = ago.filter(|ago| *ago < IN_USE && !self.command.replace) else {
            return Ok(false);
        };
        match &machine.agent {
            Agent::With(id) if id == server.as_str() => Ok(false),
            Agent::WithHiddenId => Ok(true),
            Agent::None | Agent::With(_) => bail!(
                "{server} was heard {} ago, but no agent with this id is installed here: choose another id, or pass --replace",
                rounded(ago.max(TimeDelta::zero()))
            ),
        }
    }

    /// Installs the agent, starts it and waits for its first heartbeat, or has everything put back; returns what was heard,
    /// and the server's older keys.
    async fn install(
        &mut self,
        folder: &mut Folder<'_>,
        host: &Host,
        server: &ServerId,
        program: Option<Vec<u8>>,
    ) -> anyhow::Result<(Option<Reading>, Vec<Listed>)> {
        if let Some(program) = program {
            folder.copy("heartbeat-agent", &program).await?;
        }
        folder.run().await?.output()?;
        let sender = folder.wait_for("prepared").await?.sender()?;
        let old_keys = self.keys.of_server(server).await?;
        let now = self.keys.now().await?;
        let key = New::make(
            Some(Scope::Server(server.clone())),
            None,
            Some("enrolled".to_owned()),
            None,
            now,
        )?;
        self.keys.put(&key.stored).await?;
        let secret = key.secret().as_bytes().to_vec();
        self.key = Some(key.stored);
        self.is_key_out = true;
        folder.copy("key", &secret).await?;
        let started = folder.wait_for("started").await?;
        // If the script failed, it has put the old key back.
        self.is_key_out = !started.has_ended;
        started.sender()?;

        let reading = self.first_heartbeat(folder, host, server, &sender).await?;
        let verdict = if reading.is_some() { "keep" } else { "put back" };
        folder.copy("verdict", verdict.as_bytes()).await?;
        let ended = folder.wait_for("ended").await?;
        self.is_key_out = ended.failure.is_none();
        let Some(heard) = reading else {
            bail!("no heartbeat within {}, so everything is as it was", exact(self.command.wait));
        };
        ended.sender()?;
        Ok((heard.reading, old_keys))
    }

    /// Waits for a heartbeat that was received after the start, by DynamoDB's clock: the agent that was here before may have
    /// sent one just before. `None` if there is none.
    async fn first_heartbeat(
        &mut self,
        folder: &mut Folder<'_>,
        host: &Host,
        server: &ServerId,
        sender: &str,
    ) -> anyhow::Result<Option<Server>> {
        let began = Instant::now();
        let wait = self.command.wait.to_std().unwrap_or_default();
        self.servers.find(server).await?;
        // That clock has whole seconds.
        let start = self.servers.clock.now() + TimeDelta::seconds(1);
        let mut looked = began;
        while began.elapsed() < wait {
            let (now, m1) = self.servers.find_with_sender(server).await?.unzip();
            // While another machine may still send with this id, only this tells whose heartbeat it is.
            let is_own = !self.command.replace || m1.flatten().is_none_or(|m1| m1 == sender);
            let is_new =
                |now: &Server| now.last_seen.as_ref().is_some_and(|seen| seen.time > start);
            if let Some(heard) = now.filter(|now| is_own && is_new(now)) {
                let reading = heard.reading.as_ref().map(shown);
                let reading = reading.unwrap_or_else(|| "without a reading".to_owned());
                let seconds = began.elapsed().as_secs();
                tick(host, &format!("heard from {server} after {seconds} s: {reading}"));
                return Ok(Some(heard));
            }
            if looked.elapsed() > ASK_EVERY {
                looked = Instant::now();
                let progress = folder.look().await?;
                self.is_key_out = !progress.has_ended;
                progress.sender()?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(None)
    }

    /// Ends an attempt that failed: revokes a key that no agent can have. Returns what is left to do.
    pub async fn settle(self) -> Vec<String> {
        let Some(key) = self.key else {
            return Vec::new();
        };
        let digest = key.short_digest();
        let command = format!("heartbeatctl keys revoke --digest {digest} --yes");
        if self.is_key_out {
            return vec![
                "The agent may have its new key. Run the same command again, which repairs it."
                    .to_owned(),
                format!("Or revoke the new key: {command}"),
            ];
        }
        match self.keys.delete(&key).await {
            Ok(()) => vec![format!("The key that was made for it ({digest}) is revoked.")],
            Err(error) => vec![
                format!(
                    "The key that was made for it cannot be revoked: {}",
                    printable(&format!("{error:#}"))
                ),
                format!("Revoke it later: {command}"),
            ],
        }
    }
}

fn tick(host: &Host, step: &str) {
    eprintln!("✓ {host}: {step}");
}

fn shown(reading: &Reading) -> String {
    // A counter says something only as a rate.
    let values = Metric::usual().filter(|metric| !metric.is_counter).filter_map(|metric| {
        let value = reading.metrics.value(metric)?.as_f64();
        Some(format!("{} {}", metric.label(), quantity(metric, value, None)))
    });
    values.collect::<Vec<_>>().join(", ")
}
