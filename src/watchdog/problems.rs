//! Which problems a server has, and which are over (C9). Pure.
//!
//! A problem may begin suddenly, unless its limit has to last; its end has to last. What is to be said is written ahead on
//! the item, published, and recorded there, so that whatever crashes, the next sweep finishes the work.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use tables::problem::{DISK_PERCENT, Key, Note, Problem, Problems, Stage};
use tables::server::{self, Server};
use tables::{Disk, Limit, Limits, Metrics, Number, Service, ServiceStatus, Services};

/// How long before a server's last heartbeat its reading may have been received.
const FRESH: TimeDelta = TimeDelta::seconds(600);

/// A value may be at the end of a problem below this share of its limit.
const END: f64 = 0.95;

/// How long an end has to last. With five minutes, a value that wavers with a period of eleven minutes causes a message
/// every few minutes; with fifteen, one, up to a period of half an hour.
const END_LASTS: TimeDelta = TimeDelta::minutes(15);

/// How long a problem has to be missing from the readings until it ends for that reason.
const GONE_LASTS: TimeDelta = TimeDelta::hours(24);

/// How old the note of a second sender may be, as of the last heartbeat.
const DUPLICATE_FRESH: TimeDelta = TimeDelta::hours(1);

/// How much later it has to be renewed. A single return, after a reboot, is nobody's problem.
const DUPLICATE_LASTS: TimeDelta = TimeDelta::minutes(10);

/// How many problems an item holds.
const MAX_PROBLEMS: usize = 12;

/// How many file systems a reading lists: the fullest.
const LISTED_DISKS: usize = 3;

/// How far the value of a file system may be from that of `disk_percent` that describes the same one.
const SAME_DISK: f64 = 0.1 + 1e-9;

/// What is known of a server that is judged.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// When its last heartbeat was received.
    pub seen: DateTime<Utc>,
    /// When one of several senders was last found to use its name.
    pub duplicate_at: Option<DateTime<Utc>>,
    /// Its last reading, if that is fresh.
    pub reading: Option<Reading<'a>>,
}

/// A fresh reading.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    pub received_at: DateTime<Utc>,
    pub metrics: &'a Metrics,
    /// The fullest file systems.
    pub disks: Option<&'a [Disk]>,
    pub services: Option<&'a Services>,
}

/// What is to be written and said about the problems of a server.
#[derive(Debug, PartialEq)]
pub struct Judgement {
    known: Problems,
    steps: Vec<Step>,
    /// What the item has to hold before anything is published; `None` if it does already. If nothing is to be published,
    /// there is no hurry.
    pub ahead: Option<Problems>,
    /// How many problems wait, because the item holds as many as it can.
    pub waiting: usize,
}

#[derive(Debug, PartialEq)]
struct Step {
    key: Key,
    /// The entry before anything is published; `None` removes it.
    ahead: Option<Problem>,
    announcement: Option<ProblemAnnouncement>,
}

/// A server with what is to be written and said about its problems.
#[derive(Debug, PartialEq)]
pub struct ProblemUpdate {
    pub server: Server,
    pub judgement: Judgement,
}

/// What is to be said about a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemAnnouncement {
    pub key: Key,
    /// `None` if it goes on.
    pub end: Option<End>,
    /// What the reading says of it.
    pub value: Option<Value>,
    pub limit: Option<f64>,
    pub since: DateTime<Utc>,
    /// Whether it has begun in this sweep.
    pub is_new: bool,
}

/// Why a problem ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Solved,
    /// Nothing reports it any longer.
    Gone,
    /// It is no longer watched.
    Unwatched,
}

impl End {
    /// Its name in a message.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Gone => "gone",
            Self::Unwatched => "unwatched",
        }
    }
}

/// What a reading says of a problem, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Number(Number),
    Status(ServiceStatus),
}

/// What a reading says of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// It is there.
    High,
    /// It is neither there nor over.
    Middle,
    /// It is over.
    Low,
    /// Nothing.
    Unknown,
    /// There is no rule any more.
    Unwatched,
}

/// The level for or against one problem, and the rule for it.
#[derive(Debug, Clone, Copy)]
struct Finding {
    level: Level,
    /// When it was made.
    at: DateTime<Utc>,
    /// When the problem was last there, if it is.
    high_at: DateTime<Utc>,
    limit: Option<f64>,
    /// How long it has to last until it is said.
    lasts: TimeDelta,
}

/// What an item says of the problems that have been announced, or may have been.
pub fn announced(server: &Server) -> impl Iterator<Item = ProblemAnnouncement> {
    let reading = server.reading.as_ref().and_then(Reading::of);
    server.problems.announced().map(move |(key, problem)| ProblemAnnouncement {
        key: key.clone(),
        end: None,
        value: reading.and_then(|reading| reading.of_problem(key)),
        limit: problem.limit,
        since: problem.since,
        is_new: false,
    })
}

impl ProblemUpdate {
    /// Judges a server that is online and not late, by these limits or its own; `None` if there is nothing to write or to
    /// say.
    #[must_use]
    pub fn new(server: Server, limits: &Limits) -> Option<Self> {
        let facts = Facts::of(&server)?;
        let own = server.limits.as_ref();
        let judgement = Judgement::new(&server.problems, &facts, limits, own)?;
        Some(Self { server, judgement })
    }

    /// A server that is not judged.
    #[must_use]
    pub fn unjudged(server: &Server) -> Option<Self> {
        let judgement = Judgement::unjudged(&server.problems)?;
        let server = server.clone();
        Some(Self { server, judgement })
    }

    /// Whether something is to be said about it.
    #[must_use]
    pub fn has_announcements(&self) -> bool {
        self.judgement.announcements().next().is_some()
    }
}

impl Judgement {
    /// Judges a server. `None` if there is nothing to write or to say.
    #[must_use]
    pub fn new(
        known: &Problems,
        facts: &Facts<'_>,
        limits: &Limits,
        own: Option<&Limits>,
    ) -> Option<Self> {
        let evaluation = Evaluation { facts, limits, own };
        let high = evaluation.high();
        if known.entries.is_empty() && high.is_empty() {
            return None;
        }
        let mut steps: Vec<_> = facts
            .reading
            .map_or_else(|| known.entries.clone(), |reading| reading.hand_over(known))
            .into_iter()
            .map(|(key, problem)| evaluation.judge(key, Some(problem)))
            .collect();
        let is_known = |key: &Key| steps.iter().any(|step| step.key == *key);
        let new: Vec<_> = high.into_iter().filter(|key| !is_known(key)).collect();
        let kept = steps.iter().filter(|step| step.ahead.is_some()).count();
        let room = MAX_PROBLEMS.saturating_sub(kept);
        let waiting = new.len().saturating_sub(room);
        let begun = new.into_iter().take(room);
        steps.extend(begun.map(|key| evaluation.judge(key, None)));
        steps.sort_by(|one, other| one.key.order(&other.key));
        Self::of(known, steps, waiting)
    }

    /// What is to be written about a server that is not judged: what has been said stays, what was not said yet has not
    /// lasted. `None` if that is nothing.
    #[must_use]
    pub fn unjudged(known: &Problems) -> Option<Self> {
        if known.entries.is_empty() {
            return None;
        }
        let entries = known.entries.iter().cloned();
        let steps = entries.map(|(key, problem)| Step::unjudged(key, problem));
        Self::of(known, steps.collect(), 0)
    }

    fn of(known: &Problems, steps: Vec<Step>, waiting: usize) -> Option<Self> {
        let entries = steps.iter();
        let entries = entries.filter_map(|step| Some((step.key.clone(), step.ahead.clone()?)));
        let entries: Vec<_> = entries.collect();
        let judgement = Self {
            ahead: (entries != known.entries).then(|| known.with(entries)),
            known: known.clone(),
            steps,
            waiting,
        };
        let is_needed = judgement.ahead.is_some() || judgement.announcements().next().is_some();
        (is_needed || waiting > 0).then_some(judgement)
    }

    /// What there is to say.
    pub fn announcements(&self) -> impl Iterator<Item = &ProblemAnnouncement> {
        self.steps.iter().filter_map(|step| step.announcement.as_ref())
    }

    /// What the item has to hold after these words have been published.
    #[must_use]
    pub fn after(&self, is_said: impl Fn(&ProblemAnnouncement) -> bool) -> Problems {
        let steps = self.steps.iter();
        let entries = steps.filter_map(|step| {
            let problem = step.ahead.clone()?;
            let said = step.announcement.as_ref().filter(|announcement| is_said(announcement));
            let problem = match said.map(|announcement| announcement.end) {
                None => problem,
                Some(None) => Problem { stage: Stage::Firing, ..problem },
                Some(Some(_)) => return None,
            };
            Some((step.key.clone(), problem))
        });
        let entries = entries.collect();
        let ahead = self.ahead.as_ref().map(Problems::written);
        ahead.as_ref().unwrap_or(&self.known).with(entries)
    }
}

impl<'a> Facts<'a> {
    /// What an item says; `None` if nobody knows when the server was last seen.
    #[must_use]
    pub fn of(server: &'a Server) -> Option<Self> {
        let reading = server.reading.as_ref().and_then(Reading::of);
        let seen = server.last_seen.as_ref()?.time;
        let duplicate_at = server.duplicate_at.as_ref().map(|at| at.time);
        Some(Self::new(seen, duplicate_at, reading))
    }

    /// These facts; a reading that is not fresh is none.
    #[must_use]
    pub fn new(
        seen: DateTime<Utc>,
        duplicate_at: Option<DateTime<Utc>>,
        reading: Option<Reading<'a>>,
    ) -> Self {
        Self {
            seen,
            duplicate_at,
            reading: reading.filter(|reading| seen - reading.received_at <= FRESH),
        }
    }

    fn is_duplicate(&self) -> bool {
        self.duplicate_at.is_some_and(|at| self.seen - at <= DUPLICATE_FRESH)
    }
}

impl<'a> Reading<'a> {
    /// The last reading of a server, if its time can be read.
    #[must_use]
    pub fn of(reading: &'a server::Reading) -> Option<Self> {
        Some(Self {
            received_at: reading.received_at?,
            metrics: &reading.metrics,
            disks: reading.disks.as_deref(),
            services: reading.services.as_ref(),
        })
    }

    fn value(&self, metric: &str) -> Option<f64> {
        self.metrics.get(metric).map(Number::as_f64)
    }

    /// The file system that `disk_percent` stands for, if the reading lists it.
    fn disk_of_disk_percent(&self) -> Option<&str> {
        let disks = self.disks?;
        let value = self.value(DISK_PERCENT);
        let distance = |disk: &Disk| value.map(|value| (disk.percent - value).abs());
        let same = disks
            .iter()
            .filter_map(|disk| Some((disk, distance(disk)?)))
            .filter(|(_, distance)| *distance <= SAME_DISK);
        let closest = same.min_by(|one, other| one.1.total_cmp(&other.1));
        let root = || disks.iter().find(|disk| disk.mount == "/");
        closest.map(|(disk, _)| disk).or_else(root).map(|disk| disk.mount.as_str())
    }

    /// The entries, with that of `disk_percent` under the name of its file system, unless that has one of which something
    /// may have been published.
    fn hand_over(&self, known: &Problems) -> Vec<(Key, Problem)> {
        let mut entries = known.entries.clone();
        let is_whole =
            |key: &Key| matches!(key, Key::Metric(metric) if metric.name == DISK_PERCENT);
        let Some(mount) = self.disk_of_disk_percent() else {
            return entries;
        };
        let whole = entries.iter().position(|(key, _)| is_whole(key));
        let Some((_, problem)) = whole.map(|whole| entries.remove(whole)) else {
            return entries;
        };
        let target = Key::Disk(mount.to_owned());
        match entries.iter_mut().find(|(key, _)| *key == target) {
            None => entries.push((target, problem)),
            Some((_, known)) if known.stage == Stage::NotLasted => *known = problem,
            Some(_) => {}
        }
        entries
    }

    fn disk(&self, mount: &str) -> Option<f64> {
        let mut disks = self.disks?.iter();
        disks.find(|disk| disk.mount == mount).map(|disk| disk.percent)
    }

    fn status(&self, name: &str) -> Option<ServiceStatus> {
        let mut services = self.services?.not_running.iter();
        services.find(|service| service.name == name).map(|service| service.status)
    }

    /// What it says of a file system with this limit.
    fn disk_level(&self, mount: &str, limit: f64, known: Option<f64>) -> Level {
        if let Some(value) = self.disk(mount) {
            return level_of(value, limit, known);
        }
        // Whatever is not among the fullest is less full than the least of them.
        let disks = self.disks.filter(|disks| disks.len() >= LISTED_DISKS);
        let least = disks.and_then(|disks| disks.iter().map(|disk| disk.percent).reduce(f64::min));
        match least.map(|least| level_of(least, limit, known)) {
            Some(Level::Low) => Level::Low,
            _ => Level::Unknown,
        }
    }

    /// What it says of a problem, for people.
    #[must_use]
    pub fn of_problem(&self, key: &Key) -> Option<Value> {
        match key {
            Key::Metric(metric) => self.metrics.value(metric).map(Value::Number),
            Key::Disk(mount) => {
                self.disk(mount).map(|percent| Value::Number(Number::Float(percent)))
            }
            Key::Service(name) => self.status(name).map(Value::Status),
            Key::Duplicate => None,
        }
    }

    fn service_level(&self, name: &str) -> Level {
        let Some(services) = self.services else {
            return Level::Unknown;
        };
        match self.status(name) {
            Some(ServiceStatus::Failed | ServiceStatus::Stopped) => Level::High,
            Some(ServiceStatus::Unknown) => Level::Unknown,
            None if services.is_cut => Level::Unknown,
            Some(ServiceStatus::Running) | None => Level::Low,
        }
    }
}

/// Whether a service with this status is a problem.
const fn is_down(status: ServiceStatus) -> bool {
    matches!(status, ServiceStatus::Failed | ServiceStatus::Stopped)
}

/// What a value says of a limit, given the limit that was reached. Below a limit that has changed, it is over at once.
fn level_of(value: f64, limit: f64, known: Option<f64>) -> Level {
    let has_changed = known.is_some_and(|known| known != limit);
    let end = if has_changed { limit } else { END * limit };
    match value {
        value if value >= limit => Level::High,
        value if value < end => Level::Low,
        _ => Level::Middle,
    }
}

/// The facts and the rules of a judgement.
struct Evaluation<'a> {
    facts: &'a Facts<'a>,
    limits: &'a Limits,
    own: Option<&'a Limits>,
}

impl Evaluation<'_> {
    /// Everything that is at its limit, failed, stopped or duplicate.
    fn high(&self) -> Vec<Key> {
        let mut high = Vec::new();
        if let Some(reading) = &self.facts.reading {
            let is_at =
                |value: f64, limit: Option<Limit>| limit.is_some_and(|limit| value >= limit.value);
            for (metric, value) in reading.metrics.iter() {
                let is_high = is_at(value.as_f64(), self.limits.metric(metric, self.own));
                let is_disk = metric.name == DISK_PERCENT;
                if is_high && !(is_disk && reading.disk_of_disk_percent().is_some()) {
                    high.push(Key::Metric(metric));
                }
            }
            for Disk { mount, percent } in reading.disks.unwrap_or_default() {
                if is_at(*percent, self.limits.disk(mount, self.own)) {
                    high.push(Key::Disk(mount.clone()));
                }
            }
            let services = reading.services.map(|services| &services.not_running);
            for Service { name, status } in services.into_iter().flatten() {
                if is_down(*status) && self.limits.watches_service(name, self.own) {
                    high.push(Key::Service(name.clone()));
                }
            }
        }
        if self.facts.is_duplicate() && self.limits.watches_duplicate(self.own) {
            high.push(Key::Duplicate);
        }
        high
    }

    fn judge(&self, key: Key, known: Option<Problem>) -> Step {
        let Some(finding) = self.find(&key, known.as_ref()) else {
            return match known {
                Some(problem) => Step::unjudged(key, problem),
                None => Step::remove(key),
            };
        };
        let is_new = known.as_ref().is_none_or(|known| known.stage == Stage::NotLasted);
        let (ahead, said) = advance(known, &finding);
        let announcement = said.zip(ahead.as_ref()).map(|(end, problem)| ProblemAnnouncement {
            end,
            value: self.value(&key),
            limit: problem.limit,
            since: problem.since,
            is_new,
            key: key.clone(),
        });
        Step { key, ahead, announcement }
    }

    /// What there is for or against a problem; `None` without a fresh reading.
    fn find(&self, key: &Key, known: Option<&Problem>) -> Option<Finding> {
        let facts = self.facts;
        let (level, limit, times, lasts) = match key {
            Key::Duplicate => {
                let level = match (self.limits.watches_duplicate(self.own), facts.is_duplicate()) {
                    (false, _) => Level::Unwatched,
                    (true, true) => Level::High,
                    (true, false) => Level::Low,
                };
                let high_at = facts.duplicate_at.unwrap_or(facts.seen);
                (level, None, (facts.seen, high_at), DUPLICATE_LASTS)
            }
            Key::Service(name) => {
                let reading = facts.reading?;
                let level = match self.limits.watches_service(name, self.own) {
                    true => reading.service_level(name),
                    false => Level::Unwatched,
                };
                let at = reading.received_at;
                (level, None, (at, at), TimeDelta::zero())
            }
            Key::Metric(_) | Key::Disk(_) => {
                let reading = facts.reading?;
                let at = reading.received_at;
                let limit = match key {
                    Key::Metric(metric) => self.limits.metric(metric, self.own),
                    Key::Disk(mount) => self.limits.disk(mount, self.own),
                    Key::Service(_) | Key::Duplicate => None,
                };
                let reached = known.and_then(|known| known.limit);
                let level = limit.map_or(Level::Unwatched, |limit| match key {
                    Key::Disk(mount) => reading.disk_level(mount, limit.value, reached),
                    _ => key
                        .name()
                        .and_then(|name| reading.value(name))
                        .map_or(Level::Unknown, |value| level_of(value, limit.value, reached)),
                });
                let lasts = limit.map_or(TimeDelta::zero(), |limit| limit.lasts);
                (level, limit.map(|limit| limit.value), (at, at), lasts)
            }
        };
        Some(Finding { level, at: times.0, high_at: times.1, limit, lasts })
    }

    fn value(&self, key: &Key) -> Option<Value> {
        self.facts.reading.and_then(|reading| reading.of_problem(key))
    }
}

impl Step {
    fn remove(key: Key) -> Self {
        Self { key, ahead: None, announcement: None }
    }

    fn unjudged(key: Key, problem: Problem) -> Self {
        Self {
            key,
            ahead: Some(problem).filter(|problem| problem.stage != Stage::NotLasted),
            announcement: None,
        }
    }
}

/// One step in the life of a problem (C9.2): its entry before anything is published, and what is then to be published: that
/// it goes on (`None`), or its end.
fn advance(known: Option<Problem>, finding: &Finding) -> (Option<Problem>, Option<Option<End>>) {
    use Level::{High, Low, Middle, Unknown, Unwatched};

    let Finding { at, high_at, lasts, .. } = *finding;
    let begun = |since| {
        let problem = Problem { since, limit: finding.limit, stage: Stage::NotLasted, note: None };
        if high_at - since < lasts {
            return (Some(problem), None);
        }
        let stage = Stage::Publishing;
        (Some(Problem { stage, ..problem }), Some(None))
    };
    let Some(problem) = known else {
        return match finding.level {
            High => begun(high_at),
            Middle | Low | Unknown | Unwatched => (None, None),
        };
    };
    let ended = |problem: Problem, end| {
        let stage = Stage::Publishing;
        (Some(Problem { stage, ..problem }), Some(Some(end)))
    };
    let noted = |problem: Problem, note| {
        let note = Some(note);
        (Some(Problem { note, ..problem }), None)
    };
    // A note from the future is none.
    let note = problem.note.filter(|note| match note {
        Note::Resolving(since) | Note::NoData(since) => *since <= at,
    });
    match (problem.stage, finding.level, note) {
        (Stage::NotLasted, High, _) => begun(problem.since.min(high_at)),
        (Stage::NotLasted, ..) => (None, None),
        (_, Unwatched, _) => ended(problem, End::Unwatched),
        (stage, High | Middle, _) => {
            let limit = match finding.level {
                High => finding.limit,
                _ => problem.limit,
            };
            let problem = Problem { limit, note: None, ..problem };
            (Some(problem), (stage == Stage::Publishing).then_some(None))
        }
        (_, Low, Some(Note::Resolving(since))) if at - since >= lasts.max(END_LASTS) => {
            ended(problem, End::Solved)
        }
        (_, Low, Some(Note::Resolving(_))) => (Some(problem), None),
        (_, Low, _) => noted(problem, Note::Resolving(at)),
        (_, Unknown, Some(Note::NoData(since))) if at - since >= GONE_LASTS => {
            ended(problem, End::Gone)
        }
        (_, Unknown, Some(Note::NoData(_))) => (Some(problem), None),
        (_, Unknown, _) => noted(problem, Note::NoData(at)),
    }
}
