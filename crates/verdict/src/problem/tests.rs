//! Each cell of the table in C9.2, each rule around it, and what public reports saw.

use super::{End, Facts, Judgement, ProblemAnnouncement, Reading, Value};
use crate::condition::FRESH;
use chrono::{DateTime, TimeDelta, Utc};
use tables::problem::{Key, Note, Problem, Problems, Stage};
use tables::{Disk, Limits, Metrics, Number, Service, ServiceStatus, Services};

/// A time on the tests' own clock, in minutes.
fn minute(minutes: i64) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-01-18T10:00:00Z".parse().expect("a time");
    start + TimeDelta::minutes(minutes)
}

/// What one server sent last, and what its item holds.
struct Server {
    limits: Limits,
    own: Option<Limits>,
    problems: Problems,
    metrics: Vec<(&'static str, f64)>,
    disks: Option<Vec<Disk>>,
    services: Option<Services>,
    duplicate_at: Option<i64>,
    /// Whether a message may name it.
    has_turn: bool,
}

impl Server {
    fn new(limits: &str) -> Self {
        Self {
            limits: Limits::parse(limits).expect("limits"),
            own: None,
            problems: Problems::default(),
            metrics: Vec::new(),
            disks: None,
            services: None,
            duplicate_at: None,
            has_turn: true,
        }
    }

    fn own(&mut self, limits: &str) {
        self.own = Some(Limits::parse_own(limits).expect("limits"));
    }

    fn metric(&mut self, name: &'static str, value: f64) {
        self.metrics.retain(|(known, _)| *known != name);
        self.metrics.push((name, value));
    }

    fn disks(&mut self, disks: &[(&str, f64)]) {
        let disks = disks
            .iter()
            .map(|(mount, percent)| Disk { mount: (*mount).to_owned(), percent: *percent });
        self.disks = Some(disks.collect());
    }

    fn services(&mut self, services: &[(&str, &str)]) {
        let not_running = services.iter().map(|(name, status)| Service {
            status: ServiceStatus::parse(status).expect("a status"),
            name: (*name).to_owned(),
            reason: None,
        });
        self.services = Some(Services { not_running: not_running.collect(), is_cut: false });
    }

    /// Judges the server as of this minute, at which this reading was received.
    fn judge(&self, at: i64, received_at: i64) -> Option<Judgement> {
        let metrics = Metrics::from_fn(|metric| {
            let mut metrics = self.metrics.iter();
            metrics.find(|(name, _)| *name == metric.name).map(|(_, value)| Number::Float(*value))
        });
        let reading = Reading {
            received_at: minute(received_at),
            metrics: &metrics,
            disks: self.disks.as_deref(),
            services: self.services.as_ref(),
        };
        let facts = Facts {
            seen: minute(at),
            duplicate_at: self.duplicate_at.map(minute),
            reading: Some(reading).filter(|reading| minute(at) - reading.received_at <= FRESH),
            limits: &self.limits,
            own: self.own.as_ref(),
        };
        Judgement::new(&self.problems, &facts, self.has_turn)
    }

    /// Sweeps at this minute, with everything working, and returns what was said.
    fn sweep(&mut self, at: i64) -> Vec<ProblemAnnouncement> {
        let Some(judgement) = self.judge(at, at) else {
            return Vec::new();
        };
        self.problems = judgement.after(|_| true).written();
        judgement.announcements().cloned().collect()
    }

    /// The same in short: keys, with `-` before those that ended.
    fn said(&mut self, at: i64) -> Vec<String> {
        self.sweep(at).iter().map(in_short).collect()
    }

    fn entry(&self, key: &str) -> Option<&Problem> {
        self.problems.get(&Key::parse(key).expect("a key"))
    }
}

fn in_short(announcement: &ProblemAnnouncement) -> String {
    let end = if announcement.end.is_some() { "-" } else { "" };
    format!("{end}{}", announcement.problem.key)
}

const LEVELS: [(&str, Option<&str>, &str); 5] = [
    ("H", Some("95"), "disk_percent=90"),
    ("M", Some("87"), "disk_percent=90"),
    ("L", Some("20"), "disk_percent=90"),
    ("?", None, "disk_percent=90"),
    ("X", Some("95"), "cpu_percent=90"),
];

/// What the entry becomes if all goes well, and what is said.
fn outcome(known: Option<(Stage, Option<Note>)>, level: &str, lasts: &str) -> String {
    outcome_if(true, known, level, lasts)
}

/// The same for a server that a message may name, or not.
fn outcome_if(
    has_turn: bool,
    known: Option<(Stage, Option<Note>)>,
    level: &str,
    lasts: &str,
) -> String {
    let (_, value, limits) = LEVELS.into_iter().find(|(name, ..)| *name == level).expect("level");
    let mut server = Server::new(&format!("{limits}{lasts}"));
    server.has_turn = has_turn;
    if let Some(value) = value {
        server.metric("disk_percent", value.parse().expect("a number"));
    }
    if let Some((stage, note)) = known {
        let problem = Problem { since: minute(0), limit: Some(90.0), stage, note };
        let key = Key::parse("disk_percent").expect("a key");
        server.problems = Problems::default().with(vec![(key, problem)]).written();
    }
    let before = server.entry("disk_percent").cloned();
    let judgement = server.judge(10, 10);
    let ahead = judgement.as_ref().and_then(|judgement| judgement.ahead.clone());
    let said = server.sweep(10);
    let is_written_ahead = ahead.is_some_and(|ahead| {
        ahead.entries.iter().any(|(_, problem)| problem.stage == Stage::Publishing)
    });
    let is_pending = before.as_ref().is_some_and(|before| before.stage == Stage::Publishing);
    assert!(said.is_empty() || is_written_ahead || is_pending, "what is said is written ahead");
    let said = said.first().map(|announcement| match announcement.end {
        None => "say",
        Some(End::Solved) => "solved",
        Some(End::Gone) => "gone",
        Some(End::Unwatched) => "unwatched",
    });
    let entry = server.entry("disk_percent").map(|entry| {
        let stage = match entry.stage {
            Stage::NotLasted => "not lasted",
            Stage::Publishing => "publishing",
            Stage::Firing => "firing",
        };
        match entry.note {
            None => stage.to_owned(),
            Some(Note::Resolving(since)) => {
                format!("{stage} resolving {}", (since - minute(0)).num_minutes())
            }
            Some(Note::NoData(since)) => {
                format!("{stage} no data {}", (since - minute(0)).num_minutes())
            }
        }
    });
    let parts = [said.map(str::to_owned), entry];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
}

/// A row of the table: its name, the entry, the duration of the limit, and what follows from each level.
type Row<'a> = (&'a str, Option<(Stage, Option<Note>)>, &'a str, [&'a str; 5]);

// C9.3: the table, with a reading at minute 10.
#[test]
fn every_cell_of_the_table_is_as_it_says() {
    let resolving = |at| Some(Note::Resolving(minute(at)));
    let no_data = |at| Some(Note::NoData(minute(at)));
    let (not_lasted, publishing, firing) = (Stage::NotLasted, Stage::Publishing, Stage::Firing);
    #[rustfmt::skip]
    let rows: [Row; 13] = [
        ("absent", None, "", ["say, firing", "–", "–", "–", "–"]),
        ("absent, with a duration", None, "/10m", ["not lasted", "–", "–", "–", "–"]),
        ("not lasted", Some((not_lasted, None)), "/11m", ["not lasted", "–", "–", "–", "–"]),
        ("lasted for long enough", Some((not_lasted, None)), "/10m", ["say, firing", "–", "–", "–", "–"]),
        ("publishing", Some((publishing, None)), "", ["say, firing", "say, firing", "publishing resolving 10", "publishing no data 10", "unwatched"]),
        ("firing", Some((firing, None)), "", ["firing", "firing", "firing resolving 10", "firing no data 10", "unwatched"]),
        ("resolving, not yet", Some((firing, resolving(-4))), "", ["firing", "firing", "firing resolving -4", "firing no data 10", "unwatched"]),
        ("resolving", Some((firing, resolving(-5))), "", ["firing", "firing", "solved", "firing no data 10", "unwatched"]),
        ("resolving, a longer limit", Some((firing, resolving(-5))), "/16m", ["firing", "firing", "firing resolving -5", "firing no data 10", "unwatched"]),
        ("publishing and resolving", Some((publishing, resolving(-5))), "", ["say, firing", "say, firing", "solved", "publishing no data 10", "unwatched"]),
        ("without data, not yet", Some((firing, no_data(-1429))), "", ["firing", "firing", "firing resolving 10", "firing no data -1429", "unwatched"]),
        ("without data", Some((firing, no_data(-1430))), "", ["firing", "firing", "firing resolving 10", "gone", "unwatched"]),
        ("publishing and without data", Some((publishing, no_data(-1430))), "", ["say, firing", "say, firing", "publishing resolving 10", "gone", "unwatched"]),
    ];
    for (name, known, lasts, cells) in rows {
        for ((level, ..), expected) in LEVELS.into_iter().zip(cells) {
            assert_eq!(outcome(known, level, lasts), expected, "{name}, {level}");
        }
    }
}

// C9.10: what may begin or end only in its turn, with a reading at minute 10; what is being published does not wait.
#[test]
fn what_waits_for_its_turn_is_neither_said_nor_written_ahead() {
    let resolving = |at| Some(Note::Resolving(minute(at)));
    let no_data = |at| Some(Note::NoData(minute(at)));
    let (not_lasted, publishing, firing) = (Stage::NotLasted, Stage::Publishing, Stage::Firing);
    #[rustfmt::skip]
    let rows: [Row; 9] = [
        ("absent", None, "", ["not lasted", "–", "–", "–", "–"]),
        ("waiting", Some((not_lasted, None)), "", ["not lasted", "–", "–", "–", "–"]),
        ("lasted for long enough", Some((not_lasted, None)), "/10m", ["not lasted", "–", "–", "–", "–"]),
        ("firing", Some((firing, None)), "", ["firing", "firing", "firing resolving 10", "firing no data 10", "firing"]),
        ("resolving", Some((firing, resolving(-5))), "", ["firing", "firing", "firing resolving -5", "firing no data 10", "firing resolving -5"]),
        ("without data", Some((firing, no_data(-1430))), "", ["firing", "firing", "firing resolving 10", "firing no data -1430", "firing no data -1430"]),
        ("publishing", Some((publishing, None)), "", ["say, firing", "say, firing", "publishing resolving 10", "publishing no data 10", "unwatched"]),
        ("publishing and resolving", Some((publishing, resolving(-5))), "", ["say, firing", "say, firing", "solved", "publishing no data 10", "unwatched"]),
        ("publishing and without data", Some((publishing, no_data(-1430))), "", ["say, firing", "say, firing", "publishing resolving 10", "gone", "unwatched"]),
    ];
    for (name, known, lasts, cells) in rows {
        for ((level, ..), expected) in LEVELS.into_iter().zip(cells) {
            assert_eq!(outcome_if(false, known, level, lasts), expected, "{name}, {level}");
        }
    }
}

// C9.10: since when it is, is known by then.
#[test]
fn what_has_waited_for_its_turn_is_said_with_its_beginning() {
    let mut server = Server::new("disk_percent=90");
    server.has_turn = false;
    server.metric("disk_percent", 95.0);
    (0..9).for_each(|at| assert_eq!(server.said(at), [""; 0]));
    server.services(&[("nginx", "failed")]);
    assert_eq!(server.said(9), [""; 0]);
    server.has_turn = true;
    let said = server.sweep(10);
    let said: Vec<_> =
        said.iter().map(|said| (in_short(said), said.problem.since, said.is_new)).collect();
    let expected = [("disk_percent", minute(0)), ("service:nginx", minute(9))]
        .map(|(key, since)| (key.to_owned(), since, true));
    assert_eq!(said, expected);
}

// C9.3: a note from the future is none.
#[test]
fn a_note_from_the_future_is_overwritten() {
    let later = minute(11);
    for note in [Note::Resolving(later), Note::NoData(later)] {
        let known = Some((Stage::Firing, Some(note)));
        assert_eq!(outcome(known, "L", ""), "firing resolving 10");
        assert_eq!(outcome(known, "?", ""), "firing no data 10");
    }
}

// C9.3: after a crash, what is being published is what it is by then.
#[test]
fn what_is_written_ahead_survives_a_crash_at_any_step() {
    let mut server = Server::new("disk_percent=90");
    server.metric("disk_percent", 95.0);
    let judgement = server.judge(0, 0).expect("a judgement");
    server.problems = judgement.ahead.clone().expect("a write").written();
    assert_eq!(server.said(1), ["disk_percent"], "nothing was recorded");
    assert_eq!(server.said(2), [""; 0]);

    server.metric("disk_percent", 20.0);
    server.said(3);
    let judgement = server.judge(18, 18).expect("a judgement");
    server.problems = judgement.ahead.clone().expect("a write").written();
    server.metric("disk_percent", 95.0);
    assert_eq!(server.said(19), ["disk_percent"], "its end may have been published");
}

// C8.6 C9.7: what was not said is not recorded.
#[test]
fn what_was_not_said_is_said_by_the_next_sweep() {
    let mut server = Server::new("disk_percent=90");
    server.services(&[("cron", "failed"), ("nginx", "failed")]);
    let judgement = server.judge(0, 0).expect("a judgement");
    server.problems = judgement
        .after(|announcement| announcement.problem.key == Key::Service("cron".to_owned()))
        .written();
    assert_eq!(server.said(1), ["service:nginx"]);
    assert_eq!(server.said(2), [""; 0]);

    server.services(&[]);
    server.said(3);
    let judgement = server.judge(18, 18).expect("a judgement");
    assert_eq!(judgement.announcements().count(), 2);
    server.problems = judgement
        .after(|announcement| announcement.problem.key == Key::Service("cron".to_owned()))
        .written();
    assert_eq!(server.said(19), ["-service:nginx"]);
    assert_eq!(server.problems.entries, []);
}

// C9.3: the limit of an entry.
#[test]
fn a_changed_limit_replaces_the_one_that_was_reached_without_a_word() {
    let mut server = Server::new("disk_percent=90");
    server.metric("disk_percent", 95.0);
    assert_eq!(server.said(0), ["disk_percent"]);
    server.own("disk_percent=80");
    assert_eq!(server.said(1), [""; 0]);
    let limit = |server: &Server| server.entry("disk_percent").and_then(|entry| entry.limit);
    assert_eq!(limit(&server), Some(80.0));

    // Below the new limit, it is over, and its own limit stays until it is.
    server.own("disk_percent=96");
    for at in 2..17 {
        assert_eq!(server.said(at), [""; 0], "{at}");
        assert_eq!(limit(&server), Some(80.0), "{at}");
    }
    assert_eq!(server.said(17), ["-disk_percent"]);
}

// C9.4
#[test]
fn a_limit_that_has_to_last_counts_from_reading_to_reading() {
    let mut server = Server::new("cpu_percent=90/10m");
    server.metric("cpu_percent", 95.0);
    for at in 0..10 {
        assert_eq!(server.said(at), [""; 0], "{at}");
    }
    let words = server.sweep(10);
    assert_eq!(
        words.iter().map(|announcement| announcement.problem.since).collect::<Vec<_>>(),
        [minute(0)]
    );
    // A sweep without a new reading proves nothing.
    let mut server = Server::new("cpu_percent=90/10m");
    server.metric("cpu_percent", 95.0);
    server.said(0);
    assert_eq!(server.judge(9, 0), None);
    // Nor does one that judges another limit, if the limit changes.
    server.own("cpu_percent=94");
    assert_eq!(server.said(1), ["cpu_percent"], "it has no duration any more");
}

// C9.3: while a server is not judged.
#[test]
fn what_has_not_lasted_is_forgotten_while_a_server_is_not_judged() {
    let mut server = Server::new("cpu_percent=90/10m,disk_percent=90");
    server.metric("cpu_percent", 95.0);
    server.metric("disk_percent", 95.0);
    server.duplicate_at = Some(0);
    assert_eq!(server.said(0), ["disk_percent"]);
    assert_eq!(server.problems.entries.len(), 3);
    let unjudged = Judgement::unjudged(&server.problems).expect("a write");
    assert_eq!(unjudged.announcements().count(), 0);
    let after = unjudged.ahead.clone().expect("a write").written();
    assert_eq!(after.entries.len(), 1);
    assert_eq!(Judgement::unjudged(&after), None);

    // A reading that is not fresh says nothing about what a reading says, but a duplicate needs none.
    let judgement = server.judge(11, 0).expect("a judgement");
    let after = judgement.ahead.clone().expect("a write");
    let keys: Vec<_> = after.entries.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["disk_percent", "duplicate"]);
    assert_eq!(server.judge(10, 0).map(|judgement| judgement.announcements().count()), None);
}

// C9.3: services.
#[test]
fn a_service_is_over_when_it_is_missing_from_a_whole_list() {
    let mut server = Server::new("none");
    server.services(&[("nginx", "failed")]);
    assert_eq!(server.said(0), [""; 0], "nothing is watched");
    let mut server = Server::new("disk_percent=90,service:cups=off");
    server.services(&[
        ("cups", "failed"),
        ("nginx", "failed"),
        ("sshd", "stopped"),
        ("x", "unknown"),
    ]);
    let words = server.sweep(0);
    let said: Vec<_> = words
        .iter()
        .map(|announcement| (announcement.problem.key.to_string(), announcement.problem.value))
        .collect();
    let status = |status: &str| ServiceStatus::parse(status).map(Value::Status);
    assert_eq!(
        said,
        [
            ("service:nginx".to_owned(), status("failed")),
            ("service:sshd".to_owned(), status("stopped")),
        ]
    );
    let note = |server: &Server| server.entry("service:nginx").and_then(|entry| entry.note);
    for (services, is_cut, expected) in [
        (Some(&[("nginx", "unknown")][..]), false, Some(Note::NoData(minute(1)))),
        (Some(&[]), false, Some(Note::Resolving(minute(1)))),
        (Some(&[]), true, Some(Note::NoData(minute(1)))),
        (Some(&[("nginx", "running")]), true, Some(Note::Resolving(minute(1)))),
        (None, false, Some(Note::NoData(minute(1)))),
        (Some(&[("nginx", "stopped")]), false, None),
    ] {
        server.services = None;
        services.into_iter().for_each(|services| server.services(services));
        server.services.iter_mut().for_each(|services| services.is_cut = is_cut);
        let judgement = server.judge(1, 1);
        let entries = judgement.as_ref().map(|judgement| judgement.after(|_| true));
        let after = Server {
            problems: entries.unwrap_or_else(|| server.problems.clone()),
            ..Server::new("none")
        };
        assert_eq!(note(&after), expected, "{services:?} {is_cut}");
    }
}

// C9.3: file systems.
#[test]
fn a_file_system_that_is_missing_from_the_three_fullest_is_no_fuller_than_the_least_of_them() {
    let mut server = Server::new("disk_percent=90,disk_percent:/backup=97");
    server.disks(&[("/data", 93.1), ("/backup", 96.0), ("/", 20.0)]);
    let words = server.sweep(0);
    assert_eq!(words.iter().map(in_short).collect::<Vec<_>>(), ["disk_percent:/data"]);
    assert_eq!(words[0].problem.value, Some(Value::Number(Number::Float(93.1))));
    assert_eq!(words[0].problem.limit, Some(90.0));
    for (disks, expected) in [
        (&[("/a", 85.4), ("/b", 99.0), ("/", 99.0)][..], Some(Note::Resolving(minute(1)))),
        (&[("/a", 85.5), ("/b", 99.0), ("/", 99.0)], Some(Note::NoData(minute(1)))),
        (&[("/a", 20.0), ("/", 20.0)], Some(Note::NoData(minute(1)))),
        (&[], Some(Note::NoData(minute(1)))),
        (&[("/data", 85.4)], Some(Note::Resolving(minute(1)))),
        (&[("/data", 85.5)], None),
    ] {
        let mut server =
            Server { problems: server.problems.clone(), ..Server::new("disk_percent=90") };
        server.disks(disks);
        server.said(1);
        let note = server.entry("disk_percent:/data").and_then(|entry| entry.note);
        assert_eq!(note, expected, "{disks:?}");
    }
}

// C9.1
#[test]
fn disk_percent_is_judged_unless_its_file_system_is_listed() {
    for (disks, expected) in [
        (None, &["disk_percent"][..]),
        (Some(&[][..]), &["disk_percent"]),
        (Some(&[("/", 20.0)]), &[]),
        (Some(&[("/", 95.0)]), &["disk_percent:/"]),
        (Some(&[("/data", 95.1)]), &["disk_percent:/data"]),
        (Some(&[("/data", 95.2)]), &["disk_percent", "disk_percent:/data"]),
    ] {
        let mut server = Server::new("disk_percent=90");
        server.metric("disk_percent", 95.0);
        disks.into_iter().for_each(|disks| server.disks(disks));
        assert_eq!(server.said(0), expected, "{disks:?}");
    }
}

// C9.1
#[test]
fn the_entry_of_disk_percent_is_handed_over_without_a_word() {
    for (disks, target) in [
        (&[("/", 20.0), ("/data", 95.0)][..], "disk_percent:/data"),
        (&[("/data", 95.1), ("/", 94.95)], "disk_percent:/"),
        (&[("/", 97.0), ("/data", 96.0)], "disk_percent:/"),
    ] {
        let mut server = Server::new("disk_percent=90");
        server.metric("disk_percent", 95.0);
        assert_eq!(server.said(0), ["disk_percent"]);
        let entry = server.entry("disk_percent").cloned();
        server.disks(disks);
        let said = server.said(1);
        assert!(!said.contains(&target.to_owned()), "{disks:?}: {said:?}");
        assert_eq!(server.entry("disk_percent"), None, "{disks:?}");
        assert_eq!(server.entry(target).cloned(), entry, "{disks:?}");
    }
    // A target about which something is out keeps its own entry.
    let mut server = Server::new("disk_percent=90/10m");
    server.disks(&[("/", 95.0)]);
    server.said(0);
    server.said(10);
    server.disks = None;
    server.metric("disk_percent", 95.0);
    server.said(11);
    assert_eq!(server.problems.entries.len(), 2);
    server.disks(&[("/", 95.0)]);
    assert_eq!(server.said(12), [""; 0]);
    assert_eq!(server.problems.entries.len(), 1);
    assert_eq!(
        server.entry("disk_percent:/").map(|entry| (entry.since, entry.stage)),
        Some((minute(0), Stage::Firing))
    );
}

// C9.5
#[test]
fn two_senders_are_announced_once_their_return_has_been_renewed() {
    let mut server = Server::new("disk_percent=90");
    server.duplicate_at = Some(0);
    // A single return, after a reboot.
    assert_eq!((0..61).flat_map(|at| server.said(at)).count(), 0);
    assert_eq!(server.said(61), [""; 0]);
    assert_eq!(server.problems.entries, []);

    let mut server = Server::new("disk_percent=90");
    for (at, duplicate_at) in [(0, 0), (5, 5), (9, 9)] {
        server.duplicate_at = Some(duplicate_at);
        assert_eq!(server.said(at), [""; 0], "{at}");
    }
    server.duplicate_at = Some(10);
    let words = server.sweep(11);
    assert_eq!(words.iter().map(in_short).collect::<Vec<_>>(), ["duplicate"]);
    assert_eq!((words[0].problem.since, &words[0].problem.value), (minute(0), &None));
    for at in 12..86 {
        assert_eq!(server.said(at), [""; 0], "{at}");
    }
    assert_eq!(server.said(86), ["-duplicate"]);
    server.own("duplicate=off");
    server.duplicate_at = Some(90);
    assert_eq!(server.said(90), [""; 0]);
    assert_eq!(server.problems.entries, []);
}

// C9.2
#[test]
fn an_item_holds_twelve_problems_and_the_rest_waits() {
    let names: Vec<_> = (10..24).map(|number| format!("s{number}")).collect();
    let services: Vec<_> = names.iter().map(|name| (name.as_str(), "failed")).collect();
    let mut server = Server::new("disk_percent=90");
    server.services(&services);
    let judgement = server.judge(0, 0).expect("a judgement");
    assert_eq!((judgement.announcements().count(), judgement.waiting), (12, 2));
    assert_eq!(server.said(0).len(), 12);
    assert_eq!(server.said(1), [""; 0]);
    server.services(&services[2..]);
    for at in 2..17 {
        assert_eq!(server.said(at), [""; 0], "{at}");
    }
    assert_eq!(server.said(17), ["-service:s10", "-service:s11"]);
    assert_eq!(server.said(18), ["service:s22", "service:s23"]);
}

/// How many messages this causes: the value of a metric in each minute, with a sweep and a reading in each.
fn messages(limits: &str, metric: &'static str, minutes: i64, value: impl Fn(i64) -> f64) -> usize {
    let mut server = Server::new(limits);
    let said = (0..minutes).map(|at| {
        server.metric(metric, value(at));
        usize::from(!server.sweep(at).is_empty())
    });
    said.sum()
}

// C9.4: what public reports saw.
#[test]
fn a_value_that_wavers_is_said_once() {
    let turns = |high, low| move |at: i64| if at % 2 == 0 { high } else { low };
    assert_eq!(messages("cpu_percent=90", "cpu_percent", 30, turns(95.0, 20.0)), 1);
    assert_eq!(messages("cpu_percent=90/10m", "cpu_percent", 30, turns(95.0, 20.0)), 0);
    assert_eq!(messages("load_15m=4", "load_15m", 30, turns(4.1, 3.7)), 1);
    let fives = |at: i64| if at / 5 % 2 == 0 { 91.0 } else { 84.0 };
    assert_eq!(messages("disk_percent=90", "disk_percent", 60, fives), 1);
    for period in 2..=30 {
        let waver = |at: i64| {
            if 2 * (at % period) < period { 95.0 } else { 20.0 }
        };
        let said = messages("cpu_percent=90", "cpu_percent", 24 * 60, waver);
        assert_eq!(said, 1, "a period of {period} minutes");
    }
    let hours = |at: i64| if at / 60 % 2 == 0 { 95.0 } else { 20.0 };
    assert_eq!(messages("cpu_percent=90", "cpu_percent", 240, hours), 4);
}

// C9.3: a disk that vanished is not normal.
#[test]
fn a_full_disk_that_vanishes_is_not_announced_as_solved() {
    let mut server = Server::new("disk_percent=90");
    server.disks(&[("/", 20.0), ("/data", 95.0)]);
    assert_eq!(server.said(0), ["disk_percent:/data"]);
    server.disks(&[("/", 20.0)]);
    for at in 1..1441 {
        assert_eq!(server.said(at), [""; 0], "{at}");
    }
    let words = server.sweep(1441);
    assert_eq!((words.len(), words[0].end, &words[0].problem.value), (1, Some(End::Gone), &None));
}
