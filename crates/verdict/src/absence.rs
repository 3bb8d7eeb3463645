//! What follows from the absence of a server and from its return, row by row (C8.5).

use crate::announce;
use crate::budget;
use crate::lateness::{Lateness, threshold};
use crate::standing::Return;
use crate::transition::{News, Transition, Write};
use announcement::Announcement;
use chrono::{DateTime, TimeDelta, Utc};
use tables::problem::Stage;
use tables::server::{Change, Rules, Server, Status};
use tables::time::{Stored, as_stored};

/// The actions in C8.5's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Nothing,
    /// It is marked as offline, then as [`Offline`](Self::Offline).
    Mark,
    /// "Offline" is written ahead, published and recorded.
    Offline,
    /// When it returned is written.
    Note,
    /// "Back" is written ahead and published, and the absence ends.
    Back,
    /// The absence ends, and nothing is announced.
    End,
    /// Its removal is written ahead and published, and the item deleted.
    Removed,
    /// The item is deleted, and nothing is announced.
    Remove,
}

/// After this time offline, a server of an ephemeral group is removed; one with a long threshold after twice that.
const REMOVED_AFTER: TimeDelta = TimeDelta::hours(24);

fn action(server: &Server, lateness: Lateness, rules: &Rules, now: DateTime<Utc>) -> Action {
    use Stage::{Firing, NotLasted, Publishing};

    let (stage, is_silenced) = (server.absence(), server.is_silenced(now));
    match (server.status, lateness) {
        (None, _) | (Some(Status::Online), Lateness::Held) => Action::Nothing,
        (Some(Status::Online), Lateness::Lost) => Action::Mark,
        (Some(Status::Offline), _) if is_to_be_removed(server, rules, now) => match is_silenced {
            _ if !may_be_known(server) => Action::Remove,
            true => Action::Nothing,
            false => Action::Removed,
        },
        (Some(Status::Offline), _) if server.is_gone() => Action::Nothing,
        (Some(Status::Offline), _) => match (stage, is_silenced) {
            (None | Some(Firing), _) => Action::Nothing,
            (Some(NotLasted | Publishing), true) => Action::Nothing,
            (Some(NotLasted | Publishing), false) => Action::Offline,
        },
        (Some(Status::Online), Lateness::OnTime | Lateness::Explained) => {
            match (Return::of(server, rules, now), stage, is_silenced) {
                (Return::None, ..) => Action::Nothing,
                (Return::Begun { is_noted: false, .. }, ..) => Action::Note,
                (Return::Begun { is_noted: true, .. }, ..) => Action::Nothing,
                (Return::Lasted, None | Some(NotLasted), _) => Action::End,
                (Return::Lasted, Some(Publishing | Firing), true) => Action::Nothing,
                (Return::Lasted, Some(Publishing | Firing), false) => Action::Back,
            }
        }
    }
}

/// Whether a server has been offline for so long that its group does not expect it back.
fn is_to_be_removed(server: &Server, rules: &Rules, now: DateTime<Utc>) -> bool {
    let removed_after = REMOVED_AFTER.max(threshold(server, rules) * 2);
    let is_old = |seen: &Stored| now - seen.time >= removed_after;
    server.is_ephemeral && server.last_seen.as_ref().is_some_and(is_old)
}

/// Whether something may have been announced that nobody has called off.
fn may_be_known(server: &Server) -> bool {
    let mut stages = server.problems.entries.iter().map(|(_, problem)| problem.stage);
    server.announced.is_some() || stages.any(|stage| stage != Stage::NotLasted)
}

/// What a sweep does about the absence of a server, if anything.
pub fn transition(
    server: &Server,
    lateness: Lateness,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Option<Transition> {
    let is_written = |stage| server.absence() == Some(stage);
    let offline = |server: &Server| {
        let record = server.record_announced().record_said(&budget::said_at(server, now));
        (vec![Announcement::Offline(announce::absence(server))], Write::of(record))
    };
    match action(server, lateness, rules, now) {
        Action::Nothing => None,
        Action::Mark => {
            let marked = server.marked_offline(now);
            let news = match server.is_gone() {
                true => News::Gone(text(&server.last_seen)),
                false => News::Offline(text(&server.last_seen)),
            };
            let mark = Write::of(marked.mark_offline()).with(news);
            Some(match action(&marked, lateness, rules, now) {
                Action::Offline => Transition::new(Some(mark), offline(&marked)),
                _ => Transition::ahead_only(mark),
            })
        }
        Action::Offline => {
            let ahead = is_written(Stage::NotLasted).then(|| Write::of(server.write_ahead()));
            Some(Transition::new(ahead, offline(server)))
        }
        Action::Note => {
            let note = Write::of(server.clone().with_return().note_return());
            Some(Transition::ahead_only(note))
        }
        Action::Back => {
            let ahead = is_written(Stage::Firing).then(|| Write::of(server.write_ahead()));
            let back = Announcement::Back(announce::end(&server.clone().with_return()));
            let ended = server.end_absence().record_said(&budget::said_at(server, now));
            Some(Transition::new(ahead, (vec![back], over(server, ended))))
        }
        Action::Removed => {
            let ahead = Write::of(server.write_removal_ahead());
            let removed = Announcement::Removed(announce::removal(server));
            Some(Transition::new(Some(ahead), (vec![removed], removal(server))))
        }
        Action::Remove => Some(Transition::new(None, (Vec::new(), removal(server)))),
        Action::End => {
            let ended = over(server, server.end_absence());
            Some(Transition::new(None, (Vec::new(), ended)))
        }
    }
}

fn removal(server: &Server) -> Write {
    Write::of(server.remove()).with(News::Removed(text(&server.last_seen)))
}

fn over(server: &Server, ended: Change) -> Write {
    Write::of(ended).with(News::Back(text(&server.offline_since)))
}

fn text(time: &Option<Stored>) -> Option<String> {
    as_stored(time).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::time::format;

    // C8.5: each row of the table, in its order, and C8.4 for what is held.
    #[test]
    fn every_row_of_the_table_is_as_it_says() {
        use Action::{Back, End, Mark, Note, Nothing, Offline};
        use Lateness::{Explained, Held, Lost, OnTime};
        use Status::{Offline as Away, Online};

        let now: DateTime<Utc> = "2026-01-18T10:30:00Z".parse().expect("a time");
        let at = |minutes: i64| Stored::parse(format(now - TimeDelta::minutes(minutes)));
        let (since, other) = (text(&at(60)), Some("pending"));
        let (since, yes) = (since.as_deref(), at(60));
        for (
            number,
            (status, lateness, offline_since, announced, returned_at, is_silenced, expected),
        ) in [
            (Online, Lost, None, None, None, false, Mark),
            (Online, Lost, yes.clone(), since, at(9), true, Mark),
            (Online, Held, yes.clone(), since, at(9), false, Nothing),
            (Away, OnTime, yes.clone(), since, None, false, Nothing),
            (Away, OnTime, yes.clone(), since, None, true, Nothing),
            (Away, OnTime, yes.clone(), None, None, false, Offline),
            (Away, OnTime, yes.clone(), other, None, false, Offline),
            (Away, OnTime, yes.clone(), Some("?"), None, false, Offline),
            (Away, OnTime, yes.clone(), None, None, true, Nothing),
            (Away, OnTime, yes.clone(), other, None, true, Nothing),
            (Away, OnTime, None, other, None, false, Nothing),
            (Online, OnTime, None, other, at(9), false, Nothing),
            (Online, OnTime, yes.clone(), since, None, false, Note),
            (Online, OnTime, yes.clone(), since, at(0), true, Note),
            (Online, OnTime, yes.clone(), since, at(5), false, Nothing),
            (Online, OnTime, yes.clone(), None, at(6), false, End),
            (Online, OnTime, yes.clone(), None, at(6), true, End),
            (Online, OnTime, yes.clone(), since, at(6), false, Back),
            (Online, Explained, yes.clone(), since, at(6), false, Back),
            (Online, OnTime, yes.clone(), other, at(6), false, Back),
            (Online, OnTime, yes.clone(), Some("?"), at(6), true, Nothing),
        ]
        .into_iter()
        .enumerate()
        {
            let server = Server {
                status: Some(status),
                last_seen: at(1),
                offline_since,
                announced: announced.map(str::to_owned),
                returned_at,
                silenced_until: is_silenced.then(|| now + TimeDelta::hours(1)),
                ..Server::default()
            };
            assert_eq!(action(&server, lateness, &Rules::default(), now), expected, "row {number}");
        }
    }

    // C8.5 C9.10: a return that may not be said yet is one that has not lasted; an absence and what is being published are said.
    #[test]
    fn a_return_waits_for_its_turn_and_nothing_else_does() {
        use Action::{Back, End, Mark, Note, Nothing, Offline};
        use Lateness::{Lost, OnTime};
        use Status::{Offline as Away, Online};

        let now: DateTime<Utc> = "2026-01-18T10:30:00Z".parse().expect("a time");
        let at = |minutes: i64| Stored::parse(format(now - TimeDelta::minutes(minutes)));
        let (since, pending) = (text(&at(60)), Some("pending"));
        let since = since.as_deref();
        for (number, (status, lateness, announced, returned_at, back_after, expected)) in [
            (Online, OnTime, since, at(6), 300, Nothing),
            (Online, OnTime, since, None, 300, Note),
            (Online, OnTime, since, None, 0, Note),
            (Online, OnTime, since, at(61), 300, Nothing),
            (Online, OnTime, pending, at(6), 300, Back),
            (Online, OnTime, None, at(6), 300, End),
            (Online, Lost, since, at(6), 300, Mark),
            (Away, OnTime, since, None, 300, Nothing),
            (Away, OnTime, None, None, 300, Offline),
            (Away, OnTime, pending, None, 300, Offline),
        ]
        .into_iter()
        .enumerate()
        {
            let server = Server {
                status: Some(status),
                last_seen: at(1),
                offline_since: at(60),
                announced: announced.map(str::to_owned),
                returned_at,
                said_at: [50, 40, 14].map(|minutes| now - TimeDelta::minutes(minutes)).into(),
                ..Server::default()
            };
            let back_after = TimeDelta::seconds(back_after);
            let rules = Rules { back_after, ..Rules::default() };
            assert_eq!(action(&server, lateness, &rules, now), expected, "row {number}");
            let free = Server { said_at: server.said_at[1..].into(), ..server };
            if (expected, lateness) == (Nothing, OnTime) && status == Online {
                assert_eq!(action(&free, lateness, &rules, now), Back, "row {number}");
            }
        }
    }
}
