//! Servers in the order of the table, as many as a program asks for at once: nothing else is read.

use super::{Fleet, Server, Wanted, write_json};
use crate::explain::explain_in;
use crate::tables::Tables;
use std::io::Write;
use tables::server::{Server as StoredServer, key_of, scan, scan_group, server_with};
use tables::{Group, ServerId};
use verdict::Inspection;

/// The most servers of one listing.
pub(crate) const MAX_LISTED: usize = 1_000;

/// How often a listing reads at most, 1 MB at a time: what is looked for may be rare.
const MAX_READS: usize = 10;

/// How many items of the table are no servers, or a few more.
const OTHER_ITEMS: usize = 8;

/// Servers, each judged as one of a part of the fleet.
pub(crate) struct Listing {
    servers: Vec<Server>,
    /// The server after which the next listing begins, if there is more.
    pub next: Option<ServerId>,
}

impl Listing {
    /// Reads so many servers after that one, or from the first one on, of a group and of what is wanted. There may be fewer, and
    /// more of the table.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn read(
        tables: &Tables,
        group: Option<&Group>,
        wanted: &Wanted,
        limit: usize,
        after: Option<&ServerId>,
    ) -> anyhow::Result<Self> {
        let Tables { client, servers: table, clock, .. } = tables;
        let watchdog = Fleet::watchdog(tables).await?;
        let groups = Fleet::groups(tables).await?;
        let at = clock.now();
        let mut inspection = Inspection::new(watchdog.as_ref(), at, true);
        let mut servers: Vec<Server> = Vec::new();
        let mut start = after.map(key_of);
        // One more than is asked for tells whether there is more.
        let read_at_once = (group.is_none() && *wanted == Wanted::Any)
            .then(|| (limit + 1 + OTHER_ITEMS).try_into().unwrap_or(i32::MAX));
        for read in 1.. {
            let request = scan(client.scan().table_name(table)).set_limit(read_at_once);
            let request = match group {
                Some(group) => scan_group(request, group),
                None => request,
            };
            let page = request.set_exclusive_start_key(start).send().await;
            let page = page.map_err(explain_in(table))?;
            for stored in page.items().iter().filter_map(StoredServer::from_item) {
                let mut stored = stored.in_group(&groups);
                let (verdict, _) = inspection.judge(&mut stored);
                let server = Server::new(stored, verdict, inspection.rules(), at);
                if !wanted.is(&server) {
                    continue;
                }
                if servers.len() == limit {
                    let next = servers.last().and_then(|last| last.id().parse().ok());
                    return Ok(Self { servers, next });
                }
                servers.push(server);
            }
            let Some(end) = page.last_evaluated_key else {
                break;
            };
            // It may be an item that is no server.
            let next = server_with(&end);
            if read >= MAX_READS && next.is_some() {
                return Ok(Self { servers, next });
            }
            start = Some(end);
        }
        Ok(Self { servers, next: None })
    }

    /// Leaves the second half of the servers to the next listing. Returns whether there are fewer now.
    pub fn halve(&mut self) -> bool {
        let half = self.servers.len() / 2;
        if half > 0 {
            self.servers.truncate(half);
            self.next = self.servers.last().and_then(|last| last.id().parse().ok());
        }
        half > 0
    }

    /// Writes the servers for programs.
    ///
    /// # Errors
    /// If a value cannot be encoded or written.
    pub fn write_json(&self, writer: impl Write) -> serde_json::Result<()> {
        write_json(&self.servers, writer)
    }
}
