//! The decisions of a sweep, based only on the items and a time.

use super::read_time;
use crate::config::Rules;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;

/// A server that a sweep has to update or announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its key.
    pub server_id: String,
    /// The host name in its last heartbeat.
    pub hostname: Option<String>,
    /// When its last heartbeat was received, as stored.
    pub last_seen: Option<String>,
    /// The `last_seen` before its current absence, or before the one that it has returned from, as stored.
    pub offline_since: Option<String>,
    /// Whether it is silenced now. A silenced server is judged, but not announced.
    pub is_silenced: bool,
}

impl Server {
    /// The server after it has been marked as offline.
    #[must_use]
    pub fn marked_offline(&self) -> Self {
        Self {
            offline_since: self.last_seen.clone(),
            ..self.clone()
        }
    }
}

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
#[derive(Debug, Default, PartialEq, Eq)]
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
    pub fn add(&mut self, item: &HashMap<String, AttributeValue>) {
        self.decision.servers += 1;
        let text = |name: &str| item.get(name)?.as_s().ok();
        let is_readable = |name: &str| text(name).is_some_and(|text| read_time(text).is_some());
        let is_malformed = |name: &str| item.contains_key(name) && !is_readable(name);
        let is_online = text("status").is_some_and(|status| status == "online");
        let is_offline = text("status").is_some_and(|status| status == "offline");
        let times = ["last_seen", "offline_since", "silenced_until"];
        if (is_online || is_offline) && times.into_iter().any(is_malformed) {
            self.decision.malformed += 1;
        }
        let Some(server_id) = text("server_id") else {
            return;
        };
        let silenced_until = text("silenced_until").and_then(|text| read_time(text));
        let offline_since = text("offline_since").filter(|_| is_readable("offline_since"));
        let is_silenced = silenced_until.is_some_and(|until| until > self.time);
        let server = || Server {
            server_id: server_id.clone(),
            hostname: text("hostname").cloned(),
            last_seen: text("last_seen").cloned(),
            offline_since: offline_since.cloned(),
            is_silenced,
        };
        if is_offline {
            self.decision.away += 1;
            let is_announced = text("announced") == offline_since;
            if offline_since.is_some() && !is_announced && !is_silenced {
                self.decision.unannounced.push(server());
            }
        } else if is_online && let Some(seen) = text("last_seen").and_then(|text| read_time(text)) {
            let silence = self.time - seen;
            if !is_silenced {
                self.online += 1;
                self.overdue += usize::from(silence * 2 > self.rules.offline_after);
            }
            if silence > self.rules.offline_after {
                self.late.push((server(), silence));
            } else if offline_since.is_some() {
                // `announced` means that the last announcement about the server was "offline".
                match (is_silenced, item.contains_key("announced")) {
                    (false, _) => self.decision.back.push(server()),
                    (true, false) => self.decision.forgotten.push(server()),
                    (true, true) => {}
                }
            }
        }
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
