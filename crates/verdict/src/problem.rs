//! Which problems a server has, and which are over (C9).
//!
//! A problem may begin suddenly, unless its limit has to last; its end has to last. What is to be announced is written ahead
//! on the item, published, and recorded there, so that whatever crashes, the next sweep finishes the work.

#[cfg(test)]
mod tests;

use crate::budget;
use crate::condition::{self, Facts, Finding, Level, Reading, Value};
use chrono::{DateTime, TimeDelta, Utc};
use tables::Limits;
use tables::problem::{Key, Note, Problem, Problems, Stage};
use tables::server::Server;

/// How long an end has to last. With five minutes, a value that wavers with a period of eleven minutes causes a message
/// every few minutes; with fifteen, one, up to a period of half an hour.
const END_LASTS: TimeDelta = TimeDelta::minutes(15);

/// How long a problem has to be missing from the readings until it ends for that reason.
const GONE_LASTS: TimeDelta = TimeDelta::hours(24);

/// How many problems an item holds.
const MAX_PROBLEMS: usize = 12;

/// What is to be written and announced about the problems of a server.
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

/// What is to be done about one problem.
#[derive(Debug, PartialEq)]
struct Step {
    key: Key,
    outcome: Outcome,
    announcement: Option<ProblemAnnouncement>,
    /// The problem whose announcement stands for this one's.
    said_with: Option<Key>,
}

/// A cell of C9.3's table.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// There is no entry afterwards, and nothing is announced.
    Remove,
    /// There is this entry, and nothing is announced.
    Keep(Problem),
    /// This entry is written ahead, and it is announced that the problem goes on.
    Publish(Problem),
    /// This entry is written ahead, and its end is announced.
    End(Problem, End),
}

impl Outcome {
    /// What is left of it until a message may name the server: no beginning, and no end (C9.10).
    const fn wait(self) -> Self {
        match self {
            Self::Publish(entry) => Self::Keep(Problem { stage: Stage::NotLasted, ..entry }),
            Self::End(entry, _) => Self::Keep(Problem { stage: Stage::Firing, ..entry }),
            Self::Remove | Self::Keep(_) => self,
        }
    }
}

/// A server with what is to be written and announced about its problems.
#[derive(Debug, PartialEq)]
pub struct ProblemUpdate {
    pub server: Server,
    pub judgement: Judgement,
    /// As of this time.
    pub now: DateTime<Utc>,
}

/// What is to be announced about a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemAnnouncement {
    pub problem: Current,
    /// `None` if it goes on.
    pub end: Option<End>,
    /// Whether it has begun in this sweep.
    pub is_new: bool,
}

/// A problem that a server has.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    pub key: Key,
    /// What the last reading says of it, which may be old.
    pub value: Option<Value>,
    pub limit: Option<f64>,
    pub since: DateTime<Utc>,
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

/// The problems that a server has: what has been announced, or may have been, and what a sweep made now would announce, if
/// the server is judged.
pub fn current(server: &Server, limits: &Limits, is_judged: bool) -> Vec<Current> {
    let facts = Facts::of(server, limits).filter(|_| is_judged);
    let mut entries: Vec<_> = match facts {
        None => server.problems.announced().map(|(key, entry)| (key.clone(), *entry)).collect(),
        Some(facts) => {
            let (steps, waiting) = steps(&server.problems, &facts, true);
            let steps = steps.into_iter().chain(waiting);
            let entries = steps.filter_map(|step| Some((step.ahead()?, step.key)));
            let entries = entries.filter(|(entry, _)| entry.stage != Stage::NotLasted);
            entries.map(|(entry, key)| (key, entry)).collect()
        }
    };
    entries.sort_by(|(one, _), (other, _)| one.order(other));
    let reading = server.reading.as_ref().and_then(Reading::of);
    let value = |key: &Key| reading.and_then(|reading| condition::value(&reading, key));
    let current = entries.into_iter().map(|(key, entry)| Current {
        value: value(&key),
        limit: entry.limit,
        since: entry.since,
        key,
    });
    current.collect()
}

impl ProblemUpdate {
    /// Judges a server that is online and not late, by these limits or its own; `None` if there is nothing to write or to
    /// announce.
    #[must_use]
    pub fn new(server: Server, limits: &Limits, now: DateTime<Utc>) -> Option<Self> {
        let facts = Facts::of(&server, limits)?;
        let has_turn = budget::is_open(&server, now);
        let judgement = Judgement::new(&server.problems, &facts, has_turn)?;
        Some(Self { server, judgement, now })
    }

    /// A server that is not judged.
    #[must_use]
    pub fn unjudged(server: Server, now: DateTime<Utc>) -> Option<Self> {
        let judgement = Judgement::unjudged(&server.problems)?;
        Some(Self { server, judgement, now })
    }
}

/// What is to be done about each problem, and about those for which the item has no room.
fn steps(known: &Problems, facts: &Facts<'_>, has_turn: bool) -> (Vec<Step>, Vec<Step>) {
    let high = condition::high(facts);
    if known.entries.is_empty() && high.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let entries = facts
        .reading
        .map_or_else(|| known.entries.clone(), |reading| condition::hand_over(&reading, known));
    let step = |(key, entry)| Step::of(facts, key, entry, has_turn);
    let entries = entries.into_iter().map(|(key, problem)| (key, Some(problem)));
    let mut steps: Vec<_> = entries.map(step).collect();
    let is_known = |key: &Key| steps.iter().any(|step| step.key == *key);
    let new: Vec<_> = high.into_iter().filter(|key| !is_known(key)).collect();
    let kept = steps.iter().filter(|step| step.ahead().is_some()).count();
    let mut new = new.into_iter().map(|key| step((key, None)));
    steps.extend(new.by_ref().take(MAX_PROBLEMS.saturating_sub(kept)));
    steps.sort_by(|one, other| one.key.order(&other.key));
    say_once(&mut steps);
    (steps, new.collect())
}

/// Where both limits of a value are reached in one sweep, the urgent one alone is said; where both end, the other. Where the
/// urgent one ends alone, the value is said with the limit at which it still is.
fn say_once(steps: &mut [Step]) {
    for urgent in 0..steps.len() {
        let lesser = steps[urgent].key.lesser();
        let lesser = lesser.and_then(|key| steps.iter().position(|step| step.key == key));
        let Some(lesser) = lesser else { continue };
        let is_end = |step: &Step| step.announcement.as_ref().map(|said| said.end.is_some());
        match (is_end(&steps[urgent]), is_end(&steps[lesser])) {
            (Some(false), Some(false)) => steps[lesser].said_with = Some(steps[urgent].key.clone()),
            (Some(true), Some(true)) => steps[urgent].said_with = Some(steps[lesser].key.clone()),
            (Some(true), None | Some(false)) => {
                let limit = steps[lesser].ahead().and_then(|entry| entry.limit);
                if let Some(announcement) = &mut steps[urgent].announcement {
                    announcement.problem.limit = limit.or(announcement.problem.limit);
                }
            }
            _ => {}
        }
    }
}

impl Judgement {
    /// Judges a server that a message may name now, or not. `None` if there is nothing to write or to announce.
    #[must_use]
    pub fn new(known: &Problems, facts: &Facts<'_>, has_turn: bool) -> Option<Self> {
        let (steps, waiting) = steps(known, facts, has_turn);
        Self::of(known, steps, waiting.len())
    }

    /// What is to be written about a server that is not judged: what has been announced stays, what was not has not
    /// lasted. `None` if that is nothing.
    #[must_use]
    pub fn unjudged(known: &Problems) -> Option<Self> {
        let entries = known.entries.iter().cloned();
        let steps = entries.map(|(key, problem)| Step::unjudged(key, problem));
        Self::of(known, steps.collect(), 0)
    }

    fn of(known: &Problems, steps: Vec<Step>, waiting: usize) -> Option<Self> {
        let entries = steps.iter();
        let entries = entries.filter_map(|step| Some((step.key.clone(), step.ahead()?)));
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

    /// How many problems it is about.
    pub const fn weight(&self) -> usize {
        self.steps.len()
    }

    /// What there is to announce.
    pub fn announcements(&self) -> impl Iterator<Item = &ProblemAnnouncement> {
        let said = self.steps.iter().filter(|step| step.said_with.is_none());
        said.filter_map(|step| step.announcement.as_ref())
    }

    /// What the item has to hold after these announcements have been published.
    #[must_use]
    pub fn after(&self, is_said: impl Fn(&ProblemAnnouncement) -> bool) -> Problems {
        let entries = self.steps.iter().filter_map(|step| {
            let with = step.said_with.as_ref();
            let with = with.and_then(|key| self.steps.iter().find(|other| other.key == *key));
            let is_said = with.unwrap_or(step).announcement.as_ref().is_some_and(&is_said);
            let problem = match step.outcome {
                Outcome::Publish(problem) if is_said => Problem { stage: Stage::Firing, ..problem },
                Outcome::End(..) if is_said => return None,
                _ => step.ahead()?,
            };
            Some((step.key.clone(), problem))
        });
        let entries = entries.collect();
        let ahead = self.ahead.as_ref().map(Problems::written);
        ahead.as_ref().unwrap_or(&self.known).with(entries)
    }
}

impl Step {
    fn of(facts: &Facts<'_>, key: Key, entry: Option<Problem>, has_turn: bool) -> Self {
        let is_new = entry.as_ref().is_none_or(|entry| entry.stage == Stage::NotLasted);
        let is_out = entry.as_ref().is_some_and(|entry| entry.stage == Stage::Publishing);
        let outcome = match (condition::find(facts, &key, entry.as_ref()), entry) {
            (Some(finding), entry) => {
                let due = advance(entry, &finding);
                if has_turn || is_out { due } else { due.wait() }
            }
            (None, Some(entry)) => return Self::unjudged(key, entry),
            (None, None) => Outcome::Remove,
        };
        let announced = match outcome {
            Outcome::Remove | Outcome::Keep(_) => None,
            Outcome::Publish(entry) => Some((entry, None)),
            Outcome::End(entry, end) => Some((entry, Some(end))),
        };
        let value = |key| facts.reading.and_then(|reading| condition::value(&reading, key));
        let announcement = announced.map(|(Problem { since, limit, .. }, end)| {
            let problem = Current { key: key.clone(), value: value(&key), limit, since };
            ProblemAnnouncement { problem, end, is_new }
        });
        Self { key, outcome, announcement, said_with: None }
    }

    fn unjudged(key: Key, entry: Problem) -> Self {
        let outcome = match entry.stage {
            Stage::NotLasted => Outcome::Remove,
            Stage::Publishing | Stage::Firing => Outcome::Keep(entry),
        };
        Self { key, outcome, announcement: None, said_with: None }
    }

    /// The entry before anything is published.
    const fn ahead(&self) -> Option<Problem> {
        match self.outcome {
            Outcome::Remove => None,
            Outcome::Keep(entry) | Outcome::Publish(entry) | Outcome::End(entry, _) => Some(entry),
        }
    }
}

/// One step in the life of a problem: the row of C9.3's table is its entry, the column is the level.
fn advance(entry: Option<Problem>, finding: &Finding) -> Outcome {
    use Level::{High, Low, Middle, Unknown, Unwatched};
    use Stage::{Firing, NotLasted, Publishing};

    let Finding { level, at, high_at, limit, lasts } = *finding;
    let begun = |since| {
        let entry = Problem { since, limit, stage: NotLasted, note: None };
        if high_at - since < lasts {
            Outcome::Keep(entry)
        } else {
            Outcome::Publish(Problem { stage: Publishing, ..entry })
        }
    };
    let Some(entry) = entry else {
        return if level == High { begun(high_at) } else { Outcome::Remove };
    };
    let limit = if level == High { limit } else { entry.limit };
    let goes_on = Problem { limit, note: None, ..entry };
    let noted = |note| Outcome::Keep(Problem { note: Some(note), ..entry });
    let ended = |end| Outcome::End(Problem { stage: Publishing, ..entry }, end);
    // A note from the future is none.
    let note = entry.note.filter(|note| match note {
        Note::Resolving(since) | Note::NoData(since) => *since <= at,
    });
    match (entry.stage, level) {
        (NotLasted, High) => begun(entry.since.min(high_at)),
        (NotLasted, Middle | Low | Unknown | Unwatched) => Outcome::Remove,
        (Publishing, High | Middle) => Outcome::Publish(goes_on),
        (Firing, High | Middle) => Outcome::Keep(goes_on),
        (Publishing | Firing, Low) => match note {
            Some(Note::Resolving(since)) if at - since >= lasts.max(END_LASTS) => {
                ended(End::Solved)
            }
            Some(Note::Resolving(_)) => Outcome::Keep(entry),
            Some(Note::NoData(_)) | None => noted(Note::Resolving(at)),
        },
        (Publishing | Firing, Unknown) => match note {
            Some(Note::NoData(since)) if at - since >= GONE_LASTS => ended(End::Gone),
            Some(Note::NoData(_)) => Outcome::Keep(entry),
            Some(Note::Resolving(_)) | None => noted(Note::NoData(at)),
        },
        (Publishing | Firing, Unwatched) => ended(End::Unwatched),
    }
}
