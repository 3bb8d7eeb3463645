//! A fleet against several processes of the function for a while, over a database that throttles and resets.
//!
//! ```text
//! agents ─▶ gateway (Runtime API) ─▶ processes of the function ─▶ proxy (faults) ─▶ DynamoDB Local
//!                  sweeps ─▶ process of the watchdog ─────────────▶ proxy (faults) ─▶
//! ```
//!
//! At the end: what was acknowledged is there, once; nothing else is; each server registered once; what the
//! watchdog said last about a server is true; memory is flat. `make soak` runs it, `make soak-short` for a minute.

#![allow(clippy::unwrap_used)]

mod agent;
mod lambda;
mod watchdog;

use agent::{Agent, Heartbeats};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use clap::Parser;
use dev::proxy::{Call, Fault, Proxy};
use dev::tables;
use futures_util::future::join_all;
use heartbeat::client;
use heartbeat::config::Config;
use lambda::Lambda;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The key that the agents hold.
const KEY: &str = "local-development-key";
/// Its digest.
const DIGEST: &str = "4c88089bdf15cb0dffde5c179461a2f99fa7cfb0bed250a8d87f8aa1d80eaa11";
const SERVERS: &str = "soak-servers";
const METRICS: &str = "soak-metrics";

/// Drives a fleet against the function and checks that nothing was lost.
#[derive(Parser)]
struct Options {
    /// How many agents.
    #[arg(long, default_value_t = 500)]
    agents: usize,
    /// How many processes of the function.
    #[arg(long, default_value_t = 4)]
    processes: usize,
    /// For how long agents begin new heartbeats, seconds; at least 60, for some are silent for half a minute.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(60..))]
    seconds: u64,
    /// The mean pause between two heartbeats of an agent, seconds.
    #[arg(long, default_value_t = 5.0)]
    pause: f64,
    /// The database.
    #[arg(long, env = "AWS_ENDPOINT_URL_DYNAMODB")]
    database: String,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let dynamodb = dynamodb(&options.database);
    tables::create(&dynamodb, "ServersTable", SERVERS).await;
    tables::create(&dynamodb, "MetricsTable", METRICS).await;
    let proxy = Proxy::start(&options.database);
    let faults = Arc::new(Faults::start());
    proxy.rule({
        let faults = faults.clone();
        move |_: Call| faults.draw()
    });
    let settings = settings(&proxy.url);
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
    assert!(watchdog.invoke("{}").await, "a sweep without faults fails");
    let fleet: Vec<_> = fleet.into_iter().map(Result::unwrap).collect();
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
    let is_sound = report(&fleet, &dynamodb).await;
    let is_true = watchdog::report(
        &announcements,
        options.agents,
        &items(&dynamodb, SERVERS).await,
    );
    let is_flat = report_memory(&memory_early, &memory_late);
    let is_discreet = !log.contains(KEY) && !log.contains(DIGEST) && !log.contains("hostname");
    println!(
        "log: {} lines, discreet: {is_discreet}",
        log.lines().count()
    );
    assert!(is_sound && is_true && is_flat && is_discreet);
}

/// 5 % throttles, 1 % resets. Most throttles come at once, as DynamoDB's do: if they came one by one, the SDK's
/// retries would succeed nearly always, and the agent's would hardly be tested.
struct Faults {
    started: Instant,
    is_over: AtomicBool,
    throttles: AtomicU64,
    resets: AtomicU64,
}

impl Faults {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            is_over: AtomicBool::new(false),
            throttles: AtomicU64::new(0),
            resets: AtomicU64::new(0),
        }
    }

    fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn draw(&self) -> Option<Fault> {
        if self.is_over.load(Ordering::Relaxed) {
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

/// Compares what the agents know with what the tables hold, and tells.
async fn report(fleet: &[Heartbeats], dynamodb: &Client) -> bool {
    let all = |set: fn(&Heartbeats) -> &HashSet<String>| -> HashSet<&str> {
        fleet.iter().flat_map(set).map(String::as_str).collect()
    };
    let sent = all(|heartbeats| &heartbeats.sent);
    let acknowledged = all(|heartbeats| &heartbeats.acknowledged);
    let retried: usize = fleet.iter().map(|heartbeats| heartbeats.retried).sum();

    let rows = items(dynamodb, METRICS).await;
    let mut rows_of: HashMap<&str, usize> = HashMap::new();
    for row in &rows {
        let (_, id) = row["recorded_at"].as_s().unwrap().split_once('#').unwrap();
        *rows_of.entry(id).or_default() += 1;
    }
    let lost = acknowledged
        .iter()
        .filter(|id| !rows_of.contains_key(*id))
        .count();
    let duplicates = rows_of.values().filter(|rows| **rows > 1).count();
    let strange = rows_of.keys().filter(|id| !sent.contains(*id)).count();
    println!(
        "sent {}, acknowledged {}, retried {retried}, lost {lost}, duplicates {duplicates}, never sent {strange}",
        sent.len(),
        acknowledged.len(),
    );

    let servers = items(dynamodb, SERVERS).await;
    let registrations: HashSet<&str> = servers
        .iter()
        .map(|server| server["registration_id"].as_s().unwrap().as_str())
        .collect();
    let told = all(|heartbeats| &heartbeats.registered);
    let once = fleet
        .iter()
        .filter(|heartbeats| heartbeats.registered.len() == 1)
        .count();
    println!("{} servers, {once} registered exactly once", servers.len());

    acknowledged == sent
        && (lost, duplicates, strange) == (0, 0, 0)
        && (servers.len(), once) == (fleet.len(), fleet.len())
        && registrations == told
}

/// Resident memory of each process at one fifth of the run and at its end, KiB; flat is within 10 %.
fn report_memory(early: &[u64], late: &[u64]) -> bool {
    let growth = |(early, late): (&u64, &u64)| (*late as f64 / *early as f64 - 1.0) * 100.0;
    let growths: Vec<_> = early.iter().zip(late).map(growth).collect();
    println!("memory, KiB: {early:?} at one fifth, {late:?} at the end, {growths:.1?} %");
    early.len() == late.len() && growths.iter().all(|growth| growth.abs() <= 10.0)
}

fn settings(database: &str) -> HashMap<&'static str, String> {
    HashMap::from([
        ("API_KEY_SHA256", DIGEST.to_owned()),
        ("SERVERS_TABLE", SERVERS.to_owned()),
        ("METRICS_TABLE", METRICS.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", database.to_owned()),
    ])
}

/// A client that is patient and meets no fault.
fn dynamodb(database: &str) -> Client {
    let mut settings = settings(database);
    settings.insert("ATTEMPT_TIMEOUT_MS", "20000".to_owned());
    settings.insert("OPERATION_TIMEOUT_MS", "40000".to_owned());
    let config = Config::read(|name| settings.get(name).cloned()).unwrap();
    client::dynamodb(&config.client).unwrap()
}

async fn items(dynamodb: &Client, table: &str) -> Vec<HashMap<String, AttributeValue>> {
    let scan = dynamodb.scan().table_name(table).consistent_read(true);
    let items = scan.into_paginator().items().send();
    items.collect::<Result<_, _>>().await.unwrap()
}
