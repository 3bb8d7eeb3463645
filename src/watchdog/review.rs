//! The decisions of a sweep, based only on the items and a time.

use chrono::{DateTime, Utc};
use tables::Item;
use tables::server::{Gap, Memory, Rules, Server, Status};
use verdict::absence::{Census, Lateness, MISSING_FOR_A_SWEEP, is_late_by_the_clock, usable};
use verdict::digest::{Digest, Schedule};
use verdict::{ProblemUpdate, Return, Verdict};

/// A review of the fleet at one time. Memory grows with the number of servers to update or announce, not with the fleet:
/// whatever is not late without regard to gaps is judged at once. The rest waits for the watchdog's own item, which may
/// come last.
pub struct Review {
    rules: Rules,
    time: DateTime<Utc>,
    memory: Memory,
    decision: Decision,
    /// Servers that are late unless a gap explains why they were not heard.
    maybe_late: Vec<Server>,
    census: Census,
    /// The digest, if it is the time of the day for one, and that time.
    digest: Option<(Digest, DateTime<Utc>)>,
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
    /// Items with an attribute that cannot be read.
    pub malformed: usize,
    /// Whether so many servers are overdue at once that a fault on our own path is the more likely cause.
    pub is_mass_absence: bool,
    /// Whether late servers are held, in a mass absence or shortly after it.
    pub is_holding: bool,
    /// The gap that this sweep found.
    pub new_gap: Option<Gap>,
    /// What the next sweep has to know.
    pub memory: Memory,
    /// Servers to mark as offline, as they are after that.
    pub offline: Vec<Server>,
    /// Servers that are marked as offline, but not announced yet.
    pub unannounced: Vec<Server>,
    /// Servers that have just returned: when they did is to be noted.
    pub returning: Vec<Server>,
    /// Servers whose return has lasted and is to be announced.
    pub back: Vec<Server>,
    /// Servers whose return has lasted, and about whose absence nothing was said; its record is removed.
    pub forgotten: Vec<Server>,
    /// Servers about whose problems there is something to write or to say.
    pub problems: Vec<ProblemUpdate>,
    /// How many problems wait, because the items of their servers have no room for them.
    pub waiting: usize,
    /// What the message of the day says, if it is due.
    pub digest: Option<Digest>,
}

impl Review {
    /// Starts a review.
    #[must_use]
    pub fn new(rules: Rules, schedule: Option<Schedule>, time: DateTime<Utc>) -> Self {
        let digest = schedule.and_then(|schedule| {
            let due = schedule.due(time)?;
            Some((Digest::new(schedule.is_always, time), due))
        });
        Self {
            census: Census::new(rules.clone(), time),
            rules,
            time,
            memory: Memory::default(),
            decision: Decision::default(),
            maybe_late: Vec::new(),
            digest,
        }
    }

    /// Adds an item of the servers table.
    pub fn add(&mut self, item: &Item) {
        if let Some(memory) = Memory::from_item(item) {
            self.memory = memory;
        }
        let Some(server) = Server::from_item(item) else {
            return;
        };
        self.decision.servers += 1;
        self.census.add(&server);
        let is_malformed = server.status.is_some() && server.is_malformed;
        self.decision.malformed += usize::from(is_malformed);
        if is_late_by_the_clock(&server, &self.rules, self.time) {
            self.maybe_late.push(server);
            return;
        }
        self.add_to_digest(&server, Lateness::OnTime);
        match (server.status, &server.last_seen) {
            (Some(Status::Offline), _) => {
                self.decision.away += 1;
                self.leave_unjudged(&server);
                let is_due = !server.is_announced() && !server.is_silenced(self.time);
                if server.offline_since.is_some() && is_due {
                    self.decision.unannounced.push(server);
                }
            }
            (Some(Status::Online), Some(_)) => self.judge(server),
            (Some(Status::Online), None) | (None, _) => {}
        }
    }

    /// A server that is online and not late: whether it has returned, or has a problem.
    fn judge(&mut self, server: Server) {
        let back = Return::of(&server, &self.rules, self.time);
        if back == Return::None && !server.is_silenced(self.time) {
            if let Some(judged) = ProblemUpdate::new(server, &self.rules.limits) {
                self.decision.waiting += judged.judgement.waiting;
                self.decision.problems.push(judged);
            }
            return;
        }
        self.leave_unjudged(&server);
        let server = server.with_return();
        match (back, &server.announced) {
            (Return::None | Return::Begun { is_noted: true, .. }, _) => {}
            (Return::Begun { is_noted: false, .. }, _) => self.decision.returning.push(server),
            (Return::Lasted, None) => self.decision.forgotten.push(server),
            (Return::Lasted, Some(_)) if server.is_silenced(self.time) => {}
            (Return::Lasted, Some(_)) => self.decision.back.push(server),
        }
    }

    /// A server about whose problems nothing is known at the moment.
    fn leave_unjudged(&mut self, server: &Server) {
        self.decision.problems.extend(ProblemUpdate::unjudged(server));
    }

    fn add_to_digest(&mut self, server: &Server, lateness: Lateness) {
        if let Some((digest, _)) = &mut self.digest {
            digest.add(server, Verdict::of(server, &self.rules, lateness, self.time));
        }
    }

    /// Decides, after every item has been added.
    #[must_use]
    pub fn conclude(mut self) -> Decision {
        let time = self.time;
        let census = std::mem::replace(&mut self.census, Census::new(self.rules.clone(), time));
        let circumstances = census.conclude(&self.memory, MISSING_FOR_A_SWEEP);
        self.decision.is_mass_absence = circumstances.is_mass_absence;
        self.decision.is_holding = circumstances.is_holding();
        for server in std::mem::take(&mut self.maybe_late) {
            let lateness = circumstances.judge(&server);
            self.add_to_digest(&server, lateness);
            if matches!(lateness, Lateness::OnTime | Lateness::Explained) {
                self.judge(server);
                continue;
            }
            self.decision.late += 1;
            self.leave_unjudged(&server);
            if lateness == Lateness::Held {
                self.decision.held += 1;
                self.decision.is_holding = true;
            } else {
                self.decision.offline.push(server.marked_offline(time));
            }
        }
        self.decision.new_gap = circumstances.gap.filter(|_| circumstances.is_new_gap);
        self.decision.memory = Memory {
            swept_at: Some(circumstances.swept_at.map_or(time, |at| at.max(time))),
            gap: circumstances.gap,
            mass_absence_at: circumstances.mass_absence_at,
            digest_at: usable(self.memory.digest_at, time),
            rules: Some(self.rules.clone()),
            ..Memory::default()
        };
        let digest_at = self.decision.memory.digest_at;
        let is_due = |due: DateTime<Utc>| digest_at.is_none_or(|at| at < due);
        self.decision.digest = self.digest.and_then(|(digest, due)| is_due(due).then_some(digest));
        self.decision
    }
}
