//! Who has not been heard for too long, and whether that is a fault of the server (C8.1, C8.4).

use chrono::{DateTime, TimeDelta, Utc};
use tables::server::{Gap, Memory, Rules, Server, Status};

/// The time between two sweeps from which a sweep is missing, for the next sweep. They are a minute apart.
pub const MISSING_FOR_A_SWEEP: TimeDelta = TimeDelta::seconds(90);

/// The same for a reader, who looks at any time between two sweeps.
pub const MISSING_FOR_A_READER: TimeDelta = TimeDelta::seconds(180);

/// How far ahead a time in the watchdog's own item may be. Times beyond that come from a wrong clock.
const TOLERANCE: TimeDelta = TimeDelta::seconds(180);

/// A time in the watchdog's own item, unless it comes from a wrong clock.
#[must_use]
pub fn usable(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    at.filter(|at| *at - now <= TOLERANCE)
}

/// The age of the last heartbeat after which this server is late. Zero means never.
#[must_use]
pub fn threshold(server: &Server, rules: &Rules) -> TimeDelta {
    server.offline_after.unwrap_or(rules.offline_after)
}

/// Whether the last heartbeat is older than a threshold.
fn is_late(age: TimeDelta, threshold: TimeDelta) -> bool {
    threshold > TimeDelta::zero() && age > threshold
}

/// Whether a server is online, and its last heartbeat older than its threshold, by the clock alone.
#[must_use]
pub fn is_late_by_the_clock(server: &Server, rules: &Rules, now: DateTime<Utc>) -> bool {
    let seen = server.last_seen.as_ref().filter(|_| server.status == Some(Status::Online));
    seen.is_some_and(|seen| is_late(now - seen.time, threshold(server, rules)))
}

/// Whether a server is late, and what that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// It is not late.
    OnTime,
    /// It is late by the clock, but sweeps were missing, and heartbeats may be.
    Explained,
    /// It is late, but a fault on our own path is more likely.
    Held,
    /// It is late: a sweep marks it as offline.
    Lost,
}

impl Lateness {
    /// Whether it is late, also without the time in which sweeps were missing.
    #[must_use]
    pub const fn is_late(self) -> bool {
        matches!(self, Self::Held | Self::Lost)
    }
}

/// Counts what has to be known of the whole fleet before some late servers can be judged.
#[derive(Debug)]
pub struct Census {
    /// As far as they are known without the fleet.
    circumstances: Circumstances,
    overdue: usize,
    /// Those that are overdue or heard.
    counted: usize,
}

/// What has happened to the whole fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Circumstances {
    rules: Rules,
    now: DateTime<Utc>,
    /// The last sweep whose scan was complete, if it is known.
    pub swept_at: Option<DateTime<Utc>>,
    /// The last gap between sweeps.
    pub gap: Option<Gap>,
    /// Whether that gap ends now.
    pub is_new_gap: bool,
    /// Whether so many servers are overdue at once that a fault on our own path is the more likely cause.
    pub is_mass_absence: bool,
    /// When that was last so.
    pub mass_absence_at: Option<DateTime<Utc>>,
}

impl Census {
    /// Of no server, given the watchdog's own item and the time without a sweep from which sweeps are missing.
    #[must_use]
    pub fn new(
        rules: Rules,
        memory: &Memory,
        missing_after: TimeDelta,
        now: DateTime<Utc>,
    ) -> Self {
        let swept_at = usable(memory.swept_at, now);
        let is_new_gap = swept_at.is_none_or(|at| now - at > missing_after);
        let new_gap = Gap { since: swept_at.unwrap_or(DateTime::UNIX_EPOCH), until: now };
        let known_gap = memory.gap.filter(|gap| usable(Some(gap.until), now).is_some());
        let circumstances = Circumstances {
            rules,
            now,
            swept_at,
            gap: if is_new_gap { Some(new_gap) } else { known_gap },
            is_new_gap,
            is_mass_absence: false,
            mass_absence_at: usable(memory.mass_absence_at, now),
        };
        Self { circumstances, overdue: 0, counted: 0 }
    }

    /// Adds a server. Returns whether it is late; `None` if it is lost or held, which depends on the whole fleet.
    pub fn add(&mut self, server: &Server) -> Option<Lateness> {
        let circumstances = &self.circumstances;
        let seen = server.last_seen.as_ref().filter(|_| server.status == Some(Status::Online));
        // Whoever silences all of them does not say that they are absent for different reasons.
        let is_counted =
            server.departure().is_none() && !server.is_silenced_itself(circumstances.now);
        if let Some(seen) = seen.filter(|_| is_counted) {
            let doubled = circumstances.age(seen.time) * 2;
            let is_overdue = is_late(doubled, threshold(server, &circumstances.rules));
            let is_heard = doubled <= circumstances.rules.offline_after;
            self.overdue += usize::from(is_overdue);
            self.counted += usize::from(is_overdue || is_heard);
        }
        let lateness = circumstances.judge(server);
        let depends = lateness == Lateness::Lost && circumstances.would_hold(server);
        (!depends).then_some(lateness)
    }

    /// Whether a server is late, as the last sweep found the fleet.
    #[must_use]
    pub fn judge(&self, server: &Server) -> Lateness {
        self.circumstances.judge(server)
    }

    /// Decides, once every server has been added.
    #[must_use]
    pub fn conclude(&self) -> Circumstances {
        let Self { overdue, counted, .. } = *self;
        let mut circumstances = self.circumstances.clone();
        if circumstances.has_rule() && overdue > 2 && overdue * 2 >= counted {
            circumstances.is_mass_absence = true;
            circumstances.mass_absence_at = Some(circumstances.now);
        }
        circumstances
    }
}

impl Circumstances {
    fn has_rule(&self) -> bool {
        self.rules.hold > TimeDelta::zero()
    }

    /// The time since then, without the gap.
    fn age(&self, seen: DateTime<Utc>) -> TimeDelta {
        let missed =
            self.gap.map_or(TimeDelta::zero(), |gap| gap.until.min(self.now) - gap.since.max(seen));
        self.now - seen - missed.max(TimeDelta::zero())
    }

    /// Whether late servers with this threshold are held, in a mass absence or shortly after it.
    fn is_holding_for(&self, threshold: TimeDelta) -> bool {
        let is_recent = |last: DateTime<Utc>| (self.now - last).abs() <= threshold;
        self.is_mass_absence || self.has_rule() && self.mass_absence_at.is_some_and(is_recent)
    }

    /// Whether late servers are held.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.is_holding_for(self.rules.offline_after)
    }

    /// Whether a late server is held in a mass absence.
    fn would_hold(&self, server: &Server) -> bool {
        let bound = self.rules.hold.max(threshold(server, &self.rules) * 2);
        let seen = server.last_seen.as_ref();
        self.has_rule() && seen.is_some_and(|seen| self.age(seen.time) < bound)
    }

    /// Whether a server is late, and what that means.
    #[must_use]
    pub fn judge(&self, server: &Server) -> Lateness {
        let seen = server.last_seen.as_ref();
        let Some(seen) = seen.filter(|_| is_late_by_the_clock(server, &self.rules, self.now))
        else {
            return Lateness::OnTime;
        };
        let (age, threshold) = (self.age(seen.time), threshold(server, &self.rules));
        if !is_late(age, threshold) {
            Lateness::Explained
        } else if self.is_holding_for(threshold) && self.would_hold(server) {
            Lateness::Held
        } else {
            Lateness::Lost
        }
    }
}
