//! Any sequence of heartbeats, silences, changed limits, forgetting, sweeps, missing and overlapping sweeps, crashes between
//! any two steps, failing and lost publications, and clock jumps. When the dust has settled, the last word about every
//! server and metric must be true, or nothing was ever said and nothing is wrong; and nothing was said twice without a
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
    /// The value that a server's disk has from now on.
    Disk(usize, u32),
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

fn trouble() -> impl Strategy<Value = Trouble> {
    let behavior = prop::sample::select(vec![Behavior::Rejects, Behavior::LosesAnswers]);
    prop_oneof![
        3 => behavior.prop_map(Trouble::Topic),
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
    let attributes = prop::sample::select(vec!["returned_at", "high", "limits", "announced"]);
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
        3 => (server.clone(), 70..100_u32).prop_map(|(server, value)| Event::Disk(server, value)),
        1 => (server.clone(), prop::sample::select(vec![0, 80, 95, 101]))
            .prop_map(|(server, limit)| Event::Limit(server, limit)),
        1 => (server.clone(), 0..600_i64).prop_map(|(server, time)| Event::Silence(server, time)),
        1 => server.clone().prop_map(Event::Forget),
        1 => (server, attributes).prop_map(|(server, name)| Event::Scribble(server, name)),
        2 => trouble().prop_map(Event::Sweep),
        1 => (-4000..4000_i64).prop_map(Event::ClockJump),
    ]
}

/// The last word about each server and each server's disk, by list.
#[derive(Default)]
struct Said {
    last: HashMap<(String, bool), &'static str>,
    /// What was said twice in a row.
    repeated: Vec<String>,
}

impl Said {
    fn record(&mut self, message: &Value) {
        for (list, is_metric) in [
            ("offline", false),
            ("back", false),
            ("high", true),
            ("normal", true),
        ] {
            for entry in message[list].as_array().unwrap() {
                let about = (entry["server_id"].as_str().unwrap().to_owned(), is_metric);
                if self.last.insert(about.clone(), list) == Some(list) {
                    self.repeated.push(format!("{about:?} {list}"));
                }
            }
        }
    }

    fn about(&self, server: &str, is_metric: bool) -> Option<&'static str> {
        self.last.get(&(server.to_owned(), is_metric)).copied()
    }
}

struct World {
    watchdog: TestWatchdog,
    proxy: Proxy,
    now: i64,
    disks: [u32; 3],
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
            ("BACK_AFTER_SECONDS", &back_after),
            ("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url),
        ];
        let watchdog = TestWatchdog::start_with(&settings).await;
        Self {
            watchdog,
            proxy,
            now: 10_000,
            disks: [50; 3],
            said: Said::default(),
            has_fault: false,
        }
    }

    /// A heartbeat with a reading, as the endpoint writes it.
    async fn heartbeat(&self, server: usize) {
        let now = text(&stored(self.now));
        let reading = [
            ("timestamp".to_owned(), now.clone()),
            ("received_at".to_owned(), now.clone()),
            (
                "disk_percent".to_owned(),
                AttributeValue::N(self.disks[server].to_string()),
            ),
        ];
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
            .expression_attribute_values(":reading", AttributeValue::M(reading.into()))
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
            Event::Disk(server, value) => self.disks[server] = value,
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
                let delete = client
                    .delete_item()
                    .table_name(&self.watchdog.tables.servers);
                let delete = delete.key("server_id", text(SERVERS[server]));
                delete.send().await.unwrap();
                // Whoever forgets a server knows that nothing more will be said.
                for is_metric in [false, true] {
                    self.said
                        .last
                        .remove(&(SERVERS[server].to_owned(), is_metric));
                }
            }
            Event::Scribble(server, name) => {
                self.has_fault = true;
                self.set(server, name, Some("?")).await;
                if name == "high" {
                    // Whoever overwrites what has been said knows that its end will not be.
                    self.said.last.remove(&(SERVERS[server].to_owned(), true));
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
        let is_away = item
            .as_ref()
            .is_some_and(|item| item["status"] == text("offline"));
        prop_assert_eq!(is_away, item.is_some() && !alive[number], "{}", server);
        let word = world.said.about(server, false);
        let is_true = match word {
            None => !is_away,
            Some(word) => (word == "offline") == is_away,
        };
        prop_assert!(is_true, "{server}: {word:?} at {}: {item:?}", at(world.now));
        // Nobody knows about the disk of a server that is away.
        let (word, disk) = (world.said.about(server, true), world.disks[number]);
        let is_high = item
            .as_ref()
            .is_some_and(|item| item.get("high").is_some_and(AttributeValue::is_m));
        let is_true = match word {
            _ if is_away => true,
            None | Some("normal") => disk < 90 && !is_high,
            Some(_) => f64::from(disk) >= 0.95 * 90.0 && is_high,
        };
        prop_assert!(alive[number] || item.is_none() || is_away);
        prop_assert!(
            item.is_none() || is_true,
            "{server}: disk {word:?}, but {disk}: {item:?}"
        );
    }
    prop_assert!(
        world.has_fault || world.said.repeated.is_empty(),
        "said twice: {:?}",
        world.said.repeated
    );
    Ok(())
}

// C8.5 C8.7 C8.8 C9.3
#[test]
fn the_last_word_is_true_and_nothing_is_said_twice_without_a_fault() {
    let runtime = Runtime::new().unwrap();
    let seed = std::env::var("SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("a number"),
    );
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
    let outcome = TestRunner::new(config).run(&histories, |(events, alive)| {
        runtime.block_on(run(events, alive))
    });
    outcome.unwrap_or_else(|failure| panic!("SEED={seed}: {failure}"));
}
