//! Who is silenced by quiet times, or with all others (C8.7).

use chrono::{DateTime, NaiveDateTime, Utc};
use tables::server::{Memory, Server};
use tables::{Quiet, Zone};

/// What silences servers besides their own `silenced_until`, as of a time.
pub struct Silence {
    now: DateTime<Utc>,
    zone: Zone,
    /// What the zone's clocks show.
    local: NaiveDateTime,
    /// When that of all servers ends, if they are silenced.
    of_all: Option<DateTime<Utc>>,
}

impl Silence {
    #[must_use]
    pub fn new(memory: &Memory, now: DateTime<Utc>, zone: Zone) -> Self {
        let until = memory.silenced_until.filter(|until| *until > now);
        let of_all = ends(memory.quiet.as_ref(), now, &zone).max(until);
        Self { now, local: zone.local(now), zone, of_all }
    }

    /// Whether a server is silenced with all others, or in a quiet time of its own.
    #[must_use]
    pub fn has(&self, server: &Server) -> bool {
        self.of_all.is_some() || server.quiet.as_ref().is_some_and(|quiet| quiet.has(self.local))
    }

    /// Notes on a server when its quiet time ends, and that of all.
    pub fn note(&self, server: &mut Server) {
        server.quiet_until = ends(server.quiet.as_ref(), self.now, &self.zone).max(self.of_all);
    }
}

fn ends(quiet: Option<&Quiet>, now: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
    quiet?.ends(now, zone)
}
