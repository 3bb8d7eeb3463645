//! A real agent: reads this machine and sends a heartbeat every minute.
//!
//! It is a model for agents in other languages. What matters on the wire is in [`Sender::send`]: each
//! heartbeat has one `Idempotency-Key`, which all its attempts share; 429, every 5xx and a failed connection
//! are retried within the interval, no sooner than `Retry-After` says; any other rejection is final.

use crate::aws::Aws;
use crate::{Place, print, server_id};
use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sysinfo::{Disks, MINIMUM_CPU_UPDATE_INTERVAL, Networks, System};
use tokio::signal::unix::{SignalKind, signal};

/// Send this machine's metrics to the endpoint, every minute.
///
/// The key comes from a file, from the systemd credential `api-key`, or from HEARTBEAT_API_KEY; never from the
/// command line, where every user of the machine could read it. It is read again for each heartbeat, so a new
/// key needs no restart.
#[derive(Args)]
#[command(after_help = "\
Example:
  heartbeatctl agent --url https://…/api/v1/agents/heartbeat --api-key-file /etc/heartbeat/api-key

As a service: cli/heartbeat-agent.service.")]
pub struct Agent {
    /// The file that holds the API key.
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// The server's id. Default: the host name, made valid.
    #[arg(long, value_parser = server_id::parse)]
    server_id: Option<String>,
    /// Seconds between two heartbeats.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Send one heartbeat and stop.
    #[arg(long)]
    once: bool,
}

const MAX_ATTEMPTS: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The upper bound of the random pause before the first retry. It doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(1);

impl Agent {
    /// Sends heartbeats until it is told to stop.
    pub async fn run(self, place: &Place) -> anyhow::Result<()> {
        let url = match &place.url {
            Some(url) => url.clone(),
            None => Aws::new(place).await.url().await?,
        };
        self.api_key()?;
        let mut stop = signal(SignalKind::terminate())?;
        tokio::select! {
            sent = self.send_all(&url) => sent,
            _ = stop.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        }
    }

    async fn send_all(self, url: &str) -> anyhow::Result<()> {
        let interval = Duration::from_secs(self.interval);
        if !self.once {
            // A fleet that is started at once does not send in the same second.
            tokio::time::sleep(interval.mul_f64(fastrand::f64())).await;
        }
        loop {
            let started = Instant::now();
            match self.send(url, started + interval).await {
                Ok(answer) => print(&answer)?,
                Err(reason) if self.once => bail!("heartbeat not sent: {reason:#}"),
                Err(reason) => eprintln!("heartbeat not sent: {reason:#}"),
            }
            if self.once {
                return Ok(());
            }
            tokio::time::sleep(interval.saturating_sub(started.elapsed())).await;
        }
    }

    /// Sends one heartbeat before a deadline; returns the answer.
    async fn send(&self, url: &str, deadline: Instant) -> anyhow::Result<String> {
        let sender = Sender {
            url: url.to_owned(),
            api_key: self.api_key()?,
            deadline,
        };
        let server_id = self.server_id.clone();
        let sent = tokio::task::spawn_blocking(move || {
            let heartbeat = heartbeat(server_id.as_deref());
            sender.send(&heartbeat.context("this machine cannot be read")?)
        });
        sent.await?
    }

    fn api_key(&self) -> anyhow::Result<String> {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY");
        let credential = credential.map(|folder| Path::new(&folder).join("api-key"));
        let credential = credential.filter(|file| file.exists());
        let variable = std::env::var("HEARTBEAT_API_KEY").ok();
        let file = match &self.api_key_file {
            Some(file) => Some(file.clone()),
            None => credential.filter(|_| variable.is_none()),
        };
        let key = match (file, variable) {
            (Some(file), _) => std::fs::read_to_string(&file)
                .with_context(|| format!("{} cannot be read", file.display()))?,
            (None, Some(key)) => key,
            (None, None) => bail!(
                "no API key: pass --api-key-file, set HEARTBEAT_API_KEY, or load the systemd credential api-key"
            ),
        };
        let key = key.trim();
        anyhow::ensure!(!key.is_empty(), "the API key is empty");
        Ok(key.to_owned())
    }
}

struct Sender {
    url: String,
    api_key: String,
    /// When the next heartbeat is due, and this one is given up.
    deadline: Instant,
}

/// Why an attempt failed.
enum Failure {
    /// A later attempt may succeed, after so many seconds.
    Transient(String, u64),
    Permanent(String),
}

impl Sender {
    /// Sends one heartbeat, in several attempts if need be; returns the answer.
    fn send(&self, heartbeat: &Value) -> anyhow::Result<String> {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let http = config.build().new_agent();
        let idempotency_key = format!("{:032x}", fastrand::u128(..));
        for attempt in 1.. {
            let (reason, retry_after) = match self.attempt(&http, &idempotency_key, heartbeat) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Permanent(reason)) => bail!(reason),
                Err(Failure::Transient(reason, retry_after)) => (reason, retry_after),
            };
            let jitter = BACKOFF.mul_f64(fastrand::f64() * f64::from(1 << attempt) / 2.0);
            let pause = Duration::from_secs(retry_after) + jitter;
            if attempt == MAX_ATTEMPTS || Instant::now() + pause >= self.deadline {
                let plural = if attempt == 1 { "" } else { "s" };
                bail!("{reason}, after {attempt} attempt{plural}");
            }
            std::thread::sleep(pause);
        }
        Err(anyhow!("no attempt was made"))
    }

    fn attempt(
        &self,
        http: &ureq::Agent,
        idempotency_key: &str,
        heartbeat: &Value,
    ) -> Result<String, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let request = http
            .post(&self.url)
            .config()
            .timeout_global(Some(left.min(TIMEOUT)))
            .build()
            .header("X-API-Key", &self.api_key)
            .header("Idempotency-Key", idempotency_key);
        let mut response = request
            .send_json(heartbeat)
            .map_err(|error| Failure::Transient(error.to_string(), 0))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let answer = response.body_mut().read_to_string().unwrap_or_default();
        match status {
            200 => Ok(answer),
            429 | 500.. => Err(Failure::Transient(
                format!("{status} {answer}"),
                retry_after.unwrap_or(0),
            )),
            _ => Err(Failure::Permanent(format!("{status} {answer}"))),
        }
    }
}

/// Reads this machine.
fn heartbeat(server_id: Option<&str>) -> Result<Value, sysinfo::Error> {
    const MIB: u64 = 1 << 20;
    const GIB: f64 = (1 << 30) as f64;

    let mut system = System::new()?;
    system.refresh_memory();
    system.refresh_cpu_usage();
    std::thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL); // CPU in use is the difference between two readings.
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
        "server_id": server_id.map_or_else(|| server_id::from_hostname(&hostname), str::to_owned),
        "hostname": hostname,
        "timestamp": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
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

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| tenths(part as f64 / whole as f64 * 100.0))
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
