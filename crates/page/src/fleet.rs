//! The fleet at one time: every server as the watchdog's rules judge it, problems first.

mod remark;
mod server;

use crate::explain::explain_in;
use crate::time::{rounded, to_the_minute};
use announcement::words::plural;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
pub use remark::Remark;
pub use server::{CPU, DISK, LOAD, MEMORY, Server, UPTIME};
use tables::server::{Memory, Server as StoredServer, scan};

/// Time without a sweep from which the watchdog is late: it sweeps every minute.
const LATE_SWEEP: TimeDelta = TimeDelta::minutes(3);

/// What is said if no watchdog has written its rules into the table.
pub const NO_RULES: &str = "No watchdog has written its rules here: the defaults apply";

/// All servers at one time, problems first.
#[derive(Debug)]
pub struct Fleet {
    pub servers: Vec<Server>,
    pub at: DateTime<Utc>,
    /// What the watchdog has written, if it ever has.
    watchdog: Option<Memory>,
}

impl Fleet {
    /// Reads the servers table with one scan.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read(client: &Client, table: &str, at: DateTime<Utc>) -> anyhow::Result<Self> {
        let request = client.scan().table_name(table);
        let mut items = scan(request).into_paginator().items().send();
        let (mut stored, mut watchdog) = (Vec::new(), None);
        while let Some(item) = items.try_next().await.map_err(explain_in(table))? {
            watchdog = watchdog.or_else(|| Memory::read(&item));
            stored.extend(StoredServer::read(&item));
        }
        Ok(Self::new(stored, watchdog, at))
    }

    /// Judges servers as they are stored, by the rules in the watchdog's item.
    #[must_use]
    pub fn new(stored: Vec<StoredServer>, watchdog: Option<Memory>, at: DateTime<Utc>) -> Self {
        let written = watchdog.as_ref().and_then(|memory| memory.rules.as_ref());
        let rules = written.cloned().unwrap_or_default();
        let judge = |stored| Server::new(stored, &rules, at);
        let mut servers: Vec<_> = stored.into_iter().map(judge).collect();
        servers.sort_by_cached_key(Server::rank);
        Self {
            servers,
            at,
            watchdog,
        }
    }

    /// The servers for programs.
    ///
    /// # Errors
    /// If a value cannot be encoded.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.servers)
    }

    /// How many servers there are, and how many of them are not as usual.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |filter: &dyn Fn(&&Server) -> bool| self.servers.iter().filter(filter).count();
        let offline = count(&|server| !server.is_online);
        let silenced = match count(&|server| server.stored.silenced_until.is_some()) {
            0 => String::new(),
            silenced => format!(", {silenced} silenced"),
        };
        let servers = plural(self.servers.len(), "server");
        format!("{servers}, {offline} offline{silenced}")
    }

    /// What has to be known about the watchdog: that it is late, or that it has not written its rules.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let swept_at = self.watchdog.as_ref().and_then(|memory| memory.swept_at);
        let late = swept_at.filter(|at| self.at - *at > LATE_SWEEP);
        if let Some(swept_at) = late {
            let (ago, at) = (rounded(self.at - swept_at), to_the_minute(swept_at));
            return Some(format!("The watchdog's last sweep was {ago} ago, at {at}"));
        }
        let has_rules = self
            .watchdog
            .as_ref()
            .is_some_and(|memory| memory.rules.is_some());
        (!has_rules).then(|| NO_RULES.to_owned())
    }
}
