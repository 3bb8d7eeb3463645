//! Gathers a fleet while it is read: of more servers than can be kept, the worst, and what is looked for.

use super::{Fleet, Found, Server};
use chrono::{DateTime, Utc};
use std::time::Instant;
use tables::Quiet;
use tables::problem::Problems;
use tables::server::{Memory, Server as StoredServer};
use verdict::{Inspection, Outcome};

/// How many of the worst servers are kept if all are too many: as many as a page lists.
pub(crate) const MAX_ROWS: usize = 1_000;

/// What is looked for, of which more is kept than of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing in particular.
    Any,
    /// The servers in which a search finds all these words, in lower case.
    Words(Vec<String>),
    /// The server with this id.
    Server(String),
}

pub(super) struct Gathering {
    inspection: Inspection,
    events_since: Option<DateTime<Utc>>,
    /// What silences all servers.
    silenced_until: Option<DateTime<Utc>>,
    quiet: Option<Quiet>,
    version: u32,
    at: DateTime<Utc>,
    is_part: bool,
    wanted: Wanted,
    /// The most servers that are kept.
    max: usize,
    servers: Kept,
    /// Those that are wanted, once not all are kept, and how many there are.
    found: Kept,
    count: usize,
}

/// All servers, or the worst of them. Those that may be held are apart: how bad that is depends on the whole fleet.
#[derive(Default)]
struct Kept {
    decided: Vec<Server>,
    undecided: Vec<Server>,
    is_cut: bool,
    /// How many of those that are not kept have something that is wrong.
    unlisted_unwell: usize,
}

impl Wanted {
    pub fn search(search: &str) -> Self {
        let words: Vec<_> = search.split_whitespace().map(str::to_lowercase).collect();
        if words.is_empty() { Self::Any } else { Self::Words(words) }
    }

    pub(super) fn is(&self, server: &Server) -> bool {
        match self {
            Self::Any => true,
            Self::Words(words) => server.has_words(words),
            Self::Server(id) => server.id() == id,
        }
    }
}

impl Gathering {
    /// Of no server of the fleet, or of a part of it, as of a time, by what the watchdog has written into its own item.
    pub fn new(
        watchdog: Option<&Memory>,
        at: DateTime<Utc>,
        is_part: bool,
        wanted: Wanted,
        max: usize,
    ) -> Self {
        Self {
            inspection: Inspection::new(watchdog, at, is_part),
            events_since: watchdog.and_then(|memory| memory.events_since),
            silenced_until: watchdog.and_then(|memory| memory.silenced_until),
            quiet: watchdog.and_then(|memory| memory.quiet.clone()),
            version: watchdog.map_or(0, |memory| memory.version),
            at,
            is_part,
            wanted,
            max,
            servers: Kept::default(),
            found: Kept::default(),
            count: 0,
        }
    }

    pub fn add(&mut self, mut stored: StoredServer) {
        let (verdict, is_decided) = self.inspection.judge(&mut stored);
        // The verdict has them.
        stored.problems = Problems::default();
        let server = Server::new(stored, verdict, self.inspection.rules(), self.at);
        if self.servers.is_cut {
            self.find(&server, is_decided);
        } else if self.servers.decided.len() + self.servers.undecided.len() == self.max {
            let Kept { decided, undecided, .. } = std::mem::take(&mut self.servers);
            decided.iter().for_each(|server| self.find(server, true));
            undecided.iter().for_each(|server| self.find(server, false));
            self.find(&server, is_decided);
            self.servers = Kept { decided, undecided, ..Kept::default() };
        }
        self.servers.add(server, is_decided, self.max);
    }

    /// Keeps a server if it is looked for. Whoever looks for nothing in particular gets the worst of all.
    fn find(&mut self, server: &Server, is_decided: bool) {
        if self.wanted == Wanted::Any {
            return;
        }
        // One that is not decided may turn out to be what is looked for.
        let may_be = || {
            let mut held = server.clone();
            held.verdict = self.inspection.held(&held.stored);
            self.wanted.is(&held)
        };
        if self.wanted.is(server) || !is_decided && may_be() {
            self.count += 1;
            self.found.add(server.clone(), is_decided, self.max);
        }
    }

    /// The fleet, once every server has been added.
    pub fn finish(self) -> Fleet {
        let zone = self.inspection.rules().zone.clone();
        let outcome = self.inspection.conclude();
        let is_cut = self.servers.is_cut;
        let (servers, unlisted_unwell) = self.servers.settled(&outcome);
        let found = || {
            let is_all = !self.found.is_cut;
            let (mut servers, _) = self.found.settled(&outcome);
            servers.retain(|server| self.wanted.is(server));
            let count = if is_all { servers.len() } else { self.count };
            Found { wanted: self.wanted, servers, count }
        };
        Fleet {
            servers,
            found: is_cut.then(found),
            unlisted_unwell,
            is_part: self.is_part,
            at: self.at,
            summary: outcome.summary,
            zone,
            events_since: self.events_since,
            silenced_until: self.silenced_until,
            quiet: self.quiet,
            version: self.version,
            clock_error: None,
            began: Instant::now(),
        }
    }
}

impl Kept {
    fn add(&mut self, server: Server, is_decided: bool, max: usize) {
        if is_decided { &mut self.decided } else { &mut self.undecided }.push(server);
        self.is_cut |= self.decided.len() + self.undecided.len() > max;
        for list in [&mut self.decided, &mut self.undecided] {
            if self.is_cut && list.len() >= 2 * MAX_ROWS {
                self.unlisted_unwell += cut(list);
            }
        }
    }

    /// What is left once the whole fleet is known, what is worse first, and how many of the others have something that is wrong.
    fn settled(self, outcome: &Outcome) -> (Vec<Server>, usize) {
        let mut servers = self.decided;
        servers.extend(self.undecided);
        for server in &mut servers {
            outcome.settle(&server.stored, &mut server.verdict);
        }
        sort(&mut servers);
        let unlisted = if self.is_cut { cut(&mut servers) } else { 0 };
        (servers, self.unlisted_unwell + unlisted)
    }
}

fn sort(servers: &mut [Server]) {
    servers.sort_by(|one, other| verdict::order(one.judged(), other.judged()));
}

/// Keeps only the worst, and counts the others of which something is wrong.
fn cut(servers: &mut Vec<Server>) -> usize {
    sort(servers);
    let others = servers.drain(MAX_ROWS.min(servers.len())..);
    others.filter(|server| !server.wrong().is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use tables::server::{Reading, Rules, Status};
    use tables::time::{Stored, format};

    const SERVERS: i64 = 2_600;

    /// More than are listed, and less than there are.
    const MAX: usize = 1_500;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_768_732_200, 0).expect("a time")
    }

    /// A server that was last seen so many seconds ago.
    fn server(number: i64, seen: i64, status: Status) -> StoredServer {
        let seen = now() - TimeDelta::seconds(seen);
        StoredServer {
            server_id: format!("web-{number}"),
            hostname: Some(format!("rack{}.lan", number % 7)),
            status: Some(status),
            last_seen: Stored::parse(format(seen)),
            reading: Some(Reading { received_at: Some(seen), ..Reading::default() }),
            ..StoredServer::default()
        }
    }

    /// Of each kind some, so that a mass absence is on if as many are late as this.
    fn fleet(late: i64) -> impl Iterator<Item = StoredServer> {
        (0..SERVERS).map(move |number| match number * 1_237 % SERVERS {
            each if each < late => server(number, 200 + each % 390, Status::Online),
            each if each % 40 == 0 => server(number, 700 + each, Status::Online),
            each if each % 20 == 0 => server(number, 1_000 + each, Status::Offline),
            each if each % 9 == 0 => {
                StoredServer { reading: None, ..server(number, 5, Status::Online) }
            }
            _ => server(number, 5, Status::Online),
        })
    }

    fn gather(late: i64, wanted: &Wanted, max: usize) -> Fleet {
        let memory = Memory {
            swept_at: Some(now() - TimeDelta::seconds(60)),
            rules: Some(Rules::default()),
            ..Memory::default()
        };
        let mut gathering = Gathering::new(Some(&memory), now(), false, wanted.clone(), max);
        fleet(late).for_each(|server| gathering.add(server));
        gathering.finish()
    }

    fn ids<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Vec<String> {
        let servers = servers.into_iter();
        servers.map(|server| format!("{} {}", server.id(), server.standing().as_str())).collect()
    }

    // C13.8 C13.10
    #[test]
    fn of_a_fleet_that_is_too_large_the_worst_are_kept_and_what_is_wanted() {
        for (late, held) in [(100, false), (2_000, true)] {
            let whole = gather(late, &Wanted::Any, usize::MAX);
            let unwell = |fleet: &Fleet| {
                let unwell = fleet.servers.iter().filter(|server| !server.wrong().is_empty());
                unwell.count() + fleet.unlisted_unwell()
            };
            assert_eq!(ids(&whole.servers).iter().any(|it| it.ends_with(" late")), held);
            assert_eq!((whole.servers.len(), whole.is_cut()), (SERVERS as usize, false));
            let searches = ["", "rack3", "web-25", "late", "nothing"];
            let sought = searches.map(|search| (search, Wanted::search(search)));
            for (search, wanted) in
                sought.into_iter().chain([("", Wanted::Server("web-77".into()))])
            {
                let cut = gather(late, &wanted, MAX);
                assert!(cut.is_cut() && cut.has(&wanted) && cut.has(&Wanted::Any));
                assert!(!cut.has(&Wanted::search("another")));
                assert_eq!(cut.summary, whole.summary, "{wanted:?}");
                assert!(ids(&cut.servers) == ids(&whole.servers[..MAX_ROWS]), "{wanted:?}");
                assert_eq!(unwell(&cut), unwell(&whole), "{wanted:?}");
                let is_sought = wanted == Wanted::Server("web-77".to_owned());
                assert!(!is_sought || cut.server("web-77").is_some());
                let ((found, count), (expected, all)) = (cut.find(search), whole.find(search));
                assert_eq!(count, all, "{wanted:?}");
                let shown = ids(expected.into_iter().take(found.len()));
                assert!(ids(found.iter().copied()) == shown, "{wanted:?}");
                assert_eq!(found.len() < count, search.is_empty() || count > MAX, "{wanted:?}");
            }
        }
    }
}
