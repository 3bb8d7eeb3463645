//! What a sweep writes and says, step by step (C8.5, C9.3): what it writes ahead, what it may publish once that is done, and
//! what it records once that is published. Pure.

use super::announcement::Contents;
use super::limits::Judgement;
use super::review::Decision;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use tables::server::Server;

/// An update of a server's item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Write<'a> {
    /// Before anything is published.
    MarkOffline(&'a Server),
    AbsenceAhead(&'a Server),
    LimitsAhead(&'a Judgement),
    NoteReturn(&'a Server),
    /// After it was.
    RecordAbsence(&'a Server),
    EndAbsence(&'a Server),
    RecordLimits(&'a Judgement),
}

impl<'a> Write<'a> {
    pub fn server(self) -> &'a Server {
        match self {
            Self::MarkOffline(server)
            | Self::AbsenceAhead(server)
            | Self::NoteReturn(server)
            | Self::RecordAbsence(server)
            | Self::EndAbsence(server) => server,
            Self::LimitsAhead(judgement) | Self::RecordLimits(judgement) => &judgement.server,
        }
    }

    /// Completes a request.
    pub fn apply(self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        match self {
            Self::MarkOffline(server) => server.mark_offline(update),
            Self::AbsenceAhead(server) => server.write_ahead(update),
            Self::NoteReturn(server) => server.note_return(update),
            Self::RecordAbsence(server) => server.record_announced(update),
            Self::EndAbsence(server) => server.end_absence(update),
            Self::LimitsAhead(judgement) => {
                let high = judgement.ahead.as_ref().unwrap_or(&judgement.after);
                judgement.server.write_high(update, high)
            }
            Self::RecordLimits(judgement) => judgement.server.write_high(update, &judgement.after),
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
        let limits = decision.limits.iter();
        let changed = limits.filter(|judgement| judgement.ahead.is_some());
        let notes = decision.returning.iter().map(Write::NoteReturn);
        marks
            .chain(absences)
            .chain(changed.map(Write::LimitsAhead))
            .chain(notes)
            .collect()
    }

    /// What may be published: everything that has been written ahead, by one of these writes or by an earlier sweep.
    pub fn publishable(&self, written: &[Write<'a>]) -> Contents<'a> {
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
        let back = decision
            .back
            .iter()
            .filter(|server| server.is_pending() || is_written(server));
        let limits = decision
            .limits
            .iter()
            .filter(|judgement| judgement.ahead.is_none() || is_written(&judgement.server));
        Contents {
            offline: marked.chain(unannounced).collect(),
            back: back.collect(),
            high: limits.clone().flat_map(|judged| &judged.high).collect(),
            normal: limits.flat_map(|judged| &judged.normal).collect(),
        }
    }

    /// What has to be written once this was published, if it was; and the ends of absences about which nothing was said.
    pub fn records(&self, published: Option<&Contents<'a>>) -> Vec<Write<'a>> {
        let said = published.map(|contents| self.records_of(contents));
        let forgotten = self.decision.forgotten.iter().map(Write::EndAbsence);
        said.into_iter().flatten().chain(forgotten).collect()
    }

    fn records_of(&self, said: &Contents<'a>) -> Vec<Write<'a>> {
        let entries = said.high.iter().chain(&said.normal);
        let judged: HashSet<_> = entries.map(|entry| &entry.server_id).collect();
        let limits = self
            .decision
            .limits
            .iter()
            .filter(|judgement| judged.contains(&judgement.server.server_id));
        let offline = said.offline.iter().copied().map(Write::RecordAbsence);
        let back = said.back.iter().copied().map(Write::EndAbsence);
        offline
            .chain(back)
            .chain(limits.map(Write::RecordLimits))
            .collect()
    }
}

/// What became different for people, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub offline: usize,
    pub back: usize,
    pub high: usize,
    pub normal: usize,
}

impl Changes {
    /// By these writes.
    pub fn of<'a>(written: impl IntoIterator<Item = &'a Write<'a>>) -> Self {
        let mut changes = Self::default();
        for write in written {
            match write {
                Write::MarkOffline(_) => changes.offline += 1,
                Write::EndAbsence(_) => changes.back += 1,
                Write::LimitsAhead(judgement) => changes.high += judgement.new.len(),
                Write::RecordLimits(judgement) => changes.normal += judgement.normal.len(),
                Write::AbsenceAhead(_) | Write::NoteReturn(_) | Write::RecordAbsence(_) => {}
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::limits;
    use tables::server::{High, Reading, Status};
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
            offline_since: Stored::read(MINUTE.to_owned()),
            announced: announced.map(str::to_owned),
            ..Server::default()
        }
    }

    fn silenced(server: Server) -> Server {
        let silenced_until = Some(now() + chrono::TimeDelta::hours(1));
        Server {
            silenced_until,
            ..server
        }
    }

    /// What is to be said about a server's disk.
    fn disk(server_id: &str, percent: f64, high: High) -> Judgement {
        let reading = Reading {
            metrics: Metrics::from_iter([(metric!("disk_percent"), Number::Float(percent))]),
            received_at: Some(now()),
            ..Reading::default()
        };
        let server = Server {
            server_id: server_id.to_owned(),
            status: Some(Status::Online),
            last_seen: Stored::read(MINUTE.to_owned()),
            reading: Some(reading),
            high,
            ..Server::default()
        };
        limits::judge(server, &Limits::standard(), now()).expect("something to say")
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

    /// Everything that may be published: servers by list, and servers with metrics by list.
    fn said(contents: &Contents<'_>) -> [Vec<String>; 4] {
        let servers = |servers: &[&Server]| {
            servers
                .iter()
                .map(|server| server.server_id.clone())
                .collect()
        };
        let entries = |entries: &[&limits::Entry]| {
            entries
                .iter()
                .map(|entry| entry.server_id.clone())
                .collect()
        };
        [
            servers(&contents.offline),
            servers(&contents.back),
            entries(&contents.high),
            entries(&contents.normal),
        ]
    }

    /// One of everything.
    fn decision() -> Decision {
        let full = disk("full", 93.0, High::default());
        let was_full = disk("emptied", 20.0, full.after.clone());
        let told_late = disk(
            "still-full",
            93.0,
            full.ahead.clone().expect("a write").written(),
        );
        Decision {
            offline: vec![
                absent("late", Some("pending")),
                silenced(absent("late-silenced", None)),
                absent("late-again", Some(MINUTE)),
            ],
            unannounced: vec![absent("new", None), absent("begun", Some("pending"))],
            returning: vec![absent("returning", Some(MINUTE))],
            back: vec![
                absent("back", Some(MINUTE)),
                absent("back-pending", Some("pending")),
            ],
            forgotten: vec![absent("forgotten", None)],
            limits: vec![full, was_full, told_late],
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
            "LimitsAhead full",
            "LimitsAhead emptied",
            "NoteReturn returning",
        ];
        assert_eq!(names(&ahead), expected);
    }

    // C8.5 C9.3
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
        assert_eq!(
            said(&plan.publishable(&ahead)),
            everything.map(<[_]>::to_vec)
        );
        let written_before = [&["begun"][..], &["back-pending"], &["still-full"], &[]];
        assert_eq!(
            said(&plan.publishable(&[])),
            written_before.map(<[_]>::to_vec)
        );
        for (number, write) in ahead.iter().enumerate() {
            let mut others = ahead.clone();
            others.remove(number);
            let id = write.server().server_id.as_str();
            let without = everything.map(|ids| {
                ids.iter()
                    .copied()
                    .filter(|other| *other != id)
                    .collect::<Vec<_>>()
            });
            assert_eq!(
                said(&plan.publishable(&others)),
                without,
                "without {write:?}"
            );
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

    // C8.5 C9.3
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
            "RecordLimits full",
            "RecordLimits emptied",
            "RecordLimits still-full",
            "EndAbsence forgotten",
        ];
        let everything = plan.publishable(&plan.ahead());
        assert_eq!(names(&plan.records(Some(&everything))), all);
        let little = plan.publishable(&[]);
        let recorded = [
            "RecordAbsence begun",
            "EndAbsence back-pending",
            "RecordLimits still-full",
            "EndAbsence forgotten",
        ];
        assert_eq!(names(&plan.records(Some(&little))), recorded);
        assert_eq!(names(&plan.records(None)), ["EndAbsence forgotten"]);
    }

    // C8.10
    #[test]
    fn changes_are_counted_by_what_was_written() {
        let decision = decision();
        let plan = Plan::new(&decision, now());
        let ahead = plan.ahead();
        let records = plan.records(Some(&plan.publishable(&ahead)));
        let changes = Changes {
            offline: 3,
            back: 3,
            high: 1,
            normal: 1,
        };
        assert_eq!(Changes::of(ahead.iter().chain(&records)), changes);
        assert_eq!(Changes::of([]), Changes::default());
    }
}
