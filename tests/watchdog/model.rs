//! Any sequence of heartbeats, silences, changed limits, forgetting, sweeps, missing and overlapping sweeps, crashes between
//! any two steps, failing and lost publications, and clock jumps. When the dust has settled, the last word about every
//! server and problem must be true, or nothing was ever said and nothing is wrong; and nothing was said twice without a
//! fault.

use crate::support::topic::Behavior;
use crate::support::{TestWatchdog, at, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use serde_json::Value;
use std::collections::HashMap;
use tokio::runtime::Runtime;

const SERVERS: [&str; 3] = ["a", "b", "c"];
const BACK_AFTER: i64 = 120;

#[derive(Debug, Clone)]
enum Event {
    /// Minutes pass, each with a heartbeat of these servers, and a sweep in each or in none. One of them may go wrong.
    Pass(usize, [bool; 3], bool, Option<(usize, Trouble)>),
    /// A server dies, is found, comes back for long enough, and perhaps dies again; the sweep that finds it and the one that
    /// finds its return may go wrong, and it may be silenced before the first and after the second. Random minutes would
    /// hardly ever meet these.
    Story {
        server: usize,
        is_silenced_before: bool,
        troubles: [Option<Trouble>; 2],
        is_silenced_after: bool,
    },
    /// Minutes pass, each with a heartbeat of these servers and a sweep, of which half can publish nothing, or are not told
    /// that they did.
    Disturbed(usize, [bool; 3], Behavior),
    /// The value that a server's disk has from now on.
    Disk(usize, u32),
    /// The load that a server has from now on, which has to last.
    Load(usize, u32),
    /// Whether a service of a server has failed from now on; `None`: the agent lists none.
    Service(usize, Option<bool>),
    /// A limit of a server's own; 0 is off, 101 is the default.
    Limit(usize, u32),
    /// Silences a server for this many seconds from now.
    Silence(usize, i64),
    Forget(usize),
    /// A person writes something into an attribute that nobody can read.
    Scribble(usize, &'static str),
    /// One more sweep, which goes wrong.
    Sweep(Trouble),
    /// A sweep whose clock is wrong by this many seconds.
    ClockJump(i64),
}

/// How a sweep goes wrong.
#[derive(Debug, Clone)]
enum Trouble {
    /// The topic behaves like this.
    Topic(Behavior),
    /// Only this many updates succeed, as if the watchdog had crashed then.
    Crash(usize),
    /// Another one runs at the same time.
    Overlap,
}

fn behavior() -> impl Strategy<Value = Behavior> {
    prop::sample::select(vec![Behavior::Rejects, Behavior::LosesAnswers])
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        3 => behavior().prop_map(Trouble::Topic),
        4 => (0..6_usize).prop_map(Trouble::Crash),
        1 => Just(Trouble::Overlap),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let alive = prop::sample::select(vec![
        [true; 3],
        [false, true, true],
        [true, false, false],
        [false; 3],
    ]);
    let server = 0..SERVERS.len();
    let attributes = prop::sample::select(vec!["returned_at", "problems", "limits", "announced"]);
    prop_oneof![
        12 => (1..9_usize, alive, prop::bool::weighted(0.9), prop::option::weighted(0.7, (0..8_usize, trouble())))
            .prop_map(|(minutes, alive, swept, trouble)| Event::Pass(minutes, alive, swept, trouble)),
        8 => (server.clone(), any::<[bool; 2]>(), [prop::option::weighted(0.8, trouble()), prop::option::weighted(0.8, trouble())])
            .prop_map(|(server, [is_silenced_before, is_silenced_after], troubles)| Event::Story {
                server,
                is_silenced_before,
                troubles,
                is_silenced_after,
            }),
        6 => (1..9_usize, Just([true; 3]), behavior()).prop_map(|(minutes, alive, behavior)| Event::Disturbed(minutes, alive, behavior)),
        3 => (server.clone(), 70..100_u32).prop_map(|(server, value)| Event::Disk(server, value)),
        2 => (server.clone(), 0..12_u32).prop_map(|(server, value)| Event::Load(server, value)),
        2 => (server.clone(), any::<Option<bool>>()).prop_map(|(server, failed)| Event::Service(server, failed)),
        1 => (server.clone(), prop::sample::select(vec![0, 80, 95, 101]))
            .prop_map(|(server, limit)| Event::Limit(server, limit)),
        1 => (server.clone(), 0..600_i64).prop_map(|(server, time)| Event::Silence(server, time)),
        1 => server.clone().prop_map(Event::Forget),
        1 => (server, attributes).prop_map(|(server, name)| Event::Scribble(server, name)),
        2 => trouble().prop_map(Event::Sweep),
        1 => (-4000..4000_i64).prop_map(Event::ClockJump),
    ]
}

/// The last word about each server and each of its problems, by list.
#[derive(Default)]
struct Said {
    /// By server, and the name of the problem, which is empty for the server itself.
    last: HashMap<(String, String), &'static str>,
    /// What was said twice in a row.
    repeated: Vec<String>,
}

impl Said {
    fn record(&mut self, message: &Value) {
        for list in ["offline", "back", "problems", "solved"] {
            for entry in message[list].as_array().unwrap() {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                let about = (text("server_id"), text("name"));
                if self.last.insert(about.clone(), list) == Some(list) {
                    self.repeated.push(format!("{about:?} {list}"));
                }
            }
        }
    }

    fn about(&self, server: &str, name: &str) -> Option<&'static str> {
        let about = (server.to_owned(), name.to_owned());
        self.last.get(&about).copied()
    }

    /// Whoever forgets a server, or overwrites what was said of its problems, knows that nothing more will be.
    fn forget(&mut self, server: &str, is_forgotten: impl Fn(&str) -> bool) {
        self.last.retain(|(known, name), _| known != server || !is_forgotten(name));
    }
}

struct World {
    watchdog: TestWatchdog,
    proxy: Proxy,
    now: i64,
    disks: [u32; 3],
    loads: [u32; 3],
    services: [Option<bool>; 3],
    said: Said,
    /// Whether something has happened after which a message may be repeated.
    has_fault: bool,
}

impl World {
    async fn start() -> Self {
        let proxy = Proxy::start(&URL);
        let back_after = BACK_AFTER.to_string();
        let settings = [
            ("HOLD_SECONDS", "0"),
            ("LIMITS", "disk_percent=90,load_5m=8/3m"),
            ("BACK_AFTER_SECONDS", &back_after),
            ("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url),
        ];
        let watchdog = TestWatchdog::start_with(&settings).await;
        Self {
            watchdog,
            proxy,
            now: 10_000,
            disks: [50; 3],
            loads: [0; 3],
            services: [Some(false); 3],
            said: Said::default(),
            has_fault: false,
        }
    }

    /// A heartbeat with a reading, as the endpoint writes it.
    async fn heartbeat(&self, server: usize) {
        let now = text(&stored(self.now));
        let number = |value: u32| AttributeValue::N(value.to_string());
        let services = self.services[server].map(|has_failed| {
            let failed = has_failed.then(|| ("nginx".to_owned(), text("failed")));
            ("services".to_owned(), AttributeValue::M(failed.into_iter().collect()))
        });
        let reading: HashMap<_, _> = [
            ("timestamp".to_owned(), now.clone()),
            ("received_at".to_owned(), now.clone()),
            ("disk_percent".to_owned(), number(self.disks[server])),
            ("load_5m".to_owned(), number(self.loads[server])),
        ]
        .into_iter()
        .chain(services)
        .collect();
        let update = self.watchdog.tables.client.update_item();
        update
            .table_name(&self.watchdog.tables.servers)
            .key("server_id", text(SERVERS[server]))
            .update_expression(
                "SET #status = :online, last_seen = :now, reading = :reading, \
                 registered_at = if_not_exists(registered_at, :now)",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":online", text("online"))
            .expression_attribute_values(":now", now)
            .expression_attribute_values(":reading", AttributeValue::M(reading))
            .send()
            .await
            .unwrap();
    }

    /// Sets or removes an attribute of a server that exists.
    async fn set(&self, server: usize, name: &str, value: Option<&str>) {
        if self.watchdog.item(SERVERS[server]).await.is_some() {
            self.watchdog.set(SERVERS[server], name, value).await;
        }
    }

    async fn silence(&self, server: usize, seconds: i64) {
        let until = stored(self.now + seconds);
        self.set(server, "silenced_until", Some(&until)).await;
    }

    async fn sweep(&mut self, now: i64) {
        let _ = self.watchdog.sweep_as_it_is(now).await;
        self.listen();
    }

    fn listen(&mut self) {
        for message in self.watchdog.topic.take() {
            self.said.record(&message.default);
        }
    }

    async fn pass(&mut self, minutes: usize, alive: [bool; 3], is_swept: bool) {
        self.pass_with(minutes, alive, is_swept, None).await;
    }

    async fn pass_with(
        &mut self,
        minutes: usize,
        alive: [bool; 3],
        is_swept: bool,
        trouble: Option<(usize, Trouble)>,
    ) {
        for minute in 0..minutes {
            self.now += 60;
            for server in (0..SERVERS.len()).filter(|server| alive[*server]) {
                self.heartbeat(server).await;
            }
            match &trouble {
                Some((at, trouble)) if is_swept && *at == minute => self.sweep_badly(trouble).await,
                _ if is_swept => self.sweep(self.now).await,
                _ => {}
            }
        }
    }

    async fn sweep_badly(&mut self, trouble: &Trouble) {
        self.has_fault = true;
        match trouble {
            Trouble::Topic(behavior) => {
                self.watchdog.topic.set_behavior(*behavior);
                self.sweep(self.now).await;
                self.watchdog.topic.set_behavior(Behavior::Accepts);
            }
            Trouble::Crash(after) => {
                let (after, mut updates) = (*after, 0);
                self.proxy.rule(move |call| {
                    updates += usize::from(call == Call::Server);
                    (call == Call::Server && updates > after)
                        .then_some(Fault::Reject(400, "AccessDeniedException"))
                });
                self.sweep(self.now).await;
                self.proxy.heal();
            }
            Trouble::Overlap => {
                let first = self.watchdog.sweep_as_it_is(self.now);
                let second = self.watchdog.sweep_as_it_is(self.now);
                let _ = tokio::join!(first, second);
                self.listen();
            }
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Pass(minutes, alive, is_swept, trouble) => {
                self.pass_with(minutes, alive, is_swept, trouble).await;
            }
            Event::Story {
                server,
                is_silenced_before,
                troubles: [found, returned],
                is_silenced_after,
            } => {
                let mut alive = [true; 3];
                self.pass(1, alive, true).await;
                let mut minutes = 4;
                if is_silenced_before {
                    self.silence(server, 250).await;
                    minutes = 5;
                }
                alive[server] = false;
                let trouble = found.map(|trouble| (minutes - 1, trouble));
                self.pass_with(minutes, alive, true, trouble).await;
                alive[server] = true;
                let trouble = returned.map(|trouble| (2, trouble));
                self.pass_with(3, alive, true, trouble).await;
                if is_silenced_after {
                    self.silence(server, 600).await;
                    alive[server] = false;
                    self.pass(6, alive, true).await;
                }
            }
            Event::Disturbed(minutes, alive, behavior) => {
                for minute in 0..minutes {
                    let trouble = (minute % 2 == 0).then_some((0, Trouble::Topic(behavior)));
                    self.pass_with(1, alive, true, trouble).await;
                }
            }
            Event::Disk(server, value) => self.disks[server] = value,
            Event::Load(server, value) => self.loads[server] = value,
            Event::Service(server, has_failed) => self.services[server] = has_failed,
            Event::Limit(server, limit) => {
                let limit = match limit {
                    0 => Some("disk_percent=off".to_owned()),
                    101 => None,
                    limit => Some(format!("disk_percent={limit}")),
                };
                self.set(server, "limits", limit.as_deref()).await;
            }
            Event::Silence(server, time) => self.silence(server, time).await,
            Event::Forget(server) => {
                let client = &self.watchdog.tables.client;
                let delete = client.delete_item().table_name(&self.watchdog.tables.servers);
                let delete = delete.key("server_id", text(SERVERS[server]));
                delete.send().await.unwrap();
                self.said.forget(SERVERS[server], |_| true);
            }
            Event::Scribble(server, name) => {
                self.has_fault = true;
                self.set(server, name, Some("?")).await;
                if name == "problems" {
                    self.said.forget(SERVERS[server], |name| !name.is_empty());
                }
            }
            Event::Sweep(trouble) => self.sweep_badly(&trouble).await,
            Event::ClockJump(seconds) => {
                self.has_fault = true;
                self.sweep(self.now + seconds).await;
            }
        }
    }

    /// Lets things settle: silences end, these servers send heartbeats, and sweeps come every minute.
    async fn settle(&mut self, alive: [bool; 3]) {
        for server in 0..SERVERS.len() {
            self.set(server, "limits", None).await;
        }
        self.pass(30, alive, true).await;
    }
}

async fn run(events: Vec<Event>, alive: [bool; 3]) -> Result<(), TestCaseError> {
    let mut world = World::start().await;
    world.pass(3, [true; 3], true).await;
    for event in events {
        world.happen(event).await;
    }
    world.settle(alive).await;
    for (number, server) in SERVERS.into_iter().enumerate() {
        let item = world.watchdog.item(server).await;
        let is_away = item.as_ref().is_some_and(|item| item["status"] == text("offline"));
        prop_assert_eq!(is_away, item.is_some() && !alive[number], "{}", server);
        let word = world.said.about(server, "");
        let is_true = match word {
            None => !is_away,
            Some(word) => (word == "offline") == is_away,
        };
        prop_assert!(is_true, "{server}: {word:?} at {}: {item:?}", at(world.now));
        // Nobody knows about the problems of a server that is away.
        if is_away || item.is_none() {
            continue;
        }
        let problems = item.as_ref().and_then(|item| item.get("problems")?.as_m().ok());
        let (disk, load, service) =
            (world.disks[number], world.loads[number], world.services[number]);
        for (key, name, is_there, may_be_there) in [
            ("disk_percent", "disk_percent", disk >= 90, f64::from(disk) >= 0.95 * 90.0),
            ("load_5m", "load_5m", load >= 8, f64::from(load) >= 0.95 * 8.0),
            // What is not listed any more is not solved.
            ("service:nginx", "nginx", service == Some(true), service != Some(false)),
        ] {
            let entry = problems.and_then(|problems| problems.get(key));
            let is_true = match world.said.about(server, name) {
                None | Some("solved") => !is_there && entry.is_none(),
                Some(_) => may_be_there && entry.is_some(),
            };
            let word = world.said.about(server, name);
            prop_assert!(
                is_true,
                "{server}: {key} {word:?}, but {disk} {load} {service:?}: {item:?}"
            );
        }
    }
    prop_assert!(
        world.has_fault || world.said.repeated.is_empty(),
        "said twice: {:?}",
        world.said.repeated
    );
    Ok(())
}

// C8.5 C8.7 C8.8 C9.3 C9.7
#[test]
fn the_last_word_is_true_and_nothing_is_said_twice_without_a_fault() {
    let runtime = Runtime::new().unwrap();
    let seed = std::env::var("SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    let cases = std::env::var("CASES").map_or(24, |cases| cases.parse().expect("a number"));
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let histories = (prop::collection::vec(event(), 1..12), any::<[bool; 3]>());
    let outcome = TestRunner::new(config)
        .run(&histories, |(events, alive)| runtime.block_on(run(events, alive)));
    outcome.unwrap_or_else(|failure| panic!("SEED={seed}: {failure}"));
}
