//! Who is silenced by quiet times, or with all others (C8.7).

use chrono::{DateTime, NaiveDateTime, Utc};
use std::collections::HashMap;
use tables::Zone;
use tables::server::{Memory, Server};

/// What silences servers besides their own `silenced_until`, as of a time.
pub struct Silence {
    now: DateTime<Utc>,
    zone: Zone,
    /// What the zone's clocks show.
    local: NaiveDateTime,
    /// When that of all servers ends, if they are silenced.
    of_all: Option<DateTime<Utc>>,
    /// The ends of quiet times that were asked for: a group's are those of many servers.
    ends: HashMap<String, DateTime<Utc>>,
}

impl Silence {
    #[must_use]
    pub fn new(memory: &Memory, now: DateTime<Utc>, zone: Zone) -> Self {
        let until = memory.silenced_until.filter(|until| *until > now);
        let quiet = memory.quiet.as_ref().and_then(|quiet| quiet.ends(now, &zone));
        let local = zone.local(now);
        Self { now, zone, local, of_all: quiet.max(until), ends: HashMap::new() }
    }

    /// Marks a server as silenced if it is, without asking until when.
    pub fn mark(&self, server: &mut Server) {
        server.silenced_with_all_until = self.of_all;
        server.quiet_until = self.is_quiet(server).then_some(DateTime::<Utc>::MAX_UTC);
    }

    /// Notes on a server when its quiet time ends, and the silence of all.
    pub fn note(&mut self, server: &mut Server) {
        server.silenced_with_all_until = self.of_all;
        server.quiet_until = match &server.quiet {
            Some(quiet) if self.is_quiet(server) => {
                let end = || quiet.ends(self.now, &self.zone).unwrap_or(self.now);
                Some(*self.ends.entry(quiet.to_string()).or_insert_with(end))
            }
            _ => None,
        };
    }

    fn is_quiet(&self, server: &Server) -> bool {
        server.quiet.as_ref().is_some_and(|quiet| quiet.has(self.local))
    }
}
