//! How the fleet is, in one sentence: the same for whoever shows it (C8.14).

use crate::lateness::{Census, Circumstances, Lateness, MISSING_FOR_A_READER, usable};
use crate::silence::Silence;
use crate::standing::{Standing, Verdict};
use announcement::words::{self, natural};
use chrono::{DateTime, TimeDelta, Utc};
use std::cmp::{Ordering, Reverse};
use std::fmt;
use tables::Zone;
use tables::server::{Delivery, Memory, Rules, Server, Undelivered};

/// How long the last complete sweep may be ago.
const SWEPT: TimeDelta = TimeDelta::seconds(180);

/// Judges servers while they are read, as of a time, by what the watchdog has written into its own item.
pub struct Inspection {
    rules: Rules,
    now: DateTime<Utc>,
    census: Census,
    silence: Silence,
    is_part: bool,
    summary: Summary,
    /// How many are held in a mass absence, and else lost.
    undecided: usize,
}

/// What is known of the fleet once every server has been judged.
pub struct Outcome {
    rules: Rules,
    now: DateTime<Utc>,
    circumstances: Circumstances,
    pub summary: Summary,
}

/// How many servers are how, and what makes that doubtful.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    now: DateTime<Utc>,
    /// That of its times.
    zone: Zone,
    /// By standing.
    counts: [usize; Standing::ALL.len()],
    pub doubts: Vec<Doubt>,
}

/// What makes doubtful whatever else is said of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The last complete sweep was then, if that is known.
    NoSweep(Option<DateTime<Utc>>),
    /// The watchdog has not written its rules.
    NoRules,
    /// Messages do not arrive there: a webhook, as words.
    Undelivered(String, Undelivered),
}

impl Inspection {
    /// Of no server of the fleet. Of a part of it, whether there is a mass absence is as the last sweep found. The rules are the watchdog's, if it has ever written them, else the default.
    #[must_use]
    pub fn new(memory: Option<&Memory>, now: DateTime<Utc>, is_part: bool) -> Self {
        let rules = memory.and_then(|memory| memory.rules.clone()).unwrap_or_default();
        let nothing = Memory::default();
        let known = memory.unwrap_or(&nothing);
        let census = Census::new(rules.clone(), known, MISSING_FOR_A_READER, now);
        let silence = Silence::new(known, now, rules.zone.clone());
        let doubts = Doubt::of(memory, now);
        let summary = Summary { doubts, ..Summary::new(now, rules.zone.clone()) };
        Self { rules, now, census, silence, is_part, summary, undecided: 0 }
    }

    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Judges a server, and notes until when it is silenced. Returns whether that is decided: whether one is held may depend on
    /// the whole fleet, and until that is known, it counts as lost.
    pub fn judge(&mut self, server: &mut Server) -> (Verdict, bool) {
        self.silence.note(server);
        let lateness = match self.is_part {
            true => Some(self.census.judge(server)),
            false => self.census.add(server),
        };
        let verdict =
            Verdict::of(server, &self.rules, lateness.unwrap_or(Lateness::Lost), self.now);
        let is_decided = lateness.is_some() || verdict.standing != Standing::Offline;
        if is_decided {
            self.summary.add(verdict.standing);
        } else {
            self.undecided += 1;
        }
        (verdict, is_decided)
    }

    /// The verdict of a server that is not decided, in a mass absence.
    #[must_use]
    pub fn held(&self, server: &Server) -> Verdict {
        Verdict::of(server, &self.rules, Lateness::Held, self.now)
    }

    /// Decides, once every server has been judged.
    #[must_use]
    pub fn conclude(self) -> Outcome {
        let Self { rules, now, census, mut summary, undecided, .. } = self;
        let circumstances = census.conclude();
        let is_held = circumstances.is_mass_absence;
        summary.counts[if is_held { Standing::Late } else { Standing::Offline } as usize] +=
            undecided;
        Outcome { rules, now, circumstances, summary }
    }
}

impl Outcome {
    /// Corrects the verdict of a server that is held.
    pub fn settle(&self, server: &Server, verdict: &mut Verdict) {
        if self.circumstances.judge(server) == Lateness::Held {
            *verdict = Verdict::of(server, &self.rules, Lateness::Held, self.now);
        }
    }
}

/// What is worse comes first; of those that are not heard, the latest; else in natural order.
#[must_use]
pub fn order(one: (&Server, &Verdict), other: (&Server, &Verdict)) -> Ordering {
    let seen = |(server, verdict): (&Server, &Verdict)| {
        let is_absent =
            matches!(verdict.standing, Standing::Offline | Standing::Late | Standing::Gone);
        server.last_seen.as_ref().filter(|_| is_absent).map(|seen| Reverse(seen.time))
    };
    (one.1.standing.cmp(&other.1.standing))
        .then_with(|| seen(one).cmp(&seen(other)))
        .then_with(|| natural(&one.0.server_id, &other.0.server_id))
}

impl Summary {
    /// Of no server, as of a time, without a doubt.
    #[must_use]
    pub const fn new(now: DateTime<Utc>, zone: Zone) -> Self {
        Self { now, zone, counts: [0; Standing::ALL.len()], doubts: Vec::new() }
    }

    /// Adds a server.
    pub const fn add(&mut self, standing: Standing) {
        self.counts[standing as usize] += 1;
    }

    /// Doubts each webhook to which messages were not delivered: whoever hears nothing there may think that all is well.
    pub fn doubt_undelivered(&mut self, deliveries: &[Delivery]) {
        let name = |webhook: &Delivery| {
            let name = webhook.name();
            match deliveries.iter().filter(|other| other.name() == name).count() {
                1 => name,
                _ => format!("{name} (webhook {})", webhook.position),
            }
        };
        let doubts = deliveries.iter().filter_map(|webhook| {
            Some(Doubt::Undelivered(name(webhook), webhook.undelivered.clone()?))
        });
        self.doubts.extend(doubts);
    }

    /// How many servers are so.
    #[must_use]
    pub const fn count(&self, standing: Standing) -> usize {
        self.counts[standing as usize]
    }

    /// Without those that are gone.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.counts.iter().sum::<usize>() - self.count(Standing::Gone)
    }

    /// Whether all servers are well beyond doubt.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.doubts.is_empty() && self.count(Standing::Well) == self.servers()
    }
}

/// The sentence: what makes the whole doubtful, and how the servers are.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for doubt in &self.doubts {
            write!(f, "{}. ", doubt.say(self.now, &self.zone))?;
        }
        let (servers, well) = (self.servers(), self.count(Standing::Well));
        match servers {
            0 if self.count(Standing::Gone) > 0 => return f.write_str("All are gone"),
            0 => return f.write_str("No server has sent a heartbeat yet"),
            1 if self.is_well() => return f.write_str("The only server is well"),
            _ if self.is_well() => return write!(f, "All {servers} servers are well"),
            _ => write!(f, "{well} of {servers} are well")?,
        }
        let unwell = Standing::ALL.into_iter().take_while(|standing| *standing != Standing::Well);
        let counted = unwell.map(|standing| (standing, self.count(standing)));
        for (place, (standing, count)) in counted.filter(|(_, count)| *count > 0).enumerate() {
            let separator = if place == 0 { ":" } else { "," };
            write!(f, "{separator} {count} {}", standing.of_some())?;
        }
        Ok(())
    }
}

impl Doubt {
    fn of(memory: Option<&Memory>, now: DateTime<Utc>) -> Vec<Self> {
        let swept_at = memory.and_then(|memory| usable(memory.swept_at, now));
        let is_swept = swept_at.is_some_and(|at| now - at <= SWEPT);
        let has_rules = memory.is_some_and(|memory| memory.rules.is_some());
        let no_sweep = (!is_swept).then_some(Self::NoSweep(swept_at));
        no_sweep.into_iter().chain((!has_rules).then_some(Self::NoRules)).collect()
    }

    /// In words: `No sweep since 10:31 UTC: nobody watches`.
    #[must_use]
    pub fn say(&self, now: DateTime<Utc>, zone: &Zone) -> String {
        match self {
            Self::NoSweep(Some(at)) => {
                format!("No sweep since {}: nobody watches", words::at(*at, Some(now), zone))
            }
            Self::NoSweep(None) => "No sweep is known: nobody watches".to_owned(),
            Self::NoRules => "The watchdog's rules are unknown: the defaults apply".to_owned(),
            Self::Undelivered(webhook, Undelivered { since, reason }) => {
                let reason: Vec<_> = reason.split_whitespace().collect();
                let reason = words::escape(&reason.join(" "));
                let since = words::at(*since, Some(now), zone);
                format!("Nothing has reached {} since {since}: {reason}", words::escape(webhook))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::server::{Gap, Reading, Status};
    use tables::time::{Stored, format};
    use tables::{Group, Limits, Metrics, Number, Service, ServiceStatus, Services, metric};

    /// All servers at one time, what is worse first.
    #[derive(Debug)]
    struct Fleet {
        servers: Vec<(Server, Verdict)>,
        summary: Summary,
    }

    impl Fleet {
        fn judge(servers: Vec<Server>, memory: Option<&Memory>, now: DateTime<Utc>) -> Self {
            Self::by(Inspection::new(memory, now, false), servers)
        }

        fn judge_part(servers: Vec<Server>, memory: Option<&Memory>, now: DateTime<Utc>) -> Self {
            Self::by(Inspection::new(memory, now, true), servers)
        }

        fn by(mut inspection: Inspection, servers: Vec<Server>) -> Self {
            let judged = servers.into_iter().map(|mut server| {
                let (verdict, _) = inspection.judge(&mut server);
                (server, verdict)
            });
            let mut servers: Vec<_> = judged.collect();
            let outcome = inspection.conclude();
            servers.iter_mut().for_each(|(server, verdict)| outcome.settle(server, verdict));
            servers.sort_by(|one, other| order((&one.0, &one.1), (&other.0, &other.1)));
            Self { servers, summary: outcome.summary }
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-01-18T10:40:00Z".parse().expect("a time")
    }

    fn ago(seconds: i64) -> Option<Stored> {
        Stored::parse(format(now() - TimeDelta::seconds(seconds)))
    }

    /// A server that is well, last seen so many seconds ago.
    fn server(id: &str, seen: i64) -> Server {
        Server {
            server_id: id.to_owned(),
            status: Some(Status::Online),
            last_seen: ago(seen),
            reading: Some(Reading {
                received_at: Some(now() - TimeDelta::seconds(seen)),
                ..Reading::default()
            }),
            ..Server::default()
        }
    }

    /// What a watchdog wrote that swept so many seconds ago.
    fn swept(seconds: i64) -> Memory {
        Memory {
            swept_at: Some(now() - TimeDelta::seconds(seconds)),
            rules: Some(Rules::default()),
            ..Memory::default()
        }
    }

    fn with_disk(server: Server, percent: f64) -> Server {
        let reading = server.reading.map(|reading| Reading {
            metrics: Metrics::from_iter([(metric!("disk_percent"), Number::Float(percent))]),
            ..reading
        });
        Server { reading, ..server }
    }

    fn with_service(server: Server, status: ServiceStatus) -> Server {
        let cron = Service { status, name: "cron".to_owned(), reason: None };
        let services = Services { not_running: vec![cron], is_cut: false };
        let reading = server.reading.map(|reading| Reading { services: Some(services), ..reading });
        Server { reading, ..server }
    }

    /// With an entry of this kind for a full disk, which began so many seconds ago.
    fn with_entry(server: Server, stage: Stage, since: i64) -> Server {
        let key = Key::parse("disk_percent").expect("a key");
        let since = now() - TimeDelta::seconds(since);
        let entry = tables::problem::Problem { since, limit: Some(90.0), stage, note: None };
        let problems = Problems::default().with(vec![(key, entry)]);
        Server { problems, ..server }
    }

    use tables::problem::{Key, Problems, Stage};

    /// The standing of one server, with its time in seconds before now, as of a sweep so many seconds ago.
    fn standing(server: Server, swept_ago: i64) -> (Standing, Option<i64>) {
        let fleet = Fleet::judge(vec![server], Some(&swept(swept_ago)), now());
        let verdict = &fleet.servers[0].1;
        (verdict.standing, verdict.at.map(|at| (now() - at).num_seconds()))
    }

    // C8.13: each row of the table, from the last to the first, each on top of the one below it: what applies first counts.
    #[test]
    fn a_server_has_the_first_standing_that_applies() {
        let expected = |server: &Server, standing_and_time, row: &str| {
            assert_eq!(standing(server.clone(), 60), standing_and_time, "{row}");
        };
        let well = server("web-1", 10);
        expected(&well, (Standing::Well, None), "well");
        let unknown = with_service(well, ServiceStatus::Unknown);
        expected(&unknown, (Standing::Unknown, None), "unknown");
        let returning =
            Server { offline_since: ago(900), returned_at: ago(130), ..unknown.clone() };
        expected(&returning, (Standing::Returning, Some(130)), "returning");
        // C9.10: it has lasted, and may not be said yet.
        let announced = ago(900).map(|since| since.text);
        let said_at = vec![now() - TimeDelta::seconds(500); 3];
        let waiting = Server { returned_at: ago(400), announced, said_at, ..returning.clone() };
        expected(&waiting, (Standing::Returning, Some(400)), "waiting");
        let free = Server { said_at: Vec::new(), ..waiting };
        expected(&free, (Standing::Unknown, None), "as the next sweep says");
        let problem = with_entry(returning, Stage::Firing, 500);
        expected(&problem, (Standing::Problem, None), "problem");
        let late = Server { last_seen: ago(181), ..problem };
        let rules = Rules { hold: TimeDelta::seconds(1000), ..Rules::default() };
        let memory = Memory {
            mass_absence_at: Some(now() - TimeDelta::seconds(60)),
            rules: Some(rules),
            ..swept(60)
        };
        let fleet = Fleet::judge(vec![late.clone()], Some(&memory), now());
        let verdict = &fleet.servers[0].1;
        assert_eq!(
            (verdict.standing, verdict.at),
            (Standing::Late, Some(now() - TimeDelta::seconds(181)))
        );
        expected(&late, (Standing::Offline, Some(900)), "offline");
        let silenced = Server { silenced_until: Some(now() + TimeDelta::seconds(7)), ..late };
        expected(&silenced, (Standing::Silenced, Some(-7)), "silenced");
        let left = Server { left_at: silenced.last_seen.clone(), ..silenced };
        expected(&left, (Standing::Silenced, Some(-7)), "its group is not ephemeral");
        let gone = Server { is_ephemeral: true, ..left };
        expected(&gone, (Standing::Gone, Some(181)), "gone");
        let earlier = Server { left_at: ago(182), ..gone };
        expected(&earlier, (Standing::Silenced, Some(-7)), "it has been heard since");
    }

    // C8.7 C8.13: until the last of what silences it now.
    #[test]
    fn a_server_is_silenced_until_the_end_of_what_silences_it() {
        let at = |seconds: i64| Some(now() + TimeDelta::seconds(seconds));
        let quiet = |text: &str| Some(text.parse().expect("quiet times"));
        for (own_until, own_quiet, all_until, all_quiet, expected) in [
            (None, None, None, None, None),
            // It is 11:40 there.
            (None, quiet("11:30-12:00"), None, None, Some(Some(1200))),
            (at(60), quiet("11:30-12:00"), None, None, Some(Some(1200))),
            (at(6000), quiet("11:30-12:00"), None, None, Some(Some(6000))),
            (at(-60), quiet("10:30-11:00"), at(-60), quiet("Sat 11:30-12:00"), None),
            (None, None, at(60), None, Some(Some(60))),
            (None, None, None, quiet("Sun 11:30-12:00;Sun 12:00-12:30"), Some(Some(3000))),
            (at(60), quiet("11:30-11:50"), at(70), quiet("11:30-11:45"), Some(Some(600))),
            (None, quiet("00:00-24:00"), None, None, Some(None)),
        ] {
            let rules =
                Rules { zone: "Europe/Berlin".parse().expect("a zone"), ..Rules::default() };
            let memory = Memory {
                rules: Some(rules),
                silenced_until: all_until,
                quiet: all_quiet.clone(),
                ..swept(60)
            };
            let server = Server {
                silenced_until: own_until,
                quiet: own_quiet.clone(),
                ..server("web-1", 10)
            };
            let fleet = Fleet::judge(vec![server], Some(&memory), now());
            let verdict = &fleet.servers[0].1;
            let is_silenced = verdict.standing == Standing::Silenced;
            let until = verdict.at.map(|at| (at - now()).num_seconds());
            assert_eq!(is_silenced.then_some(until), expected, "{own_quiet:?} {all_quiet:?}");
        }
    }

    // C8.13
    #[test]
    fn a_server_is_offline_if_a_sweep_made_now_would_mark_it() {
        for (seen, swept_ago, expected) in [
            (180, 60, (Standing::Well, None)),
            (181, 60, (Standing::Offline, Some(181))),
            // A reader counts a gap of its own only from 180 s without a sweep. The time since then does not count.
            (300, 180, (Standing::Offline, Some(300))),
            (300, 181, (Standing::Late, Some(300))),
            (362, 181, (Standing::Offline, Some(362))),
            (90_000, 86_400, (Standing::Offline, Some(90_000))),
            (86_500, 86_400, (Standing::Late, Some(86_500))),
            // A sweep that is more than 180 s ahead is unknown.
            (300, -180, (Standing::Offline, Some(300))),
            (300, -181, (Standing::Late, Some(300))),
        ] {
            assert_eq!(standing(server("web-1", seen), swept_ago), expected, "{seen} {swept_ago}");
        }
        let marked = Server { status: Some(Status::Offline), ..server("web-1", 10) };
        assert_eq!(standing(marked.clone(), 60), (Standing::Offline, Some(10)));
        let marked = Server { offline_since: ago(4000), ..marked };
        assert_eq!(standing(marked, 60), (Standing::Offline, Some(4000)));
        let never_late = Server { offline_after: Some(TimeDelta::zero()), ..server("web-1", 9000) };
        assert_eq!(standing(never_late, 60), (Standing::Well, None));
        // A known gap that is over.
        let gap =
            Gap { since: now() - TimeDelta::seconds(500), until: now() - TimeDelta::seconds(100) };
        let memory = Memory { gap: Some(gap), ..swept(60) };
        let fleet = Fleet::judge(vec![server("web-1", 550)], Some(&memory), now());
        assert_eq!(fleet.servers[0].1.standing, Standing::Late);
    }

    // C8.13: what has not lasted is no problem, and what nobody has announced yet is one.
    #[test]
    fn a_problem_is_an_entry_or_what_the_next_sweep_announces() {
        let well = || server("web-1", 10);
        let at = |percent| with_disk(well(), percent);
        let own = |server: Server, limits: &str| Server {
            limits: Limits::parse_own(limits).ok(),
            ..server
        };
        let old = |server: Server| Server { last_seen: ago(-1000), ..server };
        let problem = Standing::Problem;
        let said_at = vec![now() - TimeDelta::seconds(60); 3];
        for (name, server, expected) in [
            ("below the limit", at(89.9), Standing::Well),
            ("at the limit, without an entry", at(90.0), problem),
            ("a limit that has to last", own(at(95.0), "disk_percent=90/10m"), Standing::Well),
            (
                "not lasted",
                with_entry(own(at(95.0), "disk_percent=90/10m"), Stage::NotLasted, 609),
                Standing::Well,
            ),
            (
                "lasted",
                with_entry(own(at(95.0), "disk_percent=90/10m"), Stage::NotLasted, 610),
                problem,
            ),
            ("being published", with_entry(at(20.0), Stage::Publishing, 60), problem),
            ("firing, and below the limit", with_entry(at(20.0), Stage::Firing, 60), problem),
            (
                "firing, without a limit",
                with_entry(own(at(95.0), "disk_percent=off"), Stage::Firing, 60),
                problem,
            ),
            ("an old reading", old(at(95.0)), Standing::Unknown),
            ("an old reading, and firing", old(with_entry(at(95.0), Stage::Firing, 60)), problem),
            (
                "while it returns",
                Server { offline_since: ago(900), ..at(95.0) },
                Standing::Returning,
            ),
            ("at the limit, and its word waits", Server { said_at, ..at(95.0) }, problem),
            ("a failed service", with_service(well(), ServiceStatus::Failed), problem),
            (
                "an unwatched service",
                own(with_service(well(), ServiceStatus::Failed), "service=off"),
                Standing::Well,
            ),
            ("a second sender", Server { duplicate_at: ago(20), ..well() }, Standing::Well),
        ] {
            assert_eq!(standing(server, 60).0, expected, "{name}");
        }
        // Nobody sweeps.
        assert_eq!(standing(at(99.0), 86_400).0, problem);
        // The item has no room.
        let services = (0..14).map(|number| Service {
            status: ServiceStatus::Failed,
            name: format!("s{number}"),
            reason: None,
        });
        let services = Services { not_running: services.collect(), is_cut: false };
        let reading = well().reading.map(|reading| Reading { services: Some(services), ..reading });
        let full = Fleet::judge(vec![Server { reading, ..well() }], Some(&swept(60)), now());
        assert_eq!(full.servers[0].1.problems.len(), 14);
        let found = Fleet::judge(vec![at(95.5)], Some(&swept(60)), now());
        let [found] = &found.servers[0].1.problems[..] else { panic!("{found:?}") };
        assert_eq!((found.key.to_string().as_str(), found.limit), ("disk_percent", Some(90.0)));
        assert_eq!(found.since, now() - TimeDelta::seconds(10));
        assert_eq!(found.value, Some(crate::Value::Number(Number::Float(95.5))));
    }

    // C8.13
    #[test]
    fn what_is_not_known_is_named() {
        let well = || server("web-1", 10);
        for (server, expected) in [
            (Server { status: None, ..well() }, "no status"),
            (Server { is_malformed: true, ..well() }, "an attribute that cannot be read"),
            (Server { reading: None, ..well() }, "no fresh reading"),
            (Server { last_seen: None, ..well() }, "no fresh reading"),
            (with_service(well(), ServiceStatus::Unknown), "the state of service cron"),
        ] {
            let fleet = Fleet::judge(vec![server], Some(&swept(60)), now());
            let verdict = &fleet.servers[0].1;
            let unknown: Vec<_> = verdict.unknown.iter().map(ToString::to_string).collect();
            assert_eq!(
                (verdict.standing, &*unknown),
                (Standing::Unknown, &[expected.to_owned()][..])
            );
        }
    }

    // C8.15
    #[test]
    fn a_value_is_old_if_its_reading_or_its_server_is() {
        let is_old = |server, swept_ago| {
            Fleet::judge(vec![server], Some(&swept(swept_ago)), now()).servers[0].1.is_old
        };
        let read = |server: Server, received: i64| {
            let received_at = Some(now() - TimeDelta::seconds(received));
            let reading = Some(Reading { received_at, ..Reading::default() });
            Server { reading, ..server }
        };
        let expects = |server: Server, seconds| Server {
            offline_after: Some(TimeDelta::seconds(seconds)),
            ..server
        };
        for (name, server, expected) in [
            ("fresh", server("web-1", 10), false),
            ("600 s before the last heartbeat", read(server("web-1", 0), 600), false),
            ("more than that", read(expects(server("web-1", 0), 9000), 601), true),
            ("late", server("web-1", 181), true),
            ("marked", Server { status: Some(Status::Offline), ..server("web-1", 0) }, true),
            ("older than 600 s, not than its threshold", expects(server("web-1", 900), 900), false),
            ("older than both", read(expects(server("web-1", 900), 900), 901), true),
            ("never late", expects(server("web-1", 600), 0), false),
            ("never late, and older than 600 s", expects(server("web-1", 601), 0), true),
            ("no reading", Server { reading: None, ..server("web-1", 10) }, true),
        ] {
            assert_eq!(is_old(server, 60), expected, "{name}");
        }
        assert!(is_old(server("web-1", 300), 86_400), "late, because nobody sweeps");
    }

    fn sentence(servers: Vec<Server>, memory: Option<&Memory>) -> String {
        Fleet::judge(servers, memory, now()).summary.to_string()
    }

    // C8.14
    #[test]
    fn the_sentence_says_that_all_are_well_if_and_only_if_they_are() {
        let many = |count| (0..count).map(|number| server(&format!("web-{number}"), 10)).collect();
        for (count, expected) in [
            (0, "No server has sent a heartbeat yet"),
            (1, "The only server is well"),
            (2, "All 2 servers are well"),
            (11, "All 11 servers are well"),
        ] {
            assert_eq!(sentence(many(count), Some(&swept(180))), expected);
        }
        let rules_only = Memory { rules: Some(Rules::default()), ..Memory::default() };
        let sweep_only = Memory { rules: None, ..swept(0) };
        for (memory, doubt) in [
            (Some(swept(181)), "No sweep since 10:36 UTC: nobody watches. "),
            (Some(swept(86_400)), "No sweep since 2026-01-17 10:40 UTC: nobody watches. "),
            (Some(swept(-180)), ""),
            (Some(swept(-181)), "No sweep is known: nobody watches. "),
            (Some(rules_only), "No sweep is known: nobody watches. "),
            (Some(sweep_only), "The watchdog's rules are unknown: the defaults apply. "),
            (
                None,
                "No sweep is known: nobody watches. The watchdog's rules are unknown: the defaults apply. ",
            ),
        ] {
            for (count, well) in [
                (0, "No server has sent a heartbeat yet"),
                (1, "1 of 1 are well"),
                (3, "3 of 3 are well"),
            ] {
                let well = match (doubt, count) {
                    ("", 1) => "The only server is well",
                    ("", 3) => "All 3 servers are well",
                    _ => well,
                };
                assert_eq!(sentence(many(count), memory.as_ref()), format!("{doubt}{well}"));
            }
        }
    }

    /// A webhook at this position, to which nothing has been delivered for so many seconds, for this reason.
    fn webhook(position: usize, format: &str, failed: Option<(i64, &str)>) -> Delivery {
        Delivery {
            position,
            format: format.to_owned(),
            group: None,
            delivered_at: Some(now() - TimeDelta::seconds(90_000)),
            undelivered: failed.map(|(since, reason)| Undelivered {
                since: now() - TimeDelta::seconds(since),
                reason: reason.to_owned(),
            }),
        }
    }

    // C8.14
    #[test]
    fn the_sentence_says_where_nothing_arrives() {
        let quota = Some((600, "429, daily quota reached"));
        let of_db = |webhook| Delivery { group: Group::new("db"), ..webhook };
        for (webhooks, expected) in [
            (vec![], "All 2 servers are well"),
            (vec![webhook(1, "ntfy", None)], "All 2 servers are well"),
            (
                vec![webhook(1, "ntfy", quota)],
                "Nothing has reached ntfy since 10:30 UTC: 429, daily quota reached. 2 of 2 are well",
            ),
            (
                vec![webhook(1, "slack", None), webhook(2, "ntfy", Some((86_400, "no answer")))],
                "Nothing has reached ntfy since 2026-01-17 10:40 UTC: no answer. 2 of 2 are well",
            ),
            (
                vec![webhook(1, "ntfy", None), webhook(2, "ntfy", Some((60, "404")))],
                "Nothing has reached ntfy (webhook 2) since 10:39 UTC: 404. 2 of 2 are well",
            ),
            (
                vec![webhook(1, "slack", None), of_db(webhook(2, "slack", Some((60, "404"))))],
                "Nothing has reached slack@db since 10:39 UTC: 404. 2 of 2 are well",
            ),
            (
                vec![
                    of_db(webhook(3, "slack", Some((60, "404")))),
                    of_db(webhook(4, "slack", None)),
                ],
                "Nothing has reached slack@db (webhook 3) since 10:39 UTC: 404. 2 of 2 are well",
            ),
            // What a service answers is no line of anybody's, and hides nothing.
            (
                vec![webhook(1, "json", Some((60, "500, <html>\n\t<b>\u{202e}no\u{7}</b>")))],
                "Nothing has reached json since 10:39 UTC: 500, <html> <b>\\u{202e}no\\u{7}</b>. 2 of 2 are well",
            ),
        ] {
            let servers = vec![server("web-1", 10), server("web-2", 10)];
            let mut summary = Fleet::judge(servers, Some(&swept(0)), now()).summary;
            summary.doubt_undelivered(&webhooks);
            assert_eq!(summary.to_string(), expected);
            assert_eq!(summary.is_well(), summary.doubts.is_empty());
        }
    }

    /// Of each standing, so many servers.
    fn mixed<const KINDS: usize>(counts: [usize; KINDS]) -> Vec<Server> {
        let late =
            |id: &str| Server { offline_after: Some(TimeDelta::seconds(10)), ..server(id, 15) };
        let of = |standing, id: &str| match standing {
            Standing::Offline => Server { status: Some(Status::Offline), ..server(id, 500) },
            Standing::Late => late(id),
            Standing::Problem => with_disk(server(id, 10), 95.0),
            Standing::Returning => Server { offline_since: ago(500), ..server(id, 10) },
            Standing::Unknown => Server { reading: None, ..server(id, 10) },
            Standing::Silenced => {
                Server { silenced_until: Some(now() + TimeDelta::hours(1)), ..server(id, 10) }
            }
            Standing::Well => server(id, 10),
            Standing::Gone => Server { left_at: ago(500), is_ephemeral: true, ..server(id, 500) },
        };
        let each = Standing::ALL.into_iter().zip(counts);
        each.flat_map(|(standing, count)| {
            (0..count).map(move |number| of(standing, &format!("{}-{number}", standing.as_str())))
        })
        .collect()
    }

    // C8.14
    #[test]
    fn the_sentence_counts_each_standing_that_is_not_well() {
        // A gap that has just ended explains why a late server was not heard.
        let gap = Gap { since: now() - TimeDelta::seconds(14), until: now() };
        let memory = Memory { gap: Some(gap), ..swept(10) };
        for (counts, expected) in [
            ([2, 1, 1, 0, 0, 0, 7], "7 of 11 are well: 2 offline, 1 late, 1 with a problem"),
            ([0, 0, 0, 0, 0, 2, 9], "9 of 11 are well: 2 silenced"),
            ([1, 0, 0, 0, 0, 0, 0], "0 of 1 are well: 1 offline"),
            (
                [1, 1, 2, 1, 1, 1, 1],
                "1 of 8 are well: 1 offline, 1 late, 2 with a problem, 1 returning, 1 unknown, 1 silenced",
            ),
        ] {
            assert_eq!(sentence(mixed(counts), Some(&memory)), expected);
        }
        // C14.3: those that are gone count nowhere.
        for (counts, expected) in [
            ([1, 0, 0, 0, 0, 0, 2, 3], "2 of 3 are well: 1 offline"),
            ([0, 0, 0, 0, 0, 0, 2, 3], "All 2 servers are well"),
        ] {
            assert_eq!(sentence(mixed(counts), Some(&memory)), expected);
        }
        assert_eq!(
            sentence(mixed([1, 0, 0, 0, 0, 0, 1]), Some(&swept(900))),
            "No sweep since 10:25 UTC: nobody watches. 1 of 2 are well: 1 offline"
        );
    }

    // C8.13
    #[test]
    fn what_is_worse_comes_first_and_the_rest_in_natural_order() {
        let gap = Gap { since: now() - TimeDelta::seconds(14), until: now() };
        let memory = Memory { gap: Some(gap), ..swept(10) };
        let mut servers = mixed([1, 1, 1, 1, 1, 1, 1]);
        let earlier = Server { status: Some(Status::Offline), ..server("earlier", 501) };
        servers.extend([earlier, server("web-10", 1), server("web-2", 2), server("web-02", 3)]);
        servers.reverse();
        let fleet = Fleet::judge(servers, Some(&memory), now());
        let ids: Vec<_> = fleet.servers.iter().map(|(server, _)| &*server.server_id).collect();
        let expected = [
            "offline-0",
            "earlier",
            "late-0",
            "problem-0",
            "returning-0",
            "unknown-0",
            "silenced-0",
            "web-02",
            "web-2",
            "web-10",
            "well-0",
        ];
        assert_eq!(ids, expected);
    }

    // C14.2 C8.4: of a group, nobody knows how many others are overdue; the last sweep did.
    #[test]
    fn a_part_of_the_fleet_is_held_only_if_the_last_sweep_says_so() {
        let standings = |memory: &Memory| {
            let overdue = ["a", "b", "c"].map(|id| server(id, 200)).to_vec();
            let fleet = Fleet::judge_part(overdue, Some(memory), now());
            fleet.servers.iter().map(|(_, verdict)| verdict.standing).collect::<Vec<_>>()
        };
        assert_eq!(standings(&swept(60)), [Standing::Offline; 3]);
        let mass_absence_at = Some(now() - TimeDelta::seconds(60));
        assert_eq!(standings(&Memory { mass_absence_at, ..swept(60) }), [Standing::Late; 3]);
        let whole = ["a", "b", "c"].map(|id| server(id, 200)).to_vec();
        let fleet = Fleet::judge(whole, Some(&swept(60)), now());
        assert!(fleet.servers.iter().all(|(_, verdict)| verdict.standing == Standing::Late));
    }
}
