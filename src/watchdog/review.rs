//! The decisions of a sweep, based only on the items and a time.

use super::digest::{Digest, Schedule};
use super::problems::ProblemUpdate;
use chrono::{DateTime, TimeDelta, Utc};
use tables::Item;
use tables::server::{Gap, Memory, Rules, Server, Status};

/// Time between two sweeps from which sweeps are missing. They are a minute apart.
const MISSING_AFTER: TimeDelta = TimeDelta::seconds(90);

/// How far ahead of a sweep a time in the watchdog's own item may be. Times beyond that come from a wrong clock.
const TOLERANCE: TimeDelta = TimeDelta::seconds(180);

/// A return has lasted after this time even if the server reports rarely.
const RETURN_LASTS: TimeDelta = TimeDelta::hours(1);

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
    /// Of each online server that is not silenced and counts for the rule of mass absence only if a gap is not the reason:
    /// `last_seen` and threshold.
    doubtful: Vec<(DateTime<Utc>, TimeDelta)>,
    overdue: usize,
    overdue_or_heard: usize,
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
            Some((Digest::new(schedule.is_always), due))
        });
        Self {
            rules,
            time,
            memory: Memory::default(),
            decision: Decision::default(),
            maybe_late: Vec::new(),
            doubtful: Vec::new(),
            overdue: 0,
            overdue_or_heard: 0,
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
        let Some(status) = server.status else {
            self.add_to_digest(&server, false);
            return;
        };
        self.decision.malformed += usize::from(server.is_malformed);
        match (status, &server.last_seen) {
            (Status::Offline, _) => {
                self.decision.away += 1;
                self.add_to_digest(&server, false);
                self.leave_unjudged(&server);
                let is_due = !server.is_announced() && !server.is_silenced(self.time);
                if server.offline_since.is_some() && is_due {
                    self.decision.unannounced.push(server);
                }
            }
            (Status::Online, None) => self.add_to_digest(&server, false),
            (Status::Online, Some(seen)) => {
                let seen = seen.time;
                let age = self.time - seen;
                let threshold = self.threshold(&server);
                if !server.is_silenced(self.time) {
                    let is_overdue = is_late(age * 2, threshold);
                    if is_overdue || age * 2 > self.rules.offline_after {
                        self.doubtful.push((seen, threshold));
                    } else {
                        self.overdue_or_heard += 1;
                    }
                }
                if is_late(age, threshold) {
                    self.maybe_late.push(server);
                } else {
                    self.judge(server);
                }
            }
        }
    }

    /// A server that is online and not late: whether it has returned, or has a problem.
    fn judge(&mut self, server: Server) {
        self.add_to_digest(&server, false);
        let (Some(seen), Some(_)) = (&server.last_seen, &server.offline_since) else {
            if server.is_silenced(self.time) {
                self.leave_unjudged(&server);
            } else if let Some(judged) = ProblemUpdate::new(server, &self.rules.limits) {
                self.decision.waiting += judged.judgement.waiting;
                self.decision.problems.push(judged);
            }
            return;
        };
        self.decision.problems.extend(ProblemUpdate::unjudged(&server));
        let noted = server.returned_at.as_ref();
        let possible = noted.filter(|returned| returned.time <= seen.time);
        let is_noted = possible.is_some();
        let returned = possible.unwrap_or(seen).clone();
        let has_lasted = seen.time - returned.time >= self.rules.back_after
            || self.time - returned.time >= RETURN_LASTS;
        let server = Server { returned_at: Some(returned), ..server };
        match (has_lasted, &server.announced) {
            (false, _) if is_noted => {}
            (false, _) => self.decision.returning.push(server),
            (true, None) => self.decision.forgotten.push(server),
            (true, Some(_)) if server.is_silenced(self.time) => {}
            (true, Some(_)) => self.decision.back.push(server),
        }
    }

    /// A server about whose problems nothing is known at the moment.
    fn leave_unjudged(&mut self, server: &Server) {
        self.decision.problems.extend(ProblemUpdate::unjudged(server));
    }

    fn add_to_digest(&mut self, server: &Server, is_late: bool) {
        if let Some((digest, _)) = &mut self.digest {
            digest.add(server, is_late, self.time);
        }
    }

    fn threshold(&self, server: &Server) -> TimeDelta {
        server.offline_after.unwrap_or(self.rules.offline_after)
    }

    /// Decides, after every item has been added.
    #[must_use]
    pub fn conclude(mut self) -> Decision {
        let time = self.time;
        let is_usable = |at: &DateTime<Utc>| *at - time <= TOLERANCE;
        let swept_at = self.memory.swept_at.filter(is_usable);
        let new_gap = swept_at
            .is_none_or(|at| time - at > MISSING_AFTER)
            .then(|| Gap { since: swept_at.unwrap_or(DateTime::UNIX_EPOCH), until: time });
        let known_gap = self.memory.gap.filter(|gap| is_usable(&gap.until));
        let gap = new_gap.or(known_gap);
        let age = |seen: DateTime<Utc>| {
            let missed =
                gap.map_or(TimeDelta::zero(), |gap| gap.until.min(time) - gap.since.max(seen));
            time - seen - missed.max(TimeDelta::zero())
        };

        for (seen, threshold) in std::mem::take(&mut self.doubtful) {
            let doubled = age(seen) * 2;
            let is_overdue = is_late(doubled, threshold);
            self.overdue += usize::from(is_overdue);
            self.overdue_or_heard += usize::from(is_overdue || doubled <= self.rules.offline_after);
        }
        let has_rule = self.rules.hold > TimeDelta::zero();
        let is_mass_absence =
            has_rule && self.overdue > 2 && self.overdue * 2 >= self.overdue_or_heard;
        let last_mass_absence = self.memory.mass_absence_at.filter(is_usable);
        let is_holding = |threshold| {
            is_mass_absence
                || has_rule
                    && last_mass_absence.is_some_and(|last| (time - last).abs() <= threshold)
        };

        self.decision.is_mass_absence = is_mass_absence;
        self.decision.is_holding = is_holding(self.rules.offline_after);
        for server in std::mem::take(&mut self.maybe_late) {
            let threshold = self.threshold(&server);
            let seen = server.last_seen.as_ref();
            let age = seen.map_or(TimeDelta::zero(), |seen| age(seen.time));
            if !is_late(age, threshold) {
                self.judge(server);
                continue;
            }
            self.decision.late += 1;
            self.leave_unjudged(&server);
            if is_holding(threshold) && age < self.rules.hold.max(threshold * 2) {
                self.add_to_digest(&server, true);
                self.decision.held += 1;
                self.decision.is_holding = true;
            } else {
                let marked = server.marked_offline(time);
                self.add_to_digest(&marked, true);
                self.decision.offline.push(marked);
            }
        }
        self.decision.memory = Memory {
            swept_at: Some(swept_at.map_or(time, |at| at.max(time))),
            gap,
            mass_absence_at: is_mass_absence.then_some(time).or(last_mass_absence),
            digest_at: self.memory.digest_at.filter(is_usable),
            rules: Some(self.rules.clone()),
        };
        self.decision.new_gap = new_gap;
        let digest_at = self.decision.memory.digest_at;
        self.decision.digest = self
            .digest
            .filter(|(_, due)| digest_at.is_none_or(|at| at < *due))
            .map(|(digest, _)| digest);
        self.decision
    }
}

/// Whether the last heartbeat is older than a threshold. Zero is the threshold of a server that is never late.
fn is_late(age: TimeDelta, threshold: TimeDelta) -> bool {
    threshold > TimeDelta::zero() && age > threshold
}
