//! What a sweep writes and says, step by step (C8.5, C9.7): what it writes ahead, what it may publish once that is done, and
//! what it records once that is published. Pure.

use super::announcement::Planned;
use super::review::Decision;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use tables::server::Server;
use verdict::{ProblemAnnouncement, ProblemUpdate};

/// An update of a server's item.
#[derive(Debug, Clone, PartialEq)]
pub enum Write<'a> {
    /// Before anything is published.
    MarkOffline(&'a Server),
    AbsenceAhead(&'a Server),
    ProblemsAhead(&'a ProblemUpdate),
    NoteReturn(&'a Server),
    /// After it was.
    RecordAbsence(&'a Server),
    EndAbsence(&'a Server),
    /// With what was said.
    RecordProblems(&'a ProblemUpdate, Vec<&'a ProblemAnnouncement>),
    /// Whether it was or not.
    NoteProblems(&'a ProblemUpdate),
}

impl<'a> Write<'a> {
    pub fn server(&self) -> &'a Server {
        match self {
            Self::MarkOffline(server)
            | Self::AbsenceAhead(server)
            | Self::NoteReturn(server)
            | Self::RecordAbsence(server)
            | Self::EndAbsence(server) => server,
            Self::ProblemsAhead(update)
            | Self::RecordProblems(update, _)
            | Self::NoteProblems(update) => &update.server,
        }
    }

    /// Completes a request.
    pub fn apply(&self, request: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        match self {
            Self::MarkOffline(server) => server.mark_offline(request),
            Self::AbsenceAhead(server) => server.write_ahead(request),
            Self::NoteReturn(server) => server.note_return(request),
            Self::RecordAbsence(server) => server.record_announced(request),
            Self::EndAbsence(server) => server.end_absence(request),
            Self::ProblemsAhead(update) | Self::NoteProblems(update) => {
                let ahead = update.judgement.ahead.as_ref();
                let problems = ahead.unwrap_or(&update.server.problems);
                update.server.write_problems(request, problems)
            }
            Self::RecordProblems(update, said) => {
                let is_said = |announcement: &ProblemAnnouncement| said.contains(&announcement);
                let after = update.judgement.after(is_said);
                update.server.write_problems(request, &after)
            }
        }
    }
}

/// The steps of a sweep, after its review.
pub struct Plan<'a> {
    decision: &'a Decision,
    /// The sweep's.
    time: DateTime<Utc>,
}

impl<'a> Plan<'a> {
    pub const fn new(decision: &'a Decision, time: DateTime<Utc>) -> Self {
        Self { decision, time }
    }

    /// What has to be written before anything is published: marks first, so that a sweep that runs out of time has judged.
    pub fn ahead(&self) -> Vec<Write<'a>> {
        let decision = self.decision;
        let marks = decision.offline.iter().map(Write::MarkOffline);
        let unannounced = decision.unannounced.iter();
        let begun = unannounced.filter(|server| server.announced.is_none());
        let ended = decision.back.iter().filter(|server| !server.is_pending());
        let absences = begun.chain(ended).map(Write::AbsenceAhead);
        let problems = decision.problems.iter();
        let changed = problems.filter(|update| update.has_announcements() && has_changed(update));
        let notes = decision.returning.iter().map(Write::NoteReturn);
        marks.chain(absences).chain(changed.map(Write::ProblemsAhead)).chain(notes).collect()
    }

    /// What may be published: everything that has been written ahead, by one of these writes or by an earlier sweep.
    pub fn publishable(&self, written: &[Write<'a>]) -> Vec<Planned<'a>> {
        let decision = self.decision;
        let ids = written.iter().map(|write| &write.server().server_id);
        let written: HashSet<_> = ids.collect();
        let is_written = |server: &Server| written.contains(&server.server_id);
        let marked = decision.offline.iter().filter(|server| {
            is_written(server) && !server.is_silenced(self.time) && !server.is_announced()
        });
        let unannounced = decision
            .unannounced
            .iter()
            .filter(|server| server.announced.is_some() || is_written(server));
        let back = decision.back.iter().filter(|server| server.is_pending() || is_written(server));
        let (begun, ended): (Vec<_>, Vec<_>) = decision
            .problems
            .iter()
            .filter(|update| !has_changed(update) || is_written(&update.server))
            .flat_map(|update| {
                update.judgement.announcements().map(move |announcement| (update, announcement))
            })
            .partition(|(_, announcement)| announcement.end.is_none());
        let problems = begun.into_iter().chain(ended);
        (marked.chain(unannounced).map(Planned::Offline))
            .chain(back.map(Planned::Back))
            .chain(problems.map(|(update, announcement)| Planned::Problem(update, announcement)))
            .collect()
    }

    /// What has to be written once this was published, if it was; and what nothing is said about: absences that ended, and
    /// the notes on problems.
    pub fn records(&self, said: Option<&[Planned<'a>]>) -> Vec<Write<'a>> {
        let records = said.map(records_of);
        let forgotten = self.decision.forgotten.iter().map(Write::EndAbsence);
        let problems = self.decision.problems.iter();
        let quiet = problems.filter(|update| !update.has_announcements() && has_changed(update));
        (records.into_iter().flatten())
            .chain(forgotten)
            .chain(quiet.map(Write::NoteProblems))
            .collect()
    }
}

fn has_changed(update: &ProblemUpdate) -> bool {
    update.judgement.ahead.is_some()
}

fn records_of<'a>(said: &[Planned<'a>]) -> Vec<Write<'a>> {
    let mut records = Vec::new();
    // The announcements about a server are recorded by one write.
    let mut places = HashMap::new();
    for announcement in said {
        match *announcement {
            Planned::Offline(server) => records.push(Write::RecordAbsence(server)),
            Planned::Back(server) => records.push(Write::EndAbsence(server)),
            Planned::Problem(update, announcement) => {
                let place = *places.entry(&update.server.server_id).or_insert(records.len());
                match records.get_mut(place) {
                    Some(Write::RecordProblems(_, announcements)) => {
                        announcements.push(announcement)
                    }
                    _ => records.push(Write::RecordProblems(update, vec![announcement])),
                }
            }
        }
    }
    records
}

/// What became different for people, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub offline: usize,
    pub back: usize,
    pub problems: usize,
    pub solved: usize,
}

impl Changes {
    /// By these writes.
    pub fn of<'a>(written: impl IntoIterator<Item = &'a Write<'a>>) -> Self {
        let mut changes = Self::default();
        for write in written {
            match write {
                Write::MarkOffline(_) => changes.offline += 1,
                Write::EndAbsence(_) => changes.back += 1,
                Write::ProblemsAhead(update) => {
                    let new =
                        update.judgement.announcements().filter(|announcement| announcement.is_new);
                    changes.problems += new.count();
                }
                Write::RecordProblems(_, said) => {
                    let ended = said.iter().filter(|announcement| announcement.end.is_some());
                    changes.solved += ended.count();
                }
                Write::AbsenceAhead(_)
                | Write::NoteReturn(_)
                | Write::RecordAbsence(_)
                | Write::NoteProblems(_) => {}
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::problem::{Note, Problems, Stage};
    use tables::server::{Reading, Status};
    use tables::time::{self, Stored};
    use tables::{Limits, Metrics, Number, metric};

    const MINUTE: &str = "2026-01-18T10:30:00.000000Z";

    fn now() -> DateTime<Utc> {
        time::parse(MINUTE).expect("a time")
    }

    /// A server in an absence that began at this time, about which this is noted.
    fn absent(server_id: &str, announced: Option<&str>) -> Server {
        Server {
            server_id: server_id.to_owned(),
            offline_since: Stored::parse(MINUTE.to_owned()),
            announced: announced.map(str::to_owned),
            ..Server::default()
        }
    }

    fn silenced(server: Server) -> Server {
        let silenced_until = Some(now() + chrono::TimeDelta::hours(1));
        Server { silenced_until, ..server }
    }

    /// What is to be said about a server's disk.
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
        ProblemUpdate::new(server, &Limits::standard()).expect("something to say")
    }

    /// The problems of which the first has been said, and has this note.
    fn said_with(problems: &Problems, note: Option<Note>) -> Problems {
        let mut entries = problems.entries.clone();
        entries[0].1.stage = Stage::Firing;
        entries[0].1.note = note;
        problems.with(entries).written()
    }

    /// The writes, each by its kind and server.
    fn names(writes: &[Write<'_>]) -> Vec<String> {
        let name = |write: &Write<'_>| {
            let debug = format!("{write:?}");
            let kind = debug.split('(').next().unwrap_or_default();
            format!("{kind} {}", write.server().server_id)
        };
        writes.iter().map(name).collect()
    }

    /// The servers of everything that may be published, by list.
    fn said(planned: &[Planned<'_>]) -> [Vec<String>; 4] {
        let mut lists = [const { Vec::new() }; 4];
        for announcement in planned {
            let (list, server) = match announcement {
                Planned::Offline(server) => (0, *server),
                Planned::Back(server) => (1, *server),
                Planned::Problem(update, announcement) => {
                    (2 + usize::from(announcement.end.is_some()), &update.server)
                }
            };
            lists[list].push(server.server_id.clone());
        }
        lists
    }

    /// One of everything.
    fn decision() -> Decision {
        let full = disk("full", 93.0, Problems::default());
        let pending = full.judgement.ahead.clone().expect("a write").written();
        let hour_ago = Some(Note::Resolving(now() - chrono::TimeDelta::hours(1)));
        let was_full = disk("emptied", 20.0, said_with(&pending, hour_ago));
        let emptying = disk("emptying", 20.0, said_with(&pending, None));
        let told_late = disk("still-full", 93.0, pending);
        Decision {
            offline: vec![
                absent("late", Some("pending")),
                silenced(absent("late-silenced", None)),
                absent("late-again", Some(MINUTE)),
            ],
            unannounced: vec![absent("new", None), absent("begun", Some("pending"))],
            returning: vec![absent("returning", Some(MINUTE))],
            back: vec![absent("back", Some(MINUTE)), absent("back-pending", Some("pending"))],
            forgotten: vec![absent("forgotten", None)],
            problems: vec![full, was_full, emptying, told_late],
            ..Decision::default()
        }
    }

    // C8.5 C8.8 C9.3
    #[test]
    fn marks_come_first_and_what_is_written_already_is_not_written_again() {
        let decision = decision();
        let ahead = Plan::new(&decision, now()).ahead();
        let expected = [
            "MarkOffline late",
            "MarkOffline late-silenced",
            "MarkOffline late-again",
            "AbsenceAhead new",
            "AbsenceAhead back",
            "ProblemsAhead full",
            "ProblemsAhead emptied",
            "NoteReturn returning",
        ];
        assert_eq!(names(&ahead), expected);
    }

    // C8.5 C9.7
    #[test]
    fn what_could_not_be_written_ahead_is_not_published() {
        let decision = decision();
        let plan = Plan::new(&decision, now());
        let everything = [
            &["late", "new", "begun"][..],
            &["back", "back-pending"],
            &["full", "still-full"],
            &["emptied"],
        ];
        let ahead = plan.ahead();
        assert_eq!(said(&plan.publishable(&ahead)), everything.map(<[_]>::to_vec));
        let written_before = [&["begun"][..], &["back-pending"], &["still-full"], &[]];
        assert_eq!(said(&plan.publishable(&[])), written_before.map(<[_]>::to_vec));
        for (number, write) in ahead.iter().enumerate() {
            let mut others = ahead.clone();
            others.remove(number);
            let id = write.server().server_id.as_str();
            let without = everything
                .map(|ids| ids.iter().copied().filter(|other| *other != id).collect::<Vec<_>>());
            assert_eq!(said(&plan.publishable(&others)), without, "without {write:?}");
        }
    }

    // C8.7
    #[test]
    fn what_was_marked_is_published_once_its_silence_is_over() {
        let decision = decision();
        let plan = Plan::new(&decision, now() + chrono::TimeDelta::hours(2));
        let [offline, ..] = said(&plan.publishable(&plan.ahead()));
        assert_eq!(offline, ["late", "late-silenced", "new", "begun"]);
    }

    // C8.5 C9.7
    #[test]
    fn what_was_published_is_recorded_and_nothing_else() {
        let decision = decision();
        let plan = Plan::new(&decision, now());
        let all = [
            "RecordAbsence late",
            "RecordAbsence new",
            "RecordAbsence begun",
            "EndAbsence back",
            "EndAbsence back-pending",
            "RecordProblems full",
            "RecordProblems still-full",
            "RecordProblems emptied",
            "EndAbsence forgotten",
            "NoteProblems emptying",
        ];
        let everything = plan.publishable(&plan.ahead());
        assert_eq!(names(&plan.records(Some(&everything))), all);
        let little = plan.publishable(&[]);
        let recorded = [
            "RecordAbsence begun",
            "EndAbsence back-pending",
            "RecordProblems still-full",
            "EndAbsence forgotten",
            "NoteProblems emptying",
        ];
        assert_eq!(names(&plan.records(Some(&little))), recorded);
        assert_eq!(names(&plan.records(None)), ["EndAbsence forgotten", "NoteProblems emptying"]);
    }

    // C8.10
    #[test]
    fn changes_are_counted_by_what_was_written() {
        let decision = decision();
        let plan = Plan::new(&decision, now());
        let ahead = plan.ahead();
        let records = plan.records(Some(&plan.publishable(&ahead)));
        let changes = Changes { offline: 3, back: 3, problems: 1, solved: 1 };
        assert_eq!(Changes::of(ahead.iter().chain(&records)), changes);
        assert_eq!(Changes::of([]), Changes::default());
    }
}
