//! Fills the tables with a fleet that looks like a real one, and lets it go on living: `make try`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use bytes::Bytes;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use clap::Parser;
use fastrand::Rng;
use futures_util::{StreamExt, stream};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value, json};
use std::f64::consts::TAU;
use std::io::{self, Write};
use std::time::Duration;
use tables::metric::{Place, Rule};
use tables::row::Row;
use tables::server::{Memory, Os, Reading, Rules, Upsert};
use tables::{
    Disk, HeartbeatId, Metrics, Number, ServerId, Service, ServiceStatus, Services, metric,
};

/// Concurrent requests, and rows per request: as many as DynamoDB takes.
const CONCURRENCY: usize = 8;
const BATCH: usize = 25;

/// Write a day of heartbeats for a dozen servers. Running it again replaces them.
#[derive(Parser)]
struct Arguments {
    #[arg(long, env, default_value = "http://127.0.0.1:8000")]
    aws_endpoint_url_dynamodb: String,
    #[arg(long, env, default_value = "us-east-1")]
    aws_region: String,
    #[arg(long, env, default_value = "heartbeat-servers")]
    servers_table: String,
    #[arg(long, env, default_value = "heartbeat-metrics")]
    metrics_table: String,
    /// How far back the history goes.
    #[arg(long, default_value_t = 1)]
    days: i64,
    /// Go on with heartbeats to this endpoint.
    #[arg(long, value_name = "URL")]
    live: Option<Uri>,
    /// Seconds between two heartbeats of a server.
    #[arg(long, default_value_t = 10)]
    every: u64,
    #[arg(long, env = "HEARTBEAT_API_KEY", default_value = "", hide_env_values = true)]
    api_key: String,
    /// Only this server.
    #[arg(long)]
    only: Option<String>,
}

/// A server's habits.
struct Machine {
    name: &'static str,
    os: [&'static str; 3],
    cores: f64,
    /// Percent at rest, and added by day.
    cpu: [f64; 2],
    memory_gb: f64,
    memory_percent: f64,
    disk_gb: f64,
    /// Percent at the end, and how much of it came within the week.
    disk: [f64; 2],
    /// Bytes per second at full load.
    network: f64,
    habit: Habit,
}

#[derive(Clone, Copy, PartialEq)]
enum Habit {
    Steady,
    /// Works at night.
    Nightly,
    /// Works in bursts.
    Bursts,
    /// Loses its connection for minutes, again and again.
    Flaps,
    /// Its clock is ahead by minutes.
    Clock(i64),
    /// Was restarted so many minutes ago.
    Restarted(i64),
    /// Has sent nothing for so many minutes.
    Offline(i64),
}

const DEBIAN: [&str; 3] = ["Debian GNU/Linux", "13 (trixie)", "x86_64"];
const UBUNTU: [&str; 3] = ["Ubuntu", "24.04.2 LTS", "x86_64"];
const ALPINE: [&str; 3] = ["Alpine Linux", "3.22", "aarch64"];

#[rustfmt::skip]
const FLEET: [Machine; 12] = [
    machine("web-1", DEBIAN, 4.0, [8.0, 42.0], 16.0, 61.0, 80.0, [38.0, 0.6], 9e6, Habit::Steady),
    machine("web-2", DEBIAN, 4.0, [7.0, 40.0], 16.0, 58.0, 80.0, [36.0, 0.6], 9e6, Habit::Restarted(2_900)),
    machine("api-1", DEBIAN, 8.0, [12.0, 35.0], 32.0, 71.0, 120.0, [44.0, 1.0], 14e6, Habit::Steady),
    machine("db-1", DEBIAN, 16.0, [15.0, 30.0], 64.0, 83.0, 1_000.0, [64.0, 2.0], 25e6, Habit::Steady),
    machine("db-2", DEBIAN, 16.0, [11.0, 18.0], 64.0, 79.0, 500.0, [92.6, 31.0], 18e6, Habit::Steady),
    machine("cache-1", ALPINE, 2.0, [5.0, 12.0], 8.0, 88.0, 20.0, [22.0, 0.1], 12e6, Habit::Steady),
    machine("backup", ALPINE, 4.0, [2.0, 1.0], 8.0, 24.0, 8_000.0, [71.0, 3.0], 90e6, Habit::Nightly),
    machine("build-1", UBUNTU, 32.0, [3.0, 10.0], 128.0, 35.0, 900.0, [57.0, -6.0], 6e6, Habit::Bursts),
    machine("edge-oslo", UBUNTU, 2.0, [9.0, 15.0], 4.0, 52.0, 32.0, [29.0, 0.2], 1e6, Habit::Flaps),
    machine("media", DEBIAN, 4.0, [6.0, 22.0], 16.0, 77.0, 4_000.0, [81.0, 1.5], 40e6, Habit::Clock(47)),
    machine("staging", UBUNTU, 4.0, [4.0, 9.0], 8.0, 46.0, 60.0, [55.0, 0.4], 2e6, Habit::Offline(9 * 60)),
    machine("mail", DEBIAN, 2.0, [4.0, 8.0], 4.0, 66.0, 100.0, [48.0, 0.9], 1.5e6, Habit::Steady),
];

#[expect(clippy::too_many_arguments, reason = "a table")]
const fn machine(
    name: &'static str,
    os: [&'static str; 3],
    cores: f64,
    cpu: [f64; 2],
    memory_gb: f64,
    memory_percent: f64,
    disk_gb: f64,
    disk: [f64; 2],
    network: f64,
    habit: Habit,
) -> Machine {
    Machine { name, os, cores, cpu, memory_gb, memory_percent, disk_gb, disk, network, habit }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let client = dev::dynamodb::client(&arguments.aws_endpoint_url_dynamodb, &arguments.aws_region);
    // Whole minutes, so that running it again replaces rows.
    let now = Utc::now().duration_trunc(TimeDelta::minutes(1)).expect("a minute");
    dev::template::create(&client, "ServersTable", &arguments.servers_table).await;
    dev::template::create(&client, "MetricsTable", &arguments.metrics_table).await;
    let asked = |machine: &&Machine| {
        let only = arguments.only.as_deref();
        only.is_none_or(|only| only == machine.name)
    };
    let fleet: Vec<_> = FLEET
        .iter()
        .filter(asked)
        .map(|machine| (machine, machine.history(now, arguments.days)))
        .collect();
    // The fleet can be looked at before its history is written.
    for (machine, rows) in &fleet {
        // In a fleet that lives, services fail while one looks.
        let is_still = arguments.live.is_none();
        upsert(&client, &arguments.servers_table, machine, rows.last(), is_still).await;
    }
    sweep(&client, &arguments.servers_table).await;
    let _ = writeln!(io::stdout(), "The fleet has {} servers.", fleet.len());
    for (machine, rows) in &fleet {
        append(&client, &arguments.metrics_table, machine, rows).await;
    }
    if let Some(url) = arguments.live {
        let last = |(machine, rows): (&'static Machine, Vec<Row<'_>>)| {
            Some((machine, rows.last()?.metrics))
        };
        let living = fleet.into_iter().filter_map(last).collect();
        live(living, &url, &arguments.api_key, arguments.every).await;
    }
}

/// Why a service of the demo fails.
const REASON: &str = "exit code 1";

/// What becomes of a server while it is watched.
enum Fate {
    Lives,
    /// Sends nothing from this second on.
    Stops(u64),
    /// Sends for so many seconds, and nothing for as many.
    Flaps(u64),
    /// Its disk gains so many percent per minute, up to 97.
    FillsItsDisk(f64),
    /// Its service fails in this second.
    Fails(&'static str, u64),
}

impl Machine {
    /// Its file systems, of which one is that of `disk_percent`.
    fn disks(&self, percent: f64) -> Vec<Disk> {
        let disk = |mount: &str, percent: f64| Disk { mount: mount.to_owned(), percent };
        let data = match self.name {
            "db-1" | "db-2" => "/var/lib/postgresql",
            "backup" => "/srv/backup",
            "media" => "/srv/media",
            _ => return vec![disk("/", percent)],
        };
        vec![disk(data, percent), disk("/", 20.0 + self.memory_gb / 4.0)]
    }

    fn kernel(&self) -> &'static str {
        if self.os == UBUNTU { "6.8.0-60-generic" } else { "6.12.30-amd64" }
    }

    fn updates(&self) -> u64 {
        if self.os == UBUNTU { 12 } else { 0 }
    }

    fn security_updates(&self) -> u64 {
        self.updates() / 4
    }

    fn fate(&self) -> Fate {
        match (self.name, self.habit) {
            (_, Habit::Offline(_)) => Fate::Stops(0),
            ("build-1", _) => Fate::Stops(60),
            (_, Habit::Flaps) => Fate::Flaps(90),
            ("media", _) => Fate::FillsItsDisk(5.0),
            ("mail", _) => Fate::Fails("postfix", 60),
            _ => Fate::Lives,
        }
    }

    /// The heartbeat so many seconds after the last reading of its history, unless it has stopped.
    fn heartbeat(&self, last: &Metrics, seconds: u64, random: &mut Rng) -> Option<Value> {
        let fate = self.fate();
        match fate {
            Fate::Stops(from) if seconds >= from => return None,
            Fate::Flaps(span) if seconds / span % 2 == 1 => return None,
            _ => (),
        }
        let elapsed = seconds as f64;
        let gained = match fate {
            Fate::FillsItsDisk(percent) => percent * elapsed / 60.0,
            _ => 0.0,
        };
        let disk = disk_percent(last);
        let disk = (disk + gained).min(disk.max(97.0));
        let metrics: Map<_, _> = last
            .iter()
            .filter(|(metric, _)| metric.place != Place::Body)
            .map(|(metric, value)| {
                let value = value.as_f64();
                let value = match metric.name {
                    "disk_percent" => json!(disk),
                    "disk_used_gb" => json!(self.disk_gb * disk / 100.0),
                    "cpu_percent" | "load_1m" => json!(value * (0.8 + 0.4 * random.f64())),
                    "network_rx_bytes" => json!((value + self.network * 0.2 * elapsed) as u64),
                    "network_tx_bytes" => json!((value + self.network * 0.1 * elapsed) as u64),
                    "uptime_seconds" => json!(value as u64 + seconds),
                    _ if metric.rule == Rule::Count => json!(value as u64),
                    _ if metric.rule == Rule::Flag => json!(value > 0.0),
                    _ => json!(value),
                };
                (metric.name.to_owned(), value)
            })
            .collect();
        let services = match fate {
            Fate::Fails(name, from) => {
                let (status, reason) = match seconds >= from {
                    true => ("failed", Some(REASON)),
                    false => ("running", None),
                };
                json!([{ "name": name, "status": status, "status_reason": reason }])
            }
            _ => json!([]),
        };
        let ahead = match self.habit {
            Habit::Clock(minutes) => TimeDelta::minutes(minutes),
            _ => TimeDelta::zero(),
        };
        let disks = self.disks(disk).into_iter();
        let filesystems =
            disks.map(|disk| json!({ "mount_point": disk.mount, "percent": disk.percent }));
        Some(json!({
            "server_id": self.name,
            "hostname": format!("{}.example.com", self.name),
            "timestamp": tables::time::format(Utc::now() + ahead),
            "agent_version": env!("CARGO_PKG_VERSION"),
            "os_info": {
                "distribution": self.os[0], "version": self.os[1], "architecture": self.os[2], "kernel": self.kernel(),
            },
            "metrics": metrics,
            "updates_available": self.updates(),
            "security_updates": self.security_updates(),
            "filesystems": filesystems.collect::<Vec<_>>(),
            "services": services,
        }))
    }
}

/// Sends the heartbeats of the fleet from when the endpoint responds until it is stopped. What cannot be sent is not sent
/// again.
async fn live(fleet: Vec<(&Machine, Metrics)>, url: &Uri, key: &str, every: u64) {
    let client: HttpClient<HttpConnector, Full<Bytes>> =
        HttpClient::builder(TokioExecutor::new()).build_http();
    while client.get(url.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut random = Rng::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(every));
    for tick in 0.. {
        ticks.tick().await;
        for (machine, last) in &fleet {
            let Some(heartbeat) = machine.heartbeat(last, tick * every, &mut random) else {
                continue;
            };
            let request = Request::post(url)
                .header("X-API-Key", key)
                .body(Full::from(heartbeat.to_string()))
                .expect("a request");
            let status = client.request(request).await.map(|response| response.status());
            if !status.as_ref().is_ok_and(StatusCode::is_success) {
                let _ = writeln!(io::stderr(), "{}: {status:?}", machine.name);
            }
        }
    }
}

impl Machine {
    fn server_id(&self) -> ServerId {
        self.name.parse().expect("a valid name")
    }

    /// A row per minute, oldest first.
    fn history(&self, now: DateTime<Utc>, days: i64) -> Vec<Row<'static>> {
        let mut random = Rng::with_seed(self.name.bytes().map(u64::from).sum());
        let second = random.i64(1..55);
        let minutes = days * 1_440;
        let (mut received, mut sent) = (random.f64() * 1e12, random.f64() * 1e12);
        let mut booted = minutes + random.i64(20_000..90_000);
        let (mut burst, mut away, mut load) = (0, 0, [0.0; 3]);
        let mut rows = Vec::new();
        for ago in (0..minutes).rev() {
            let received_at = now - TimeDelta::minutes(ago) - TimeDelta::seconds(second);
            let hour = (received_at.timestamp() % 86_400) as f64 / 3_600.0;
            // Busiest at 14:00.
            let day = 0.5 - 0.5 * ((hour - 2.0) / 24.0 * TAU).cos();
            let mut cpu = self.cpu[0] + self.cpu[1] * day * (0.8 + 0.4 * random.f64());
            burst = match (burst, self.habit) {
                (1.., _) => burst - 1,
                (_, Habit::Bursts) if random.u32(..90) == 0 => random.i64(5..25),
                _ => 0,
            };
            let is_night = self.habit == Habit::Nightly && (1.0..3.5).contains(&hour);
            if burst > 0 || is_night {
                cpu = 70.0 + 28.0 * random.f64();
            }
            away = match (away, self.habit) {
                (1.., _) => away - 1,
                (_, Habit::Flaps) if random.u32(..45) == 0 => random.i64(4..14),
                _ => 0,
            };
            if let Habit::Restarted(at) = self.habit
                && (at..at + 6).contains(&ago)
            {
                (received, sent, booted) = (0.0, 0.0, ago);
                continue;
            }
            let is_offline = matches!(self.habit, Habit::Offline(since) if ago < since);
            let share = cpu / 100.0;
            received += self.network * 60.0 * share * (0.5 + random.f64());
            sent += self.network * 40.0 * share * (0.5 + random.f64());
            for (load, minutes) in load.iter_mut().zip([1.0, 5.0, 15.0]) {
                *load += (share * self.cores - *load) / (minutes + 1.0);
            }
            if is_offline || away > 0 && ago > 3 {
                continue;
            }
            let elapsed = 1.0 - ago as f64 / minutes as f64;
            let disk = self.disk[0] - self.disk[1] * (1.0 - elapsed) + 0.05 * random.f64();
            let memory = (self.memory_percent + 6.0 * (day - 0.5) + random.f64()).min(99.0);
            let metrics = Metrics::from_iter([
                (metric!("cpu_percent"), rounded(cpu.clamp(0.0, 100.0))),
                (metric!("memory_percent"), rounded(memory)),
                (metric!("memory_total_mb"), whole(self.memory_gb * 1_024.0)),
                (metric!("memory_used_mb"), whole(self.memory_gb * 10.24 * memory)),
                (metric!("disk_percent"), rounded(disk)),
                (metric!("disk_total_gb"), rounded(self.disk_gb)),
                (metric!("disk_used_gb"), rounded(self.disk_gb * disk / 100.0)),
                (metric!("network_rx_bytes"), whole(received)),
                (metric!("network_tx_bytes"), whole(sent)),
                (metric!("load_1m"), rounded(load[0])),
                (metric!("load_5m"), rounded(load[1])),
                (metric!("load_15m"), rounded(load[2])),
                (metric!("uptime_seconds"), Number::Whole(((booted - ago).max(0) * 60) as u64)),
                (metric!("updates_available"), Number::Whole(self.updates())),
                (metric!("security_updates"), Number::Whole(self.security_updates())),
                (metric!("reboot_required"), Number::Whole((self.name == "api-1").into())),
            ]);
            let ahead = match self.habit {
                Habit::Clock(minutes) => TimeDelta::minutes(minutes),
                _ => TimeDelta::zero(),
            };
            rows.push(Row { timestamp: received_at + ahead, received_at, metrics, disks: None });
        }
        rows
    }
}

fn id() -> HeartbeatId {
    HeartbeatId::new(b"demo").expect("a valid id")
}

fn disk_percent(metrics: &Metrics) -> f64 {
    metrics.get("disk_percent").map_or(0.0, Number::as_f64)
}

fn rounded(value: f64) -> Number {
    Number::Float((value * 100.0).round() / 100.0)
}

fn whole(value: f64) -> Number {
    Number::Whole(value as u64)
}

/// The server as its last heartbeat left it.
async fn upsert(
    client: &Client,
    table: &str,
    machine: &Machine,
    last: Option<&Row<'_>>,
    is_still: bool,
) {
    let Some(last) = last else { return };
    let failed = match machine.fate() {
        Fate::Fails(name, _) if is_still => vec![Service {
            status: ServiceStatus::Failed,
            name: name.to_owned(),
            reason: Some(REASON.to_owned()),
        }],
        _ => Vec::new(),
    };
    let reading = Reading {
        metrics: last.metrics,
        timestamp: Some(last.timestamp),
        received_at: Some(last.received_at),
        disks: Some(machine.disks(disk_percent(&last.metrics))),
        services: Some(Services { not_running: failed, is_cut: false }),
    };
    let server_id = machine.server_id();
    let delete = client.delete_item().table_name(table);
    // A demo of an earlier hour may have been judged by the watchdog.
    let _ = tables::server::forget(delete, &server_id).send().await;
    let upsert = Upsert {
        server_id: &server_id,
        id: &id(),
        hostname: format!("{}.example.com", machine.name).into(),
        received_at: last.received_at,
        is_leaving: false,
        group: None,
        agent_version: Some(env!("CARGO_PKG_VERSION")),
        fingerprint: machine.name,
        os: Some(Os {
            distribution: Some(machine.os[0].into()),
            version: Some(machine.os[1].into()),
            kernel: Some(machine.kernel().into()),
            architecture: Some(machine.os[2].into()),
        }),
        reading: Some(&reading),
    };
    let update = client.update_item().table_name(table);
    upsert.apply(update).send().await.expect("a server");
}

/// What a watchdog leaves behind that is patient: the demo's last minute was some minutes ago.
async fn sweep(client: &Client, table: &str) {
    let memory = Memory {
        swept_at: Some(Utc::now()),
        rules: Some(Rules { offline_after: TimeDelta::minutes(15), ..Rules::default() }),
        ..Memory::default()
    };
    let update = client.update_item().table_name(table);
    memory.write(false).request(update).send().await.expect("the watchdog's item");
}

async fn append(client: &Client, table: &str, machine: &Machine, rows: &[Row<'_>]) {
    let (server_id, id) = (machine.server_id(), id());
    let batches = rows.chunks(BATCH).map(|rows| {
        let requests = rows.iter().map(|row| {
            let disks = machine.disks(disk_percent(&row.metrics));
            let row = Row { disks: Some(&disks), ..*row };
            let put = row.append(client.put_item(), &server_id, &id, TimeDelta::days(30));
            let put = PutRequest::builder().set_item(put.get_item().clone());
            let put = put.build().expect("an item");
            WriteRequest::builder().put_request(put).build()
        });
        client.batch_write_item().request_items(table, requests.collect()).send()
    });
    stream::iter(batches)
        .for_each_concurrent(CONCURRENCY, async |batch| {
            let answer = batch.await.expect("a batch");
            let left = answer.unprocessed_items().is_none_or(|left| left.is_empty());
            assert!(left, "DynamoDB has not taken every row");
        })
        .await;
}
