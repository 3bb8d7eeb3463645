//! The fleet at one time: every server as the watchdog's rules judge it, problems first.

mod remark;
mod server;

use crate::explain_in;
use crate::time::{rounded, to_the_minute};
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
pub use remark::Remark;
pub use server::{CPU, DISK, LOAD, MEMORY, Server, UPTIME};
use tables::server::{Memory, Server as StoredServer, scan};

/// Time without a sweep from which the watchdog is late: it sweeps every minute.
const LATE_SWEEP: TimeDelta = TimeDelta::minutes(3);

/// All servers at one time, problems first.
#[derive(Debug)]
pub struct Fleet {
    pub servers: Vec<Server>,
    pub at: DateTime<Utc>,
    watchdog: Option<Memory>,
}

impl Fleet {
    /// Reads the servers table with one scan.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read(
        client: &Client,
        table: &str,
        at: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> anyhow::Result<Self> {
        let request = client.scan().table_name(table);
        let mut items = scan(request).into_paginator().items().send();
        let (mut stored, mut watchdog) = (Vec::new(), None);
        while let Some(item) = items.try_next().await.map_err(explain_in(table))? {
            watchdog = watchdog.or_else(|| Memory::read(&item));
            stored.extend(StoredServer::read(&item));
        }
        Ok(Self::new(stored, watchdog, at, offline_after))
    }

    /// Judges servers as they are stored.
    #[must_use]
    pub fn new(
        stored: Vec<StoredServer>,
        watchdog: Option<Memory>,
        at: DateTime<Utc>,
        offline_after: TimeDelta,
    ) -> Self {
        let judge = |stored| Server::new(stored, at, offline_after);
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
        let plural = if self.servers.len() == 1 { "" } else { "s" };
        let servers = self.servers.len();
        format!("{servers} server{plural}, {offline} offline{silenced}")
    }

    /// What has to be known about the watchdog.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let swept_at = self.watchdog.as_ref()?.swept_at?;
        let ago = self.at - swept_at;
        (ago > LATE_SWEEP).then(|| {
            let (ago, at) = (rounded(ago), to_the_minute(swept_at));
            format!("The watchdog's last sweep was {ago} ago, at {at}")
        })
    }
}
