//! The fleet at one time: every server as the watchdog's rules judge it, problems first.

mod problem;
mod remark;
mod server;

use crate::explain::explain_in;
use crate::tables::Tables;
use crate::time::to_the_minute;
use announcement::words::plural;
use chrono::{DateTime, TimeDelta, Utc};
pub use problem::Problem;
pub use remark::Remark;
pub use server::{CPU, DISK, LOAD, MEMORY, Server, UPTIME};
use std::time::Instant;
use syntax::duration::rounded;
use tables::server::{Memory, Server as StoredServer, VERSION, scan};

/// Time without a sweep from which the watchdog is late: it sweeps every minute.
const LATE_SWEEP: TimeDelta = TimeDelta::minutes(3);

/// What is said if no watchdog has written its rules into the table.
pub const NO_RULES: &str = "No watchdog has written its rules here: the defaults apply";

/// What is said if the watchdog keeps a newer version of the contract than this reader knows.
pub const NEWER: &str =
    "The stack is newer than this program, which may not show all that it does: update it";

/// All servers at one time, problems first.
#[derive(Debug)]
pub struct Fleet {
    pub servers: Vec<Server>,
    pub at: DateTime<Utc>,
    /// What the watchdog has written, if it ever has.
    watchdog: Option<Memory>,
    /// How far this machine's clock is ahead, if that has to be said.
    clock_error: Option<TimeDelta>,
}

impl Fleet {
    /// Reads the servers table with one scan. `progress` is called for each page of it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn scan(tables: &Tables, progress: impl Fn()) -> anyhow::Result<Self> {
        let Tables { client, servers, clock, .. } = tables;
        let started = Instant::now();
        let request = client.scan().table_name(servers);
        let mut pages = scan(request).into_paginator().send();
        let (mut stored, mut watchdog) = (Vec::new(), None);
        while let Some(page) = pages.next().await {
            let page = page.map_err(explain_in(servers))?;
            progress();
            for item in page.items() {
                watchdog = watchdog.or_else(|| Memory::from_item(item));
                stored.extend(StoredServer::from_item(item));
            }
        }
        // What the first page holds is as old as the scan.
        let took = TimeDelta::from_std(started.elapsed()).unwrap_or_default();
        let mut fleet = Self::new(stored, watchdog, clock.now() - took);
        fleet.clock_error = clock.error();
        Ok(fleet)
    }

    /// Judges servers as they are stored, by the rules in the watchdog's item.
    #[must_use]
    pub fn new(stored: Vec<StoredServer>, watchdog: Option<Memory>, at: DateTime<Utc>) -> Self {
        let written = watchdog.as_ref().and_then(|memory| memory.rules.as_ref());
        let rules = written.cloned().unwrap_or_default();
        let judge = |stored| Server::new(stored, &rules, at);
        let mut servers: Vec<_> = stored.into_iter().map(judge).collect();
        servers.sort_by_cached_key(Server::rank);
        Self { servers, at, watchdog, clock_error: None }
    }

    /// The server with this id.
    #[must_use]
    pub fn server(&self, id: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.id() == id)
    }

    /// The servers in which a search finds all its words, problems first.
    pub fn find(&self, search: &str) -> impl Iterator<Item = &Server> {
        let words: Vec<_> = search.split_whitespace().map(str::to_lowercase).collect();
        self.servers.iter().filter(move |server| server.has_words(&words))
    }

    /// The servers for programs.
    ///
    /// # Errors
    /// If a value cannot be encoded.
    pub fn json(&self, search: &str) -> serde_json::Result<String> {
        let found: Vec<_> = self.find(search).collect();
        serde_json::to_string_pretty(&found)
    }

    /// Everything that is wrong, the newest absence first.
    pub fn problems(&self) -> impl Iterator<Item = (&Server, Problem<'_>)> {
        self.servers
            .iter()
            .flat_map(|server| server.problems().map(move |problem| (server, problem)))
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

    /// What has to be known besides the servers: that the watchdog is late or has not written its rules, that this machine's
    /// clock is wrong.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let sweep = self.late_sweep().or_else(|| self.no_rules());
        let warnings: Vec<_> = [sweep, self.newer(), self.clock()].into_iter().flatten().collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }

    fn late_sweep(&self) -> Option<String> {
        let swept_at = self.watchdog.as_ref().and_then(|memory| memory.swept_at);
        let late = swept_at.filter(|at| self.at - *at > LATE_SWEEP)?;
        let (ago, at) = (rounded(self.at - late), to_the_minute(late));
        Some(format!("The watchdog's last sweep was {ago} ago, at {at}"))
    }

    fn no_rules(&self) -> Option<String> {
        let rules = self.watchdog.as_ref().and_then(|memory| memory.rules.as_ref());
        rules.is_none().then(|| NO_RULES.to_owned())
    }

    fn newer(&self) -> Option<String> {
        let version = self.watchdog.as_ref().map_or(0, |memory| memory.version);
        (version > VERSION).then(|| NEWER.to_owned())
    }

    fn clock(&self) -> Option<String> {
        let error = self.clock_error?;
        let is_ahead = error > TimeDelta::zero();
        let direction = if is_ahead { "ahead of" } else { "behind" };
        let by = rounded(error);
        Some(format!("This machine's clock is {by} {direction} DynamoDB's, which is used here"))
    }
}
