//! Any sequence of heartbeats, silences, sweeps, crashes and failures of the topic, against a model.

use crate::support::topic::Behavior;
use crate::support::{TestWatchdog, at, stored};
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use tokio::runtime::Runtime;

const SERVERS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Event {
    /// Time passes, seconds.
    Wait(i64),
    Heartbeat(usize),
    /// Silences a server for this many seconds from now.
    Silence(usize, i64),
    /// A sweep while the topic behaves like this.
    Sweep(Behavior),
    /// A sweep in which only this many updates succeed, as if the watchdog had crashed then.
    Crash(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let behavior = prop::sample::select(vec![
        Behavior::Accepts,
        Behavior::Accepts,
        Behavior::Rejects,
        Behavior::LosesAnswers,
    ]);
    prop_oneof![
        4 => (30..240_i64).prop_map(Event::Wait),
        4 => (0..SERVERS.len()).prop_map(Event::Heartbeat),
        1 => (0..SERVERS.len(), 0..600_i64).prop_map(|(server, time)| Event::Silence(server, time)),
        5 => behavior.prop_map(Event::Sweep),
        2 => (0..4_usize).prop_map(Event::Crash),
    ]
}

/// What was published about each server, in order: whether it is offline, and the time that identifies the absence.
#[derive(Default)]
struct Published(HashMap<String, Vec<(bool, String)>>);

impl Published {
    fn record(&mut self, message: &Value) {
        for (list, is_offline, time) in [
            ("offline", true, "last_seen"),
            ("back", false, "offline_since"),
        ] {
            for server in message[list].as_array().unwrap() {
                let server_id = server["server_id"].as_str().unwrap().to_owned();
                let time = server[time].as_str().unwrap().to_owned();
                self.0
                    .entry(server_id)
                    .or_default()
                    .push((is_offline, time));
            }
        }
    }

    fn of(&self, server_id: &str) -> &[(bool, String)] {
        self.0.get(server_id).map_or(&[], Vec::as_slice)
    }
}

/// Runs the events, and then lets things settle: all silences end, and these servers come back.
async fn run(events: Vec<Event>, returning: [bool; SERVERS.len()]) -> Result<(), TestCaseError> {
    let proxy = Proxy::start(&URL);
    let settings = [
        ("HOLD_SECONDS", "0"),
        ("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()),
    ];
    let watchdog = TestWatchdog::start_with(&settings).await;
    let (mut now, mut published) = (1000, Published::default());
    let mut seen: HashMap<_, _> = SERVERS.map(|server| (server, now)).into();
    let mut silenced: HashMap<&str, i64> = HashMap::new();
    // The absences that may have been announced, and those that must have been.
    let (mut real, mut due) = (HashSet::new(), HashSet::new());
    // The absences that were announced, but could not be recorded.
    let mut unrecorded = HashSet::new();
    for server in SERVERS {
        watchdog.heartbeat(server, now).await;
    }
    let returning = (0..SERVERS.len()).filter(|server| returning[*server]);
    let settle = [Event::Wait(700)]
        .into_iter()
        .chain(returning.map(Event::Heartbeat))
        .chain([
            Event::Sweep(Behavior::Accepts),
            Event::Sweep(Behavior::Accepts),
        ]);
    for event in events.into_iter().chain(settle) {
        match event {
            Event::Wait(seconds) => now += seconds,
            Event::Heartbeat(server) => {
                // No two heartbeats are received at the same time.
                now += 1;
                watchdog.heartbeat(SERVERS[server], now).await;
                seen.insert(SERVERS[server], now);
            }
            Event::Silence(server, time) => {
                let until = stored(now + time);
                watchdog
                    .set(SERVERS[server], "silenced_until", Some(&until))
                    .await;
                silenced.insert(SERVERS[server], now + time);
            }
            Event::Sweep(behavior) => {
                watchdog.topic.set_behavior(behavior);
                let swept = watchdog.sweep(now).await;
                for server in SERVERS
                    .into_iter()
                    .filter(|server| now - seen[server] > 180)
                {
                    real.insert((server, seen[server]));
                    let is_announced = silenced.get(server).is_none_or(|until| *until <= now);
                    if is_announced && behavior == Behavior::Accepts {
                        prop_assert!(swept.is_ok(), "{swept:?}");
                        due.insert((server, seen[server]));
                    }
                }
            }
            Event::Crash(after) => {
                watchdog.topic.set_behavior(Behavior::Accepts);
                let mut updates = 0;
                proxy.rule(move |call| {
                    updates += usize::from(call == Call::Server);
                    (call == Call::Server && updates > after)
                        .then_some(Fault::Reject(400, "AccessDeniedException"))
                });
                let _ = watchdog.sweep(now).await;
                proxy.heal();
                let late = SERVERS
                    .into_iter()
                    .filter(|server| now - seen[server] > 180);
                real.extend(late.map(|server| (server, seen[server])));
            }
        }
        for message in watchdog.topic.take() {
            published.record(&message.default);
            for server in message.default["offline"].as_array().unwrap() {
                let server_id = server["server_id"].as_str().unwrap();
                let since = server["last_seen"].as_str().unwrap();
                let [.., announced] = watchdog.state(server_id).await;
                if announced.as_deref() != Some(since) {
                    unrecorded.insert((server_id.to_owned(), since.to_owned()));
                }
            }
        }
    }
    for server in SERVERS {
        let announced = published.of(server);
        for (is_offline, time) in announced {
            let is_real = real
                .iter()
                .any(|(late, seen)| *late == server && stored(*seen) == *time);
            prop_assert!(is_real, "{server}: {is_offline}, {time} never happened");
        }
        for (late, seen) in &due {
            let expected = (true, stored(*seen));
            prop_assert!(
                *late != server || announced.contains(&expected),
                "{server}: the absence since {seen} is missing"
            );
        }
        let is_away = now - seen[server] > 180;
        let is_true = match announced.last() {
            None => !is_away,
            // An announcement that was not recorded does not count, so a return within a silence may stay unannounced
            // (C8.7).
            Some((true, since)) if !is_away => {
                silenced.contains_key(server)
                    && unrecorded.contains(&(server.to_owned(), since.clone()))
            }
            Some((is_offline, _)) => *is_offline == is_away,
        };
        prop_assert!(
            is_true,
            "{server}: the last announcement is wrong at {}: {announced:?}",
            at(now)
        );
    }
    Ok(())
}

// C8.5 C8.7 C8.8
#[test]
fn announcements_are_complete_and_true_in_the_end() {
    let runtime = Runtime::new().unwrap();
    let seed = std::env::var("SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("a number"),
    );
    println!("SEED={seed}");
    let config = Config {
        cases: 48,
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let cases = (
        prop::collection::vec(event(), 1..25),
        any::<[bool; SERVERS.len()]>(),
    );
    let outcome = runner.run(&cases, |(events, returning)| {
        runtime.block_on(run(events, returning))
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
