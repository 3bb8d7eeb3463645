//! The fleet at one time: every server with its verdict, what is worse first.

mod server;

use crate::explain::explain_in;
use crate::tables::Tables;
use chrono::{DateTime, TimeDelta, Utc};
pub use server::{CPU, DISK, LOAD, MEMORY, Server, UPTIME};
use std::time::Instant;
use syntax::duration::rounded;
use tables::event::Subject;
use tables::server::{Delivery, Groups, Memory, Server as StoredServer, VERSION, scan, scan_group};
use tables::{Group, ServerId, printable_json};
pub use verdict::{Doubt, Standing, Summary};

/// What is said if the watchdog keeps a newer version of the contract than this reader knows.
pub const NEWER: &str =
    "The stack is newer than this program, which may not show all that it does: update it";

/// All servers at one time, what is worse first.
#[derive(Debug)]
pub struct Fleet {
    pub servers: Vec<Server>,
    pub at: DateTime<Utc>,
    /// How well they are, in one sentence.
    pub summary: Summary,
    /// From when on the events of a server are kept by themselves.
    events_since: Option<DateTime<Utc>>,
    /// The version of the contract that the watchdog keeps.
    version: u32,
    /// How far this machine's clock is ahead, if that has to be said.
    clock_error: Option<TimeDelta>,
}

impl Fleet {
    /// Reads the servers table with one scan: of all servers, or those of a group. `progress` is called for each page of it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn scan(
        tables: &Tables,
        group: Option<&Group>,
        progress: impl Fn(),
    ) -> anyhow::Result<Self> {
        let Tables { client, servers, clock, .. } = tables;
        let started = Instant::now();
        let request = scan(client.scan().table_name(servers));
        let request = match group {
            Some(group) => scan_group(request, group),
            None => request,
        };
        let mut pages = request.into_paginator().send();
        let (mut stored, mut watchdog, mut deliveries) = (Vec::new(), None, None);
        let mut has_groups = false;
        while let Some(page) = pages.next().await {
            let page = page.map_err(explain_in(servers))?;
            progress();
            for item in page.items() {
                watchdog = watchdog.or_else(|| Memory::from_item(item));
                deliveries = deliveries.or_else(|| Delivery::all(item));
                has_groups |= Groups::is(item);
                stored.extend(StoredServer::from_item(item));
            }
        }
        if has_groups {
            // The scan reads attributes by name, and these are named after groups.
            let find = Groups::find(client.get_item().table_name(servers)).send();
            let found = find.await.map_err(explain_in(servers))?;
            let groups = Groups::from_item(found.item.as_ref());
            stored = stored.into_iter().map(|server| server.in_group(&groups)).collect();
        }
        // What the first page holds is as old as the scan.
        let took = TimeDelta::from_std(started.elapsed()).unwrap_or_default();
        let (memory, at) = (watchdog.as_ref(), clock.now() - took);
        let mut fleet = match group {
            Some(_) => Self::of(verdict::Fleet::judge_part(stored, memory, at), memory, at),
            None => Self::new(stored, memory, at),
        };
        fleet.summary.doubt_undelivered(&deliveries.unwrap_or_default());
        fleet.clock_error = clock.error();
        Ok(fleet)
    }

    /// Judges servers as they are stored, by what the watchdog has written into its own item.
    #[must_use]
    pub fn new(stored: Vec<StoredServer>, watchdog: Option<&Memory>, at: DateTime<Utc>) -> Self {
        Self::of(verdict::Fleet::judge(stored, watchdog, at), watchdog, at)
    }

    fn of(judged: verdict::Fleet, watchdog: Option<&Memory>, at: DateTime<Utc>) -> Self {
        let server = |(stored, verdict)| Server::new(stored, verdict, &judged.rules, at);
        Self {
            servers: judged.servers.into_iter().map(server).collect(),
            at,
            summary: judged.summary,
            events_since: watchdog.and_then(|memory| memory.events_since),
            version: watchdog.map_or(0, |memory| memory.version),
            clock_error: None,
        }
    }

    /// The server with this id.
    #[must_use]
    pub fn server(&self, id: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.id() == id)
    }

    /// What is known of where the events of a server are, which may have been forgotten.
    #[must_use]
    pub fn events_of<'a>(&self, id: &'a ServerId) -> Subject<'a> {
        Subject::Server { id, events_since: self.events_since }
    }

    /// The servers in which a search finds all its words, what is worse first.
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
        Ok(printable_json(&serde_json::to_string_pretty(&found)?))
    }

    /// Everything that is wrong, what is worse first: each as words that follow the server's id.
    pub fn problems(&self) -> impl Iterator<Item = (&Server, String)> {
        let each = self.servers.iter();
        each.flat_map(|server| {
            let problems = server.problems().into_iter();
            problems.map(move |problem| (server, problem))
        })
    }

    /// What has to be known besides: that the stack is newer than this program, that this machine's clock is wrong.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let newer = (self.version > VERSION).then(|| NEWER.to_owned());
        let warnings: Vec<_> = newer.into_iter().chain(self.clock()).collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }

    fn clock(&self) -> Option<String> {
        let error = self.clock_error?;
        let is_ahead = error > TimeDelta::zero();
        let direction = if is_ahead { "ahead of" } else { "behind" };
        let by = rounded(error);
        Some(format!("This machine's clock is {by} {direction} DynamoDB's, which is used here"))
    }
}
