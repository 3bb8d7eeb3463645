//! What a sweep does about a server: what it writes before anything is published, what it announces, and what it writes after
//! that (C8.5, C9.7).

use crate::announce;
use crate::budget;
use crate::problem::{End, ProblemAnnouncement, ProblemUpdate};
use announcement::Announcement;
use std::collections::HashSet;
use tables::problem::Key;
use tables::server::Change;

/// What a sweep does about one absence, or about the problems of one server.
#[derive(Debug, PartialEq)]
pub struct Transition {
    /// Written before anything is published. If it cannot be, nothing is announced.
    ahead: Option<Write>,
    say: Vec<Announcement>,
    after: After,
    /// How much it takes to hold it, in changes of one thing.
    weight: usize,
}

/// What is written afterwards.
#[derive(Debug, PartialEq)]
enum After {
    Nothing,
    /// Once everything has been announced; if there is nothing to announce, in any case.
    All(Write),
    /// What follows from those announcements that have been published.
    Problems(Box<ProblemUpdate>),
}

/// A change of an item, and what that means to people.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub change: Change,
    pub news: Vec<News>,
}

/// What has happened once a change has been written.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The server is marked as offline; it was last seen then.
    Offline(Option<String>),
    /// The server has ended on purpose, and is marked as offline; it was last seen then.
    Gone(Option<String>),
    /// Its item is deleted; it was last seen then.
    Removed(Option<String>),
    /// Its absence, which began then, is over.
    Back(Option<String>),
    Problem(Key),
    Solved(Key, End),
}

/// The most changes of each class in a plan: marks, what is announced, and what is only noted. A sweep of a function with 512 MB
/// has no time for more.
const MAX_CHANGES: usize = 20_000;

/// The steps of a sweep, after its review: each walks over the same list.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    transitions: Vec<Transition>,
    /// How many changes of each class there are.
    changes: [usize; 3],
    /// How many transitions wait for the next sweep, because there are too many.
    pub left: usize,
}

/// The place of an announcement in a plan: its transition, and which of that one's it is.
type Place = (usize, usize);

impl Write {
    pub(crate) const fn of(change: Change) -> Self {
        Self { change, news: Vec::new() }
    }

    pub(crate) fn with(mut self, news: News) -> Self {
        self.news.push(news);
        self
    }

    /// Whether it marks a server as offline.
    #[must_use]
    pub fn is_mark(&self) -> bool {
        matches!(self.news[..], [News::Offline(_) | News::Gone(_)])
    }
}

impl Transition {
    pub(crate) fn new(ahead: Option<Write>, (say, after): (Vec<Announcement>, Write)) -> Self {
        Self { ahead, say, after: After::All(after), weight: 1 }
    }

    pub(crate) const fn ahead_only(ahead: Write) -> Self {
        Self { ahead: Some(ahead), say: Vec::new(), after: After::Nothing, weight: 1 }
    }

    /// What there is to write and to announce about problems, if anything.
    pub(crate) fn of_problems(update: ProblemUpdate) -> Option<Self> {
        let ProblemUpdate { server, judgement, now } = &update;
        let changed = judgement.ahead.as_ref().map(|problems| server.write_problems(problems));
        let announcements = judgement.announcements();
        let say: Vec<_> = announcements.map(|known| announce::change(server, known)).collect();
        let weight = judgement.weight();
        if say.is_empty() {
            let notes = changed.map(|notes| match budget::is_over(server, *now) {
                true => notes.remove_said(&server.said_at),
                false => notes,
            });
            return notes.map(|notes| Self { weight, ..Self::new(None, (say, Write::of(notes))) });
        }
        let new = judgement.announcements().filter(|announcement| announcement.is_new);
        let new = new.map(|announcement| News::Problem(announcement.problem.key.clone()));
        let ahead = changed.map(|changed| new.fold(Write::of(changed), Write::with));
        Some(Self { ahead, say, after: After::Problems(Box::new(update)), weight })
    }

    /// Marks come first, so that a sweep that runs out of time has judged; what only notes something comes last.
    fn class(&self) -> usize {
        match &self.ahead {
            Some(ahead) if ahead.is_mark() => 0,
            _ if self.say.is_empty() => 2,
            _ => 1,
        }
    }

    fn order(&self) -> impl Ord + use<> {
        (self.class(), matches!(self.after, After::Problems(_)))
    }

    /// What is written after these of its announcements have been published.
    fn after(&self, said: &HashSet<usize>) -> Option<Write> {
        match &self.after {
            After::Nothing => None,
            After::All(write) => (said.len() == self.say.len()).then(|| write.clone()),
            After::Problems(_) if said.is_empty() => None,
            After::Problems(update) => {
                let ProblemUpdate { server, judgement, now } = &**update;
                let announcements = judgement.announcements().enumerate();
                let said: Vec<&ProblemAnnouncement> = announcements
                    .filter(|(place, _)| said.contains(place))
                    .map(|(_, announcement)| announcement)
                    .collect();
                let problems = judgement.after(|announcement| said.contains(&announcement));
                let ended = said.into_iter().filter_map(|announcement| {
                    Some(News::Solved(announcement.problem.key.clone(), announcement.end?))
                });
                let said_at = budget::said_at(server, *now);
                let record = server.write_problems(&problems).record_said(&said_at);
                Some(ended.fold(Write::of(record), Write::with))
            }
        }
    }
}

impl Plan {
    /// In the order in which it is carried out.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.transitions.sort_by_key(Transition::order);
        self
    }

    /// What has to be written before anything is published, each with the place of its transition.
    pub fn ahead(&self) -> impl Iterator<Item = (usize, &Write)> {
        let transitions = self.transitions.iter().enumerate();
        transitions.filter_map(|(place, transition)| Some((place, transition.ahead.as_ref()?)))
    }

    /// What may be published, given the transitions whose write has been made: whatever has been written ahead, now or by an
    /// earlier sweep. By kind, and servers in natural order.
    #[must_use]
    pub fn say(&self, written: &HashSet<usize>) -> Vec<(Place, &Announcement)> {
        let transitions = self.transitions.iter().enumerate();
        let mut say: Vec<_> = transitions
            .filter(|(place, transition)| transition.ahead.is_none() || written.contains(place))
            .flat_map(|(place, transition)| {
                let announcements = transition.say.iter().enumerate();
                announcements.map(move |(which, announcement)| ((place, which), announcement))
            })
            .collect();
        say.sort_by(|(_, one), (_, other)| one.order(other));
        say
    }

    /// What has to be written after these announcements have been published: what follows from them, and what is written
    /// without one.
    #[must_use]
    pub fn after(&self, said: &[Place]) -> Vec<Write> {
        let mut said_of = vec![HashSet::new(); self.transitions.len()];
        for (place, which) in said {
            said_of[*place].insert(*which);
        }
        let transitions = self.transitions.iter().zip(&said_of);
        transitions.filter_map(|(transition, said)| transition.after(said)).collect()
    }

    /// The servers that are marked as offline.
    pub fn marks(&self) -> impl Iterator<Item = &str> {
        let ahead = self.transitions.iter().filter_map(|transition| transition.ahead.as_ref());
        ahead.filter(|write| write.is_mark()).map(|write| write.change.server_id())
    }
}

impl Extend<Transition> for Plan {
    fn extend<T: IntoIterator<Item = Transition>>(&mut self, transitions: T) {
        for transition in transitions {
            let changes = &mut self.changes[transition.class()];
            if *changes < MAX_CHANGES {
                *changes += transition.weight;
                self.transitions.push(transition);
            } else {
                self.left += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::absence;
    use crate::lateness::Lateness;
    use chrono::{DateTime, TimeDelta, Utc};
    use tables::problem::{Note, Problems, Stage};
    use tables::server::{Reading, Rules, Server, Status};
    use tables::time::{self, Stored};
    use tables::{Limits, Metrics, Number, metric};

    const MINUTE: &str = "2026-01-18T10:30:00.000000Z";

    fn now() -> DateTime<Utc> {
        time::parse(MINUTE).expect("a time")
    }

    /// What follows for a server with this status, in an absence that began at this time, about which this is noted.
    fn absent(id: &str, status: Status, lateness: Lateness, announced: Option<&str>) -> Server {
        let server = Server {
            server_id: id.to_owned(),
            status: Some(status),
            last_seen: Stored::parse(MINUTE.to_owned()),
            offline_since: Stored::parse(MINUTE.to_owned()),
            announced: announced.map(str::to_owned),
            ..Server::default()
        };
        Server {
            offline_since: server.offline_since.filter(|_| lateness == Lateness::OnTime),
            ..server
        }
    }

    fn transition(server: Server, lateness: Lateness, back_after: i64) -> Option<Transition> {
        let back_after = TimeDelta::seconds(back_after);
        let rules = Rules { back_after, ..Rules::default() };
        absence::transition(&server, lateness, &rules, now())
    }

    /// What is to be done about a server's disk.
    fn disk(server_id: &str, percent: f64, problems: Problems) -> ProblemUpdate {
        let reading = Reading {
            metrics: Metrics::from_iter([(metric!("disk_percent"), Number::Float(percent))]),
            received_at: Some(now()),
            ..Reading::default()
        };
        let server = Server {
            server_id: server_id.to_owned(),
            status: Some(Status::Online),
            last_seen: Stored::parse(MINUTE.to_owned()),
            reading: Some(reading),
            problems,
            ..Server::default()
        };
        ProblemUpdate::new(server, &Limits::standard(), now()).expect("something to do")
    }

    /// The problems of which the first is firing, and has this note.
    fn firing(problems: &Problems, note: Option<Note>) -> Problems {
        let mut entries = problems.entries.clone();
        entries[0].1.stage = Stage::Firing;
        entries[0].1.note = note;
        problems.with(entries).written()
    }

    /// One of everything.
    fn plan() -> Plan {
        use Lateness::{Lost, OnTime};
        use Status::{Offline, Online};

        let full = disk("full", 93.0, Problems::default());
        let publishing = full.judgement.ahead.clone().expect("a write").written();
        let hour_ago = Some(Note::Resolving(now() - TimeDelta::hours(1)));
        let emptied = disk("emptied", 20.0, firing(&publishing, hour_ago));
        let emptying = disk("emptying", 20.0, firing(&publishing, None));
        let still_full = disk("still-full", 93.0, publishing);
        let problems = [full, emptied, emptying, still_full];
        let silenced = absent("late-silenced", Online, Lost, None);
        let silenced_until = Some(now() + TimeDelta::hours(1));
        let silenced = Server { silenced_until, ..silenced };
        let absences = [
            transition(absent("returning", Online, OnTime, Some(MINUTE)), OnTime, 300),
            transition(absent("forgotten", Online, OnTime, None), OnTime, 0),
            transition(absent("new", Offline, OnTime, None), OnTime, 300),
            transition(absent("begun", Offline, OnTime, Some("pending")), OnTime, 300),
            transition(absent("back", Online, OnTime, Some(MINUTE)), OnTime, 0),
            transition(absent("back-begun", Online, OnTime, Some("pending")), OnTime, 0),
            transition(silenced, Lost, 300),
            transition(absent("late", Online, Lost, None), Lost, 300),
            transition(absent("known", Offline, OnTime, Some(MINUTE)), OnTime, 300),
        ];
        let problems = problems.into_iter().filter_map(Transition::of_problems);
        let mut plan = Plan::default();
        plan.extend(problems.chain(absences.into_iter().flatten()));
        plan.ordered()
    }

    fn ids(mut ids: Vec<&str>) -> Vec<&str> {
        ids.sort_unstable();
        ids
    }

    /// The servers of these announcements, each kind in its order.
    fn said(plan: &Plan, written: &HashSet<usize>) -> Vec<String> {
        let say = plan.say(written).into_iter();
        say.map(|(_, said)| format!("{} {}", said.kind().key(), said.server_id())).collect()
    }

    // C8.5 C8.8 C9.3
    #[test]
    fn marks_come_first_and_what_is_written_already_is_not_written_again() {
        let plan = plan();
        let ahead: Vec<_> = plan.ahead().map(|(_, write)| write.change.server_id()).collect();
        assert_eq!(ids(ahead[..2].to_vec()), ["late", "late-silenced"]);
        assert_eq!(ids(ahead[2..4].to_vec()), ["back", "new"]);
        assert_eq!(ids(ahead[4..6].to_vec()), ["emptied", "full"]);
        assert_eq!(ahead[6..], ["returning"]);
    }

    // C8.5 C9.7
    #[test]
    fn what_could_not_be_written_ahead_is_not_published() {
        let plan = plan();
        let all: HashSet<_> = plan.ahead().map(|(place, _)| place).collect();
        let everything = said(&plan, &all);
        let expected = [
            "offline begun",
            "offline late",
            "offline new",
            "back back",
            "back back-begun",
            "problems full",
            "problems still-full",
            "solved emptied",
        ];
        assert_eq!(everything, expected);
        let before = ["offline begun", "back back-begun", "problems still-full"];
        assert_eq!(said(&plan, &HashSet::new()), before);
        for (place, write) in plan.ahead() {
            let others = all.iter().copied().filter(|other| *other != place).collect();
            let id = format!(" {}", write.change.server_id());
            let rest: Vec<_> =
                everything.iter().filter(|said| !said.ends_with(&id)).cloned().collect();
            assert_eq!(said(&plan, &others), rest, "without {id}");
        }
    }

    // C8.5 C9.7
    #[test]
    fn what_was_published_is_recorded_and_nothing_else() {
        let plan = plan();
        let written: HashSet<_> = plan.ahead().map(|(place, _)| place).collect();
        let recorded = |said: &[Place]| {
            let after = plan.after(said);
            let servers = after.iter().map(|write| write.change.server_id().to_owned());
            let mut servers: Vec<_> = servers.collect();
            servers.sort_unstable();
            servers
        };
        let quiet = ["emptying", "forgotten"];
        assert_eq!(recorded(&[]), quiet);
        let say = plan.say(&written);
        for (place, announcement) in &say {
            let mut expected = vec![announcement.server_id()];
            expected.extend(quiet);
            assert_eq!(recorded(&[*place]), ids(expected));
        }
        let all: Vec<_> = say.iter().map(|(place, _)| *place).collect();
        assert_eq!(recorded(&all).len(), say.len() + quiet.len());
    }

    // C8.10 C9.9
    #[test]
    fn a_write_says_what_it_means_to_people() {
        let plan = plan();
        let written: HashSet<_> = plan.ahead().map(|(place, _)| place).collect();
        let all: Vec<_> = plan.say(&written).iter().map(|(place, _)| *place).collect();
        let mut news = Vec::new();
        let after = plan.after(&all);
        for write in plan.ahead().map(|(_, write)| write).chain(&after) {
            let id = write.change.server_id();
            news.extend(write.news.iter().map(|news| match news {
                News::Offline(seen) => format!("{id} offline {}", seen.is_some()),
                News::Gone(_) => format!("{id} gone"),
                News::Removed(_) => format!("{id} removed"),
                News::Back(since) => format!("{id} back {}", since.is_some()),
                News::Problem(key) => format!("{id} {key}"),
                News::Solved(key, end) => format!("{id} {key} {}", end.as_str()),
            }));
        }
        news.sort_unstable();
        let expected = [
            "back back true",
            "back-begun back true",
            "emptied disk_percent solved",
            "forgotten back true",
            "full disk_percent",
            "late offline true",
            "late-silenced offline true",
        ];
        assert_eq!(news, expected);
    }
}
