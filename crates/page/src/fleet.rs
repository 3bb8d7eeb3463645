//! The fleet at one time: its servers with their verdicts, what is worse first.

mod gathering;
mod listing;
mod section;
mod server;

use crate::explain::explain_in;
use crate::tables::Tables;
use announcement::words::at;
use chrono::{DateTime, TimeDelta, Utc};
use gathering::Gathering;
pub(crate) use gathering::{MAX_ROWS, Wanted};
pub(crate) use listing::{Listing, MAX_LISTED};
pub use section::Section;
use serde::Serialize;
pub use server::{CPU, DISK, LOAD, MEMORY, Server, UPTIME};
use std::io::{self, Write};
use std::time::Instant;
use syntax::duration::rounded;
use tables::event::Subject;
use tables::server::{Delivery, Groups, Memory, Server as StoredServer, VERSION, scan, scan_group};
use tables::{Group, Quiet, ServerId, Zone, printable_json};
pub use verdict::{Doubt, Standing, Summary};

/// What is said if the watchdog keeps a newer version of the contract than this reader knows.
pub const NEWER: &str =
    "The stack is newer than this program, which may not show all that it does: update it";

/// The servers at one time, what is worse first.
#[derive(Debug)]
pub struct Fleet {
    /// All of them, or the worst of more than can be kept.
    pub servers: Vec<Server>,
    /// What was looked for, if not all of them are kept.
    found: Option<Found>,
    /// How many of those that are not kept have something that is wrong.
    unlisted_unwell: usize,
    /// Whether it is a group alone.
    is_part: bool,
    pub at: DateTime<Utc>,
    /// How well they are, in one sentence.
    pub summary: Summary,
    /// The zone of every time in words.
    pub zone: Zone,
    /// From when on the events of a server are kept by themselves.
    events_since: Option<DateTime<Utc>>,
    /// What silences all of them: until when, and at which times.
    silenced_until: Option<DateTime<Utc>>,
    quiet: Option<Quiet>,
    /// The version of the contract that the watchdog keeps.
    version: u32,
    /// How far this machine's clock is ahead, if that has to be said.
    clock_error: Option<TimeDelta>,
    /// When its scan began. DynamoDB's clock has whole seconds, and does not tell which of two scans is the later one.
    pub(crate) began: Instant,
}

/// What a search has found in a fleet that is not kept.
#[derive(Debug)]
struct Found {
    wanted: Wanted,
    /// All that were found, or the worst of more than can be kept.
    servers: Vec<Server>,
    count: usize,
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
        Self::look_for(tables, group, Wanted::Any, None, progress).await
    }

    /// The same, of which at most so many servers are kept: all of them, or the worst and what is wanted. For that, they are
    /// judged while they are read, by rules that have to be known before.
    pub(crate) async fn look_for(
        tables: &Tables,
        group: Option<&Group>,
        wanted: Wanted,
        max: Option<usize>,
        progress: impl Fn(),
    ) -> anyhow::Result<Self> {
        let Tables { client, servers, clock, .. } = tables;
        let mut gathering = None;
        let mut groups = Groups::default();
        if let Some(max) = max {
            let watchdog = Self::watchdog(tables).await?;
            progress();
            groups = Self::groups(tables).await?;
            progress();
            gathering = Some(Gathering::new(
                watchdog.as_ref(),
                clock.now(),
                group.is_some(),
                wanted.clone(),
                max,
            ));
        }
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
                deliveries = deliveries.or_else(|| Delivery::all(item));
                let server = StoredServer::from_item(item);
                match &mut gathering {
                    Some(gathering) => {
                        let server = server.map(|server| server.in_group(&groups));
                        server.into_iter().for_each(|server| gathering.add(server));
                    }
                    None => {
                        watchdog = watchdog.or_else(|| Memory::from_item(item));
                        has_groups |= Groups::is(item);
                        stored.extend(server);
                    }
                }
            }
        }
        if has_groups {
            // The scan reads attributes by name, and these are named after groups.
            groups = Self::groups(tables).await?;
        }
        let mut fleet = match gathering {
            Some(gathering) => gathering.finish(),
            None => {
                // What the first page holds is as old as the scan.
                let took = TimeDelta::from_std(started.elapsed()).unwrap_or_default();
                let at = clock.now() - took;
                let mut gathering =
                    Gathering::new(watchdog.as_ref(), at, group.is_some(), wanted, usize::MAX);
                let stored = stored.into_iter().map(|server| server.in_group(&groups));
                stored.for_each(|server| gathering.add(server));
                gathering.finish()
            }
        };
        fleet.summary.doubt_undelivered(&deliveries.unwrap_or_default());
        fleet.clock_error = clock.error();
        fleet.began = started;
        Ok(fleet)
    }

    /// What the watchdog has written into its own item.
    async fn watchdog(Tables { client, servers, .. }: &Tables) -> anyhow::Result<Option<Memory>> {
        let found = Memory::find(client.get_item().table_name(servers)).send().await;
        Ok(found.map_err(explain_in(servers))?.item.as_ref().and_then(Memory::from_item))
    }

    /// The rules of the groups.
    async fn groups(Tables { client, servers, .. }: &Tables) -> anyhow::Result<Groups> {
        let found = Groups::find(client.get_item().table_name(servers)).send().await;
        Ok(Groups::from_item(found.map_err(explain_in(servers))?.item.as_ref()))
    }

    /// Judges servers as they are stored, by what the watchdog has written into its own item.
    #[must_use]
    pub fn new(stored: Vec<StoredServer>, watchdog: Option<&Memory>, at: DateTime<Utc>) -> Self {
        let mut gathering = Gathering::new(watchdog, at, false, Wanted::Any, usize::MAX);
        stored.into_iter().for_each(|server| gathering.add(server));
        gathering.finish()
    }

    /// Whether it has whatever there is of that.
    pub(crate) fn has(&self, wanted: &Wanted) -> bool {
        let found = self.found.as_ref();
        *wanted == Wanted::Any || found.is_none_or(|found| found.wanted == *wanted)
    }

    /// Whether there are more servers than it keeps.
    pub(crate) const fn is_cut(&self) -> bool {
        self.found.is_some()
    }

    /// The server with this id.
    #[must_use]
    pub fn server(&self, id: &str) -> Option<&Server> {
        let found = self.found.iter().flat_map(|found| &found.servers);
        self.servers.iter().chain(found).find(|server| server.id() == id)
    }

    /// What is known of where the events of a server are, which may have been forgotten.
    #[must_use]
    pub fn events_of<'a>(&self, id: &'a ServerId) -> Subject<'a> {
        Subject::Server { id, events_since: self.events_since }
    }

    /// The servers in which a search finds all its words, what is worse first, and how many there are, which may be more.
    #[must_use]
    pub fn find(&self, search: &str) -> (Vec<&Server>, usize) {
        match (&self.found, Wanted::search(search)) {
            (Some(_), Wanted::Any) => (
                self.servers.iter().collect(),
                self.summary.servers() + self.summary.count(Standing::Gone),
            ),
            (Some(found), _) => (found.servers.iter().collect(), found.count),
            (None, wanted) => {
                let found: Vec<_> = self.servers.iter().filter(|it| wanted.is(it)).collect();
                let count = found.len();
                (found, count)
            }
        }
    }

    /// The servers for programs.
    ///
    /// # Errors
    /// If a value cannot be encoded.
    pub fn json(&self, search: &str) -> serde_json::Result<String> {
        let mut json = Vec::new();
        self.write_json(search, &mut json)?;
        String::from_utf8(json).map_err(serde::ser::Error::custom)
    }

    /// Writes the same piece by piece.
    ///
    /// # Errors
    /// If a value cannot be encoded or written.
    pub fn write_json(&self, search: &str, writer: impl Write) -> serde_json::Result<()> {
        write_json(&self.find(search).0, writer)
    }

    /// How many more servers have something that is wrong.
    #[must_use]
    pub const fn unlisted_unwell(&self) -> usize {
        self.unlisted_unwell
    }

    /// Whether a server has a page, as far as that is known if not all are kept.
    pub(crate) fn may_have(&self, id: &str) -> bool {
        self.is_cut() || self.server(id).is_some()
    }

    /// What is set that silences all servers, now or at times of the week.
    #[must_use]
    pub fn silence(&self) -> Option<String> {
        let until = self.silenced_until.filter(|until| *until > self.at);
        let until =
            until.map(|until| format!("silenced until {}", at(until, Some(self.at), &self.zone)));
        let quiet = self.quiet.as_ref().map(|quiet| format!("quiet each week: {quiet}"));
        let set: Vec<_> = until.into_iter().chain(quiet).collect();
        (!set.is_empty()).then(|| format!("All servers: {}", set.join("; ")))
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

fn write_json(servers: &[impl Serialize], writer: impl Write) -> serde_json::Result<()> {
    serde_json::to_writer_pretty(Printable(writer), servers)
}

/// Escapes what is not printable in JSON, piece by piece.
struct Printable<W>(W);

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        // A piece of JSON is text.
        let text = str::from_utf8(piece).map_err(io::Error::other)?;
        self.0.write_all(printable_json(text).as_bytes())?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
