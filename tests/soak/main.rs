//! A fleet sends heartbeats to several processes of the function, over a database that throttles requests and resets
//! connections.
//!
//! ```text
//! agents ─▶ gateway (Runtime API) ─▶ processes of the function ─▶ proxy (faults) ─▶ DynamoDB Local
//!                  sweeps ─▶ process of the watchdog ─────────────▶ proxy (faults) ─▶
//! ```
//!
//! At the end it checks that every acknowledged heartbeat is stored exactly once and that nothing else is, that each
//! server registered once, that the last announcement about each server is true, and that memory is flat.
//! `make soak` runs it for ten minutes, `make soak-short` for one.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod agent;
mod lambda;
mod watchdog;

use agent::{Agent, Habit, Heartbeats};
use clap::Parser;
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use dev::tables::{Item, Tables, text};
use futures_util::future::join_all;
use lambda::Lambda;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The agents' API key.
const KEY: &str = "local-development-key";
/// Its digest.
const DIGEST: &str = "4c88089bdf15cb0dffde5c179461a2f99fa7cfb0bed250a8d87f8aa1d80eaa11";

/// Runs a fleet against the function and checks that no heartbeat was lost.
#[derive(Parser)]
struct Options {
    /// The number of agents.
    #[arg(long, default_value_t = 500)]
    agents: usize,
    /// The number of processes of the function.
    #[arg(long, default_value_t = 4)]
    processes: usize,
    /// How long agents start new heartbeats, seconds; at least 60, because some send nothing for half a minute.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(60..))]
    seconds: u64,
    /// The mean pause between two heartbeats of an agent, seconds.
    #[arg(long, default_value_t = 5.0)]
    pause: f64,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let tables = Tables::create().await;
    let proxy = Proxy::start(&URL);
    let faults = Arc::new(Faults::start());
    proxy.rule({
        let faults = faults.clone();
        move |_: Call| faults.draw()
    });
    let settings = settings(&tables, &proxy.url);
    let program = env!("CARGO_BIN_EXE_heartbeat");
    let lambda = Lambda::start(program, options.processes, &settings).await;
    let watchdog = watchdog::start(settings).await;

    let run = Duration::from_secs(options.seconds);
    let end = tokio::time::Instant::now() + run;
    let pause = Duration::from_secs_f64(options.pause);
    let agents = (0..options.agents).map(|number| {
        let agent = Agent::new(number, lambda.gateway(), pause);
        tokio::spawn(agent.run_until(end))
    });
    let fleet = join_all(agents.collect::<Vec<_>>());
    let memory_early = async {
        tokio::time::sleep(run / 5).await;
        lambda.memory()
    };
    let sweeps = watchdog::sweep_until(&watchdog, end);
    let (fleet, memory_early, ()) = tokio::join!(fleet, memory_early, sweeps);
    faults.stop();
    // However slow the sweeps were: two heartbeats of those that returned, and a sweep after each.
    let mut fleet: Vec<_> = fleet.into_iter().map(Result::unwrap).collect();
    for _ in 0..2 {
        tokio::time::sleep(watchdog::BACK_AFTER).await;
        let returned = fleet.iter_mut().filter(|agent| agent.habit == Habit::Returns);
        join_all(returned.map(Agent::send_heartbeat)).await;
        assert!(watchdog.invoke("{}").await, "a sweep without faults failed");
    }
    let fleet: Vec<_> = fleet.into_iter().map(|agent| agent.heartbeats).collect();
    let memory_late = lambda.memory();
    let log = lambda.stop().await;
    let announcements = watchdog.stop().await;

    println!(
        "{} agents, {} processes, {} s; {} throttles and {} resets injected",
        options.agents,
        options.processes,
        options.seconds,
        faults.throttles.load(Ordering::Relaxed),
        faults.resets.load(Ordering::Relaxed),
    );
    let is_consistent = report(&fleet, &tables).await;
    let is_true = watchdog::report(&announcements, options.agents, &servers_of(&tables).await);
    let is_flat = report_memory(&memory_early, &memory_late);
    let has_no_secrets = !log.contains(KEY) && !log.contains(DIGEST) && !log.contains("hostname");
    println!("log: {} lines, no secrets: {has_no_secrets}", log.lines().count());
    assert!(is_consistent && is_true && is_flat && has_no_secrets, "see the report above");
}

/// 5 % throttles, 1 % resets. Most throttles come in bursts, as DynamoDB's do: if they came one by one, the SDK's
/// retries would nearly always succeed, and the agents' retries would hardly be tested.
struct Faults {
    started: Instant,
    is_stopped: AtomicBool,
    throttles: AtomicU64,
    resets: AtomicU64,
}

impl Faults {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            is_stopped: AtomicBool::new(false),
            throttles: AtomicU64::new(0),
            resets: AtomicU64::new(0),
        }
    }

    fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    fn draw(&self) -> Option<Fault> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return None;
        }
        let is_burst = self.started.elapsed().as_millis() % 10_000 < 300;
        let draw = fastrand::u32(..300);
        if is_burst || draw < 6 {
            self.throttles.fetch_add(1, Ordering::Relaxed);
            return Some(Fault::Reject(400, "ThrottlingException"));
        }
        let reset = match draw {
            6 => Fault::ResetBeforeRequest,
            7 => Fault::ResetMidAnswer,
            8 => Fault::LoseAnswer,
            _ => return None,
        };
        self.resets.fetch_add(1, Ordering::Relaxed);
        Some(reset)
    }
}

/// Compares what the agents know with what the tables hold, and prints the result. Returns whether they agree.
async fn report(fleet: &[Heartbeats], tables: &Tables) -> bool {
    let all = |set: fn(&Heartbeats) -> &HashSet<String>| -> HashSet<&str> {
        fleet.iter().flat_map(set).map(String::as_str).collect()
    };
    let sent = all(|heartbeats| &heartbeats.sent);
    let acknowledged = all(|heartbeats| &heartbeats.acknowledged);
    let retried: usize = fleet.iter().map(|heartbeats| heartbeats.retried).sum();

    // What the watchdog has announced is in the same table.
    let is_of_a_server = |row: &Item| !row["server_id"].as_s().unwrap().starts_with('#');
    let mut rows = tables.items(&tables.metrics).await;
    rows.retain(is_of_a_server);
    let mut rows_of: HashMap<&str, usize> = HashMap::new();
    for row in &rows {
        let (_, id) = row["recorded_at"].as_s().unwrap().split_once('#').unwrap();
        *rows_of.entry(id).or_default() += 1;
    }
    let lost = acknowledged.iter().filter(|id| !rows_of.contains_key(*id)).count();
    let duplicates = rows_of.values().filter(|rows| **rows > 1).count();
    let unknown = rows_of.keys().filter(|id| !sent.contains(*id)).count();
    println!(
        "sent {}, acknowledged {}, retried {retried}, lost {lost}, duplicates {duplicates}, never sent {unknown}",
        sent.len(),
        acknowledged.len(),
    );

    let servers = servers_of(tables).await;
    let registrations: HashSet<&str> =
        servers.iter().map(|server| server["registration_id"].as_s().unwrap().as_str()).collect();
    let reported = all(|heartbeats| &heartbeats.registered);
    let registered_once =
        fleet.iter().filter(|heartbeats| heartbeats.registered.len() == 1).count();
    println!("{} servers, {registered_once} registered exactly once", servers.len());

    acknowledged == sent
        && (lost, duplicates, unknown) == (0, 0, 0)
        && (servers.len(), registered_once) == (fleet.len(), fleet.len())
        && registrations == reported
}

/// Prints the resident memory of each process, KiB, after one fifth of the run and at its end. Returns whether it is
/// flat, which is a change of at most 10 %.
fn report_memory(early: &[u64], late: &[u64]) -> bool {
    let growth = |(early, late): (&u64, &u64)| (*late as f64 / *early as f64 - 1.0) * 100.0;
    let growths: Vec<_> = early.iter().zip(late).map(growth).collect();
    println!("memory, KiB: {early:?} at one fifth, {late:?} at the end, {growths:.1?} %");
    early.len() == late.len() && growths.iter().all(|growth| growth.abs() <= 10.0)
}

/// The timeouts are those of a deployed function.
fn settings(tables: &Tables, database: &str) -> HashMap<&'static str, String> {
    let mut settings = tables.settings();
    settings.remove("ATTEMPT_TIMEOUT_MS");
    settings.remove("OPERATION_TIMEOUT_MS");
    settings.insert("API_KEY_SHA256", DIGEST.to_owned());
    settings.insert("AWS_ENDPOINT_URL_DYNAMODB", database.to_owned());
    settings
}

/// The items of all servers, without the watchdog's own.
async fn servers_of(tables: &Tables) -> Vec<Item> {
    let mut servers = tables.items(&tables.servers).await;
    servers.retain(|item| item["server_id"] != text("#watchdog"));
    servers
}
