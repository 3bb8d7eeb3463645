//! The decisions of a sweep, based only on the items and a time.

use super::config::Rules;
use chrono::{DateTime, TimeDelta, Utc};
use tables::Item;
use tables::server::{Server, Status};

/// A review of the fleet at one time. Memory grows with the number of servers to update or announce, not with the
/// fleet.
pub struct Review {
    rules: Rules,
    time: DateTime<Utc>,
    decision: Decision,
    late: Vec<(Server, TimeDelta)>,
    online: usize,
    overdue: usize,
}

/// The actions of a sweep, and the counts for its log.
#[derive(Debug, Default, PartialEq)]
pub struct Decision {
    /// Servers in the table.
    pub servers: usize,
    /// Servers that are online and late.
    pub late: usize,
    /// Late servers that are not judged, because a fault on our own path is the more likely cause.
    pub held: usize,
    /// Servers whose stored status is `offline`.
    pub away: usize,
    /// Items with a time that cannot be read.
    pub malformed: usize,
    /// Whether so many servers are overdue at once that a fault on our own path is the more likely cause.
    pub is_mass_silence: bool,
    /// Whether late servers are held, in a mass silence or shortly after it.
    pub is_holding: bool,
    /// Servers to mark as offline.
    pub offline: Vec<Server>,
    /// Servers that are marked as offline, but not announced yet.
    pub unannounced: Vec<Server>,
    /// Servers whose return is to be announced.
    pub back: Vec<Server>,
    /// Servers that returned, while silenced, from an absence that was never announced; its record is removed.
    pub forgotten: Vec<Server>,
}

impl Review {
    /// Starts a review.
    #[must_use]
    pub fn new(rules: Rules, time: DateTime<Utc>) -> Self {
        Self {
            rules,
            time,
            decision: Decision::default(),
            late: Vec::new(),
            online: 0,
            overdue: 0,
        }
    }

    /// Adds an item of the servers table.
    pub fn add(&mut self, item: &Item) {
        self.decision.servers += 1;
        let Some(server) = Server::read(item) else {
            return;
        };
        let Some(status) = server.status else {
            return;
        };
        self.decision.malformed += usize::from(server.is_malformed);
        let is_silenced = self.is_silenced(&server);
        match (status, &server.last_seen) {
            (Status::Offline, _) => {
                self.decision.away += 1;
                if server.offline_since.is_some() && !server.is_announced() && !is_silenced {
                    self.decision.unannounced.push(server);
                }
            }
            (Status::Online, None) => {}
            (Status::Online, Some(seen)) => {
                let silence = self.time - seen.time;
                if !is_silenced {
                    self.online += 1;
                    self.overdue += usize::from(silence * 2 > self.rules.offline_after);
                }
                if silence > self.rules.offline_after {
                    self.late.push((server, silence));
                } else if server.offline_since.is_some() {
                    // `announced` means that the last announcement about the server was "offline".
                    match (is_silenced, server.announced.is_some()) {
                        (false, _) => self.decision.back.push(server),
                        (true, false) => self.decision.forgotten.push(server),
                        (true, true) => {}
                    }
                }
            }
        }
    }

    fn is_silenced(&self, server: &Server) -> bool {
        server.silenced_until.is_some_and(|until| until > self.time)
    }

    /// Decides, after every item has been added. `last_mass_silence` is the time of the last sweep that detected one.
    #[must_use]
    pub fn conclude(self, last_mass_silence: Option<DateTime<Utc>>) -> Decision {
        let Self {
            rules,
            time,
            mut decision,
            late,
            online,
            overdue,
        } = self;
        let has_rule = rules.hold > TimeDelta::zero();
        decision.is_mass_silence = has_rule && overdue > 2 && overdue * 2 >= online;
        decision.is_holding = decision.is_mass_silence
            || has_rule
                && last_mass_silence.is_some_and(|last| (time - last).abs() <= rules.offline_after);
        decision.late = late.len();
        for (server, silence) in late {
            if decision.is_holding && silence < rules.hold {
                decision.held += 1;
            } else {
                decision.offline.push(server);
            }
        }
        decision
    }
}
