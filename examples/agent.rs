//! A real agent: reads this machine and sends a heartbeat every minute.
//!
//! ```text
//! cargo run --example agent -- --url https://… --api-key …
//! ```
//!
//! A model for agents in other languages. What matters on the wire is in [`send`]: each heartbeat has one
//! `Idempotency-Key`, which all its tries share; 429, 502, 503, 504 and a failed connection are tried
//! again, no sooner than `Retry-After` says; any other refusal is final.

use clap::Parser;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};
use sysinfo::{Disks, MINIMUM_CPU_UPDATE_INTERVAL, Networks, System};

/// Sends this machine's metrics to a heartbeat endpoint.
#[derive(Parser)]
struct Arguments {
    /// The endpoint, up to and including /api/v1/agents/heartbeat.
    #[arg(long, env = "HEARTBEAT_URL")]
    url: String,
    /// The API key.
    #[arg(long, env = "HEARTBEAT_API_KEY", hide_env_values = true)]
    api_key: String,
    /// The server's name. Default: the host name, made valid.
    #[arg(long)]
    server_id: Option<String>,
    /// Seconds between two heartbeats.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Send one heartbeat and stop.
    #[arg(long)]
    once: bool,
}

const TRIES: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Ceiling of the random pause before the second try; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT));
    let http = config.build().new_agent();
    loop {
        let started = Instant::now();
        let sent = heartbeat(arguments.server_id.as_deref())
            .map_err(|error| format!("this machine cannot be read: {error}"))
            .and_then(|heartbeat| send(&http, &arguments, &heartbeat));
        match &sent {
            Ok(answer) => println!("{answer}"),
            Err(reason) => eprintln!("heartbeat not sent: {reason}"),
        }
        if arguments.once {
            return if sent.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        sleep(Duration::from_secs(arguments.interval).saturating_sub(started.elapsed()));
    }
}

/// Sends one heartbeat, several times if need be; returns the answer or what went wrong, in a line.
fn send(http: &ureq::Agent, arguments: &Arguments, heartbeat: &Value) -> Result<String, String> {
    let idempotency_key = format!("{:032x}", fastrand::u128(..));
    for retry in 1.. {
        let request = http
            .post(&arguments.url)
            .header("X-API-Key", &arguments.api_key)
            .header("Idempotency-Key", &idempotency_key);
        let (reason, retry_after) = match request.send_json(heartbeat) {
            Ok(mut response) => {
                let status = response.status().as_u16();
                let retry_after = response
                    .headers()
                    .get("retry-after")
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                let answer = response.body_mut().read_to_string().unwrap_or_default();
                match status {
                    200 => return Ok(answer),
                    429 | 502 | 503 | 504 => {
                        (format!("{status} {answer}"), retry_after.unwrap_or(0))
                    }
                    _ => return Err(format!("{status} {answer}")),
                }
            }
            Err(error) => (error.to_string(), 0),
        };
        if retry == TRIES {
            return Err(format!("{reason}, after {TRIES} tries"));
        }
        let jitter = BACKOFF.mul_f64(fastrand::f64() * f64::from(1 << retry) / 2.0);
        sleep(Duration::from_secs(retry_after) + jitter);
    }
    unreachable!("the last try returns")
}

/// Reads this machine.
fn heartbeat(server_id: Option<&str>) -> Result<Value, sysinfo::Error> {
    const MIB: u64 = 1 << 20;
    const GIB: f64 = (1 << 30) as f64;

    let mut system = System::new()?;
    system.refresh_memory();
    system.refresh_cpu_usage();
    sleep(MINIMUM_CPU_UPDATE_INTERVAL); // CPU in use is the difference between two readings.
    system.refresh_cpu_usage();

    let disks = Disks::new_with_refreshed_list()?;
    let disk = disks
        .iter()
        .max_by_key(|disk| (disk.mount_point() == "/", disk.total_space()));
    let (disk_total, disk_free) =
        disk.map_or((0, 0), |disk| (disk.total_space(), disk.available_space()));
    let disk_used = disk_total.saturating_sub(disk_free);
    let networks = Networks::new_with_refreshed_list()?;
    let outside = || {
        networks
            .iter()
            .filter(|(name, _)| *name != "lo")
            .map(|(_, network)| network)
    };
    let load = System::load_average()?;
    let hostname = System::host_name()?;

    Ok(json!({
        "server_id": server_id.map_or_else(|| valid_id(&hostname), str::to_owned),
        "hostname": hostname,
        "timestamp": chrono::Utc::now().to_rfc3339(),
        "os_info": {
            "distribution": System::name().ok(),
            "version": System::os_version().ok(),
            "kernel": System::kernel_version().ok(),
            "architecture": System::cpu_arch(),
        },
        "metrics": {
            "cpu_percent": tenths(system.global_cpu_usage().into()),
            "memory_percent": share(system.used_memory(), system.total_memory()),
            "memory_total_mb": system.total_memory() / MIB,
            "memory_used_mb": system.used_memory() / MIB,
            "disk_percent": share(disk_used, disk_total),
            "disk_total_gb": tenths(disk_total as f64 / GIB),
            "disk_used_gb": tenths(disk_used as f64 / GIB),
            "network_rx_bytes": outside().map(|network| network.total_received()).sum::<u64>(),
            "network_tx_bytes": outside().map(|network| network.total_transmitted()).sum::<u64>(),
            "load_1m": load.one,
            "load_5m": load.five,
            "load_15m": load.fifteen,
            "uptime_seconds": System::uptime()?,
        },
    }))
}

/// A host name as a `server_id`: what does not fit becomes a dash.
fn valid_id(hostname: &str) -> String {
    let fitting = |character: char| match character.to_ascii_lowercase() {
        fit @ ('a'..='z' | '0'..='9') => fit,
        _ => '-',
    };
    let id: String = hostname.chars().map(fitting).take(100).collect();
    if id.is_empty() { "unnamed".into() } else { id }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| tenths(part as f64 / whole as f64 * 100.0))
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
