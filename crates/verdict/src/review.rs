//! The review of a sweep: every item of the table goes in, what has to be done comes out, based only on the items and a time.

use crate::absence;
use crate::digest::{Digest, Schedule};
use crate::lateness::{Census, Lateness, MISSING_FOR_A_SWEEP, usable};
use crate::problem::ProblemUpdate;
use crate::silence::Silence;
use crate::standing::{Standing, Verdict, is_judged};
use crate::transition::{Plan, Transition};
use chrono::{DateTime, Utc};
use tables::server::{Delivery, Gap, Groups, Memory, Rules, Server, Status, VERSION};
use tables::{Item, Limits, METRICS, Metric, metric};

/// The most servers that a review keeps until the whole fleet is known.
const MAX_UNDECIDED: usize = 20_000;

/// A review of the fleet at one time. Servers are judged while they are read. Memory is bounded: what is more than one sweep
/// does is counted, and the next one does it.
pub struct Review {
    rules: Rules,
    groups: Groups,
    time: DateTime<Utc>,
    memory: Memory,
    silence: Silence,
    census: Census,
    /// Late servers that are held in a mass absence, and else lost. Their problems have been judged.
    undecided: Vec<Server>,
    /// How many more there are: those that are not silenced, and those that are.
    not_kept: [usize; 2],
    plan: Plan,
    counts: Counts,
    /// The metrics that the scan reads.
    metrics: Vec<&'static Metric>,
    is_rescheduled: bool,
    /// The digest, if it is the time of the day for one.
    digest: Option<Digest>,
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
    /// Whether the digest's times are new, so that those which have passed are not made up for.
    pub is_rescheduled: bool,
    pub plan: Plan,
    /// What the digest says, if it is due.
    pub digest: Option<Digest>,
}

impl Review {
    /// Starts a review, given what the watchdog remembers.
    #[must_use]
    pub fn new(
        rules: Rules,
        groups: Groups,
        memory: Memory,
        schedule: Option<&Schedule>,
        time: DateTime<Utc>,
    ) -> Self {
        let digest_times = schedule.map_or_else(|| "none".to_owned(), Schedule::to_string);
        let known_digest = usable(memory.digest_at, time);
        let is_rescheduled = match &memory.digest_times {
            None => known_digest.is_none(),
            Some(times) => {
                let zone = memory.rules.as_ref().map(|rules| &rules.zone);
                *times != digest_times || zone.is_some_and(|zone| *zone != rules.zone)
            }
        };
        let digest_at = if is_rescheduled { Some(time) } else { known_digest };
        let digest = schedule.and_then(|schedule| {
            let due = schedule.due(time, &rules.zone)?;
            let is_due = !is_rescheduled && digest_at.is_none_or(|at| at < due);
            is_due.then(|| Digest::new(schedule, time, rules.zone.clone()))
        });
        let metrics = if digest.is_some() {
            METRICS.iter().collect()
        } else {
            let of_groups = groups.iter().filter_map(|(_, rules)| rules.limits.as_ref());
            let limits = of_groups.chain([&rules.limits]).flat_map(Limits::metrics);
            distinct(limits.chain([metric!("disk_percent")]), &[])
        };
        Self {
            census: Census::new(rules.clone(), &memory, MISSING_FOR_A_SWEEP, time),
            silence: Silence::new(&memory, time, rules.zone.clone()),
            rules,
            groups,
            time,
            counts: Counts { malformed: memory.is_malformed.into(), ..Counts::default() },
            memory: Memory { digest_at, digest_times: Some(digest_times), ..memory },
            undecided: Vec::new(),
            not_kept: [0; 2],
            plan: Plan::default(),
            metrics,
            is_rescheduled,
            digest,
        }
    }

    /// Whether a digest is due, which another sweep may have sent.
    #[must_use]
    pub const fn is_digest_due(&self) -> bool {
        self.digest.is_some()
    }

    /// The metrics that the scan has to read: for a digest, all; else those for which there are limits, and the one that stands for a
    /// file system.
    #[must_use]
    pub fn metrics(&self) -> &[&'static Metric] {
        &self.metrics
    }

    /// Whether servers on a page have limits of their own for metrics that have not been read, or problems with them. It has to be read
    /// again then, with these [`metrics`](Self::metrics), and so has whatever follows.
    pub fn extend_metrics(&mut self, page: &[Item]) -> bool {
        let more = distinct(page.iter().flat_map(Server::watched), &self.metrics);
        self.metrics.extend(&more);
        !more.is_empty()
    }

    /// Adds an item of the servers table.
    pub fn add(&mut self, item: &Item) {
        if let Some(digest) = &mut self.digest
            && let Some(deliveries) = Delivery::all(item)
        {
            digest.doubt_undelivered(&deliveries);
        }
        let Some(server) = Server::from_item(item) else {
            return;
        };
        let mut server = server.in_group(&self.groups);
        self.silence.mark(&mut server);
        self.counts.servers += 1;
        self.counts.away += usize::from(server.status == Some(Status::Offline));
        let is_malformed = server.status.is_some() && server.is_malformed;
        self.counts.malformed += usize::from(is_malformed);
        match self.census.add(&server) {
            Some(lateness) => {
                self.judge_absence(&server, lateness);
                self.judge_problems(server, lateness);
            }
            None => {
                if self.undecided.len() < MAX_UNDECIDED {
                    self.undecided.push(server.without_stored_problems());
                } else {
                    self.not_kept[usize::from(server.is_silenced(self.time))] += 1;
                }
                // The problems of one that is lost or held are not judged.
                self.judge_problems(server, Lateness::Lost);
            }
        }
    }

    fn judge_absence(&mut self, server: &Server, lateness: Lateness) {
        let (rules, now) = (&self.rules, self.time);
        self.counts.held += usize::from(lateness == Lateness::Held);
        self.counts.late += usize::from(lateness.is_late());
        if let Some(digest) = &mut self.digest {
            digest.add(server, Verdict::of(server, rules, lateness, now));
        }
        self.plan.extend(absence::transition(server, lateness, rules, now));
    }

    fn judge_problems(&mut self, server: Server, lateness: Lateness) {
        let problems = if is_judged(&server, lateness, &self.rules, self.time) {
            ProblemUpdate::new(server, &self.rules.limits, self.time)
        } else {
            let is_known = server.status.is_some() && server.last_seen.is_some();
            is_known.then(|| ProblemUpdate::unjudged(server, self.time)).flatten()
        };
        if let Some(problems) = problems {
            self.counts.waiting += problems.judgement.waiting;
            self.plan.extend(Transition::of_problems(problems));
        }
    }

    /// Decides, after every item has been added.
    #[must_use]
    pub fn conclude(mut self) -> Decision {
        let circumstances = self.census.conclude();
        let is_held = circumstances.is_mass_absence;
        let lateness = if is_held { Lateness::Held } else { Lateness::Lost };
        for server in std::mem::take(&mut self.undecided) {
            self.judge_absence(&server, lateness);
        }
        let [others, silenced] = self.not_kept;
        let not_kept = others + silenced;
        self.counts.late += not_kept;
        let waiting = if is_held { &mut self.counts.held } else { &mut self.plan.left };
        *waiting += not_kept;
        if let Some(digest) = &mut self.digest {
            let standing = if is_held { Standing::Late } else { Standing::Offline };
            digest.count(standing, others);
            digest.count(Standing::Silenced, silenced);
        }
        let digest_at = self.memory.digest_at;
        Decision {
            counts: self.counts,
            is_mass_absence: circumstances.is_mass_absence,
            is_holding: circumstances.is_holding() || self.counts.held > 0,
            new_gap: circumstances.gap.filter(|_| circumstances.is_new_gap),
            memory: Memory {
                swept_at: Some(circumstances.swept_at.map_or(self.time, |at| at.max(self.time))),
                gap: circumstances.gap,
                mass_absence_at: circumstances.mass_absence_at,
                events_since: usable(self.memory.events_since, self.time),
                rules: Some(self.rules),
                version: VERSION,
                ..self.memory
            },
            is_rescheduled: self.is_rescheduled,
            plan: self.plan.ordered(),
            digest: self.digest.map(|digest| digest.after(digest_at, self.time)),
        }
    }
}

/// Each of these metrics once, without those that are known.
fn distinct(
    metrics: impl Iterator<Item = &'static Metric>,
    known: &[&'static Metric],
) -> Vec<&'static Metric> {
    let mut new = Vec::new();
    for metric in metrics {
        if !known.iter().chain(&new).any(|known| known.name == metric.name) {
            new.push(metric);
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::AttributeValue::{self, M, S};
    use chrono::TimeDelta;
    use tables::time::format;

    const NOW: &str = "2026-01-18T10:30:00.000000Z";

    fn now() -> DateTime<Utc> {
        NOW.parse().expect("a time")
    }

    /// What is decided of so many servers that are late, and so many that are not.
    fn decide(late: usize, heard: usize, hold: i64) -> Decision {
        let now = now();
        let swept_at = Some(now - TimeDelta::seconds(60));
        let times = "10:00/always";
        let schedule: Schedule = times.parse().expect("a schedule");
        let memory = Memory { swept_at, digest_times: Some(times.to_owned()), ..Memory::default() };
        let rules = Rules { hold: TimeDelta::seconds(hold), ..Rules::default() };
        let mut review = Review::new(rules, Groups::default(), memory, Some(&schedule), now);
        for number in 0..late + heard {
            let silent = TimeDelta::seconds(if number < late { 200 } else { 20 });
            review.add(&Item::from([
                ("server_id".to_owned(), S(format!("web-{number}"))),
                ("status".to_owned(), S("online".to_owned())),
                ("last_seen".to_owned(), S(format(now - silent))),
            ]));
        }
        review.conclude()
    }

    fn item(attributes: &[(&str, AttributeValue)]) -> Item {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    // C9.6 C10.1
    #[test]
    fn of_a_reading_what_is_judged_is_read() {
        let limits = Limits::parse("cpu_percent!=99,load_5m=4,service=off").expect("limits");
        let rules = Rules { limits, ..Rules::default() };
        let of_web = M(item(&[("limits", S("memory_percent=90,load_5m=off".to_owned()))]));
        let groups = Groups::from_item(Some(&item(&[("web", of_web)])));
        let schedule: Schedule = "10:00".parse().expect("a schedule");
        let memory = Memory { digest_times: Some("10:00".to_owned()), ..Memory::default() };
        let start =
            |memory, schedule| Review::new(rules.clone(), groups.clone(), memory, schedule, now());
        let names = |review: &Review| -> Vec<_> {
            review.metrics().iter().map(|metric| metric.name).collect()
        };
        assert_eq!(names(&start(memory.clone(), Some(&schedule))).len(), METRICS.len());
        let mut review = start(memory, None);
        let known = ["memory_percent", "load_5m", "cpu_percent", "disk_percent"];
        assert_eq!(names(&review), known);

        let limits = |list: &str| item(&[("limits", S(list.to_owned()))]);
        let since = M(item(&[("since", S(NOW.to_owned()))]));
        let problems = M(item(&[("load_1m!", since.clone()), ("service:a", since)]));
        let page = [limits("load_5m=2,disk_percent!:/=95"), limits("?"), item(&[])];
        assert!(!review.extend_metrics(&page));
        assert_eq!(names(&review), known);
        let page = [limits("temperature_celsius=70"), item(&[("problems", problems)])];
        assert!(review.extend_metrics(&page));
        assert_eq!(names(&review)[known.len()..], ["temperature_celsius", "load_1m"]);
        assert!(!review.extend_metrics(&page));
    }

    // C8.8 C10.1
    #[test]
    fn what_is_more_than_one_sweep_does_is_counted() {
        let (late, most) = (MAX_UNDECIDED + 1_000, MAX_UNDECIDED);
        // Without the rule of a mass absence, with it, and in one.
        for (heard, hold, marks, left, said) in [
            (0, 0, most, 1_000, "offline"),
            (late + 1_000, 600, most, 1_000, "offline"),
            (0, 600, 0, 0, "late"),
        ] {
            let decision = decide(late, heard, hold);
            let counts = decision.counts;
            assert_eq!((counts.servers, counts.late), (late + heard, late));
            assert_eq!(counts.held, if said == "late" { late } else { 0 });
            assert_eq!(decision.plan.marks().count(), marks, "{heard} {hold}");
            assert_eq!(decision.plan.left, left, "{heard} {hold}");
            let digest = decision.digest.expect("a digest");
            let (listed, counts) = digest.announcements();
            let count = counts.iter().map(|(_, count)| count).sum::<usize>();
            assert_eq!(count, if said == "offline" { late } else { 0 });
            assert!(listed.len() < 5_000);
            let unknown = if heard == 0 { String::new() } else { format!(", {heard} unknown") };
            let summary = format!("0 of {} are well: {late} {said}{unknown}", late + heard);
            assert_eq!(digest.fleet().summary, summary);
        }
    }
}
