//! The review of a sweep: every item of the table goes in, what has to be done comes out, based only on the items and a time.

use crate::absence;
use crate::digest::{Digest, Schedule};
use crate::lateness::{Census, Lateness, MISSING_FOR_A_SWEEP, is_late_by_the_clock, usable};
use crate::problem::ProblemUpdate;
use crate::standing::{Verdict, is_judged};
use crate::transition::{Plan, Transition};
use chrono::{DateTime, Utc};
use tables::Item;
use tables::server::{Delivery, Gap, Groups, Memory, Rules, Server, Status, VERSION};

/// A review of the fleet at one time. Memory grows with the number of servers to update or announce, not with the fleet:
/// whatever is not late by the clock is judged at once. The rest waits for the watchdog's own item, which may come last.
pub struct Review {
    rules: Rules,
    groups: Groups,
    time: DateTime<Utc>,
    memory: Memory,
    census: Census,
    /// Servers that are late unless a gap explains why they were not heard.
    maybe_late: Vec<Server>,
    transitions: Vec<Transition>,
    counts: Counts,
    /// The digest, if it is the time of the day for one, and that time.
    digest: Option<(Digest, DateTime<Utc>)>,
}

/// The numbers of a sweep, for its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
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
    /// How many problems wait, because the items of their servers have no room for them.
    pub waiting: usize,
}

/// What a sweep has to do.
#[derive(Debug, PartialEq)]
pub struct Decision {
    pub counts: Counts,
    /// Whether so many servers are overdue at once that a fault on our own path is the more likely cause.
    pub is_mass_absence: bool,
    /// Whether late servers are held, in a mass absence or shortly after it.
    pub is_holding: bool,
    /// The gap that this sweep found.
    pub new_gap: Option<Gap>,
    /// What the next sweep has to know.
    pub memory: Memory,
    pub plan: Plan,
    /// What the message of the day says, if it is due.
    pub digest: Option<Digest>,
}

impl Review {
    /// Starts a review.
    #[must_use]
    pub fn new(
        rules: Rules,
        groups: Groups,
        schedule: Option<Schedule>,
        time: DateTime<Utc>,
    ) -> Self {
        let digest = schedule.and_then(|schedule| {
            let due = schedule.due(time)?;
            Some((Digest::new(schedule.is_always, time), due))
        });
        Self {
            census: Census::new(rules.clone(), time),
            rules,
            groups,
            time,
            memory: Memory::default(),
            maybe_late: Vec::new(),
            transitions: Vec::new(),
            counts: Counts::default(),
            digest,
        }
    }

    /// Whether it is the time of the day for a digest, which another sweep may have sent.
    #[must_use]
    pub const fn is_digest_due(&self) -> bool {
        self.digest.is_some()
    }

    /// Adds an item of the servers table.
    pub fn add(&mut self, item: &Item) {
        if let Some(memory) = Memory::from_item(item) {
            self.memory = memory;
        }
        if let Some((digest, _)) = &mut self.digest
            && let Some(deliveries) = Delivery::all(item)
        {
            digest.doubt_undelivered(&deliveries);
        }
        let Some(server) = Server::from_item(item) else {
            return;
        };
        let server = server.in_group(&self.groups);
        self.counts.servers += 1;
        self.counts.away += usize::from(server.status == Some(Status::Offline));
        let is_malformed = server.status.is_some() && server.is_malformed;
        self.counts.malformed += usize::from(is_malformed);
        self.census.add(&server);
        if is_late_by_the_clock(&server, &self.rules, self.time) {
            self.maybe_late.push(server);
        } else {
            self.judge(server, Lateness::OnTime);
        }
    }

    fn judge(&mut self, server: Server, lateness: Lateness) {
        let (rules, now) = (&self.rules, self.time);
        if let Some((digest, _)) = &mut self.digest {
            digest.add(&server, Verdict::of(&server, rules, lateness, now));
        }
        self.transitions.extend(absence::transition(&server, lateness, rules, now));
        let problems = if is_judged(&server, lateness, rules, now) {
            ProblemUpdate::new(server, &rules.limits, now)
        } else {
            let is_known = server.status.is_some() && server.last_seen.is_some();
            is_known.then(|| ProblemUpdate::unjudged(&server, now)).flatten()
        };
        if let Some(problems) = problems {
            self.counts.waiting += problems.judgement.waiting;
            self.transitions.extend(Transition::of_problems(problems));
        }
    }

    /// Decides, after every item has been added.
    #[must_use]
    pub fn conclude(mut self) -> Decision {
        let time = self.time;
        let census = std::mem::replace(&mut self.census, Census::new(self.rules.clone(), time));
        let circumstances = census.conclude(&self.memory, MISSING_FOR_A_SWEEP);
        for server in std::mem::take(&mut self.maybe_late) {
            let lateness = circumstances.judge(&server);
            self.counts.held += usize::from(lateness == Lateness::Held);
            self.counts.late += usize::from(lateness.is_late());
            self.judge(server, lateness);
        }
        let digest_at = usable(self.memory.digest_at, time);
        let is_due = |due: DateTime<Utc>| digest_at.is_none_or(|at| at < due);
        Decision {
            counts: self.counts,
            is_mass_absence: circumstances.is_mass_absence,
            is_holding: circumstances.is_holding() || self.counts.held > 0,
            new_gap: circumstances.gap.filter(|_| circumstances.is_new_gap),
            memory: Memory {
                swept_at: Some(circumstances.swept_at.map_or(time, |at| at.max(time))),
                gap: circumstances.gap,
                mass_absence_at: circumstances.mass_absence_at,
                digest_at,
                events_since: usable(self.memory.events_since, time),
                rolled_until: self.memory.rolled_until,
                rules: Some(self.rules),
                version: VERSION,
            },
            plan: Plan::new(self.transitions),
            digest: self
                .digest
                .and_then(|(digest, due)| is_due(due).then(|| digest.after(digest_at, time))),
        }
    }
}
