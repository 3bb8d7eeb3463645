//! The agent: reads this machine's metrics and sends a heartbeat every minute.
//!
//! It is a model for agents in other languages. What matters on the wire is in [`Sender::send`]: each
//! heartbeat has one `Idempotency-Key`, which all its attempts share; 429, every 5xx and a failed connection
//! are retried until the next heartbeat is due, no sooner than `Retry-After` says; any other rejection is
//! final. A redirect is a rejection, too: the key goes to the given URL only.

use crate::aws::Aws;
use crate::stop;
use crate::target::{Target, URL};
use crate::terminal::{print, printable};
use anyhow::{Context, anyhow, bail, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use sysinfo::{Disks, MINIMUM_CPU_UPDATE_INTERVAL, Networks, System};
use tables::ServerId;
use ureq::http::{HeaderMap, HeaderValue, Uri};

/// Send this machine's metrics to the endpoint, every minute.
///
/// The key comes from a file, from HEARTBEAT_API_KEY, or from the systemd credential `api-key`; never from the
/// command line, where every user of the machine could read it. The file of --api-key-file is read again for
/// each heartbeat, so a new key in it needs no restart.
#[derive(Args)]
#[command(after_help = "\
Example:
  heartbeatctl agent --url https://…/api/v1/agents/heartbeat --api-key-file /etc/heartbeat/api-key

As a service: cli/heartbeat-agent.service.")]
pub struct Agent {
    /// The file that holds the API key.
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// The server's id. Default: the host name, with invalid characters replaced by dashes.
    #[arg(long, env = "HEARTBEAT_SERVER_ID")]
    server_id: Option<ServerId>,
    /// Seconds between two heartbeats.
    #[arg(
        long,
        env = "HEARTBEAT_INTERVAL",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    interval: u64,
    /// Send one heartbeat, print the answer, and stop.
    #[arg(long)]
    once: bool,
}

/// The time limit of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The upper bound of the random pause before the first retry. It doubles with each retry, up to
/// [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// How much of an answer is read, bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// How much of an answer is shown, characters.
const SHOWN_ANSWER: usize = 200;

impl Agent {
    /// Sends heartbeats until it is told to stop.
    ///
    /// # Errors
    /// If URL or key are missing or invalid, or the only heartbeat was not sent.
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let url = parse_url(&Aws::new(target).name(&URL).await?)?;
        self.api_key()?;
        tokio::select! {
            sent = self.send_all(&url) => sent,
            stopped = stop::requested() => {
                stopped?;
                ensure!(!self.once, "heartbeat not sent: interrupted");
                Ok(())
            }
        }
    }

    async fn send_all(&self, url: &Uri) -> anyhow::Result<()> {
        let interval = Duration::from_secs(self.interval);
        let http = http_agent(interval);
        if !self.once {
            // Agents that start together must not all send in the same second.
            tokio::time::sleep(interval.mul_f64(fastrand::f64())).await;
        }
        loop {
            let started = Instant::now();
            let sent = self.send(&http, url, started + interval).await;
            let sent = sent.context("heartbeat not sent");
            if self.once {
                return Ok(print(&sent?)?);
            }
            if let Err(error) = sent {
                eprintln!("{error:#}");
            }
            tokio::time::sleep(interval.saturating_sub(started.elapsed())).await;
        }
    }

    /// Sends one heartbeat before a deadline; returns the answer.
    async fn send(
        &self,
        http: &ureq::Agent,
        url: &Uri,
        deadline: Instant,
    ) -> anyhow::Result<String> {
        let sender = Sender {
            http: http.clone(),
            url: url.clone(),
            api_key: self.api_key()?,
            deadline,
        };
        let server_id = self.server_id.clone();
        let sent = tokio::task::spawn_blocking(move || {
            let heartbeat = read_machine(server_id);
            sender.send(&heartbeat.context("the metrics of this machine cannot be read")?)
        });
        sent.await?
    }

    /// The key from the given file, from the environment or from the systemd credential, in this order.
    fn api_key(&self) -> anyhow::Result<HeaderValue> {
        let read = |file: &Path| {
            fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
        };
        let variable = env::var("HEARTBEAT_API_KEY").ok();
        let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let credential = credentials.map(|folder| folder.join("api-key"));
        let key = match (&self.api_key_file, variable, credential) {
            (Some(file), _, _) => read(file)?,
            (None, Some(key), _) => key,
            (None, None, Some(file)) if file.exists() => read(&file)?,
            (None, None, _) => bail!(
                "no API key: pass --api-key-file, set HEARTBEAT_API_KEY, or load the systemd credential api-key"
            ),
        };
        let key = key.trim();
        ensure!(!key.is_empty(), "the API key is empty");
        let key = HeaderValue::from_str(key);
        key.map_err(|_| anyhow!("the API key contains characters that no key has"))
    }
}

fn parse_url(text: &str) -> anyhow::Result<Uri> {
    let url = text.parse().ok().filter(|url: &Uri| {
        let has_host = url.host().is_some_and(|host| !host.is_empty());
        has_host && matches!(url.scheme_str(), Some("http" | "https"))
    });
    url.ok_or_else(|| anyhow!("{text:?} is not an http or https URL"))
}

/// An HTTP client that keeps its connection from one heartbeat to the next and never follows a redirect.
fn http_agent(interval: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_age(interval + TIMEOUT);
    config.build().new_agent()
}

struct Sender {
    http: ureq::Agent,
    url: Uri,
    api_key: HeaderValue,
    /// When the next heartbeat is due, and this one is given up.
    deadline: Instant,
}

/// Why an attempt failed.
enum Failure {
    /// A later attempt may succeed. Holds the reason and `Retry-After` (0 if there was none).
    Transient(String, Duration),
    Permanent(String),
}

impl Sender {
    /// Sends one heartbeat, with retries; returns the answer as it may be shown.
    fn send(&self, heartbeat: &Value) -> anyhow::Result<String> {
        let idempotency_key = format!("{:032x}", fastrand::u128(..));
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (reason, retry_after) = match self.attempt(&idempotency_key, heartbeat) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Permanent(reason)) => bail!(reason),
                Err(Failure::Transient(reason, retry_after)) => (reason, retry_after),
            };
            let backoff = BACKOFF.saturating_mul(2_u32.saturating_pow(attempts - 1));
            let jitter = backoff.min(MAX_BACKOFF).mul_f64(fastrand::f64());
            let pause = retry_after.saturating_add(jitter);
            if pause >= self.left() {
                let plural = if attempts == 1 { "" } else { "s" };
                bail!("{reason}, after {attempts} attempt{plural}");
            }
            thread::sleep(pause);
        }
    }

    fn attempt(&self, idempotency_key: &str, heartbeat: &Value) -> Result<String, Failure> {
        let request = self
            .http
            .post(self.url.clone())
            .config()
            .timeout_global(Some(self.left().min(TIMEOUT)))
            .build()
            .header("X-API-Key", self.api_key.clone())
            .header("Idempotency-Key", idempotency_key);
        let mut response = request
            .send_json(heartbeat)
            .map_err(|error| Failure::Transient(error.to_string(), Duration::ZERO))?;
        let mut body = Vec::new();
        // A body that is cut off is shown as far as it goes.
        let _ = response
            .body_mut()
            .as_reader()
            .take(MAX_ANSWER)
            .read_to_end(&mut body);
        let status = response.status().as_u16();
        let shown = shown(&String::from_utf8_lossy(&body));
        let reason = format!("{status} {shown}").trim_end().to_owned();
        let retry_after = || retry_after(response.headers(), Utc::now()).unwrap_or_default();
        match status {
            200 if is_from_endpoint(&body) => Ok(shown),
            // A captive portal's answer, for example. It goes away.
            200 | 429 | 500.. => Err(Failure::Transient(reason, retry_after())),
            _ => Err(Failure::Permanent(reason)),
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The endpoint answers in JSON.
fn is_from_endpoint(body: &[u8]) -> bool {
    body.is_empty() || serde_json::from_slice::<Value>(body).is_ok()
}

/// The beginning of an answer, without what a terminal would execute.
fn shown(answer: &str) -> String {
    let beginning: String = answer.trim().chars().take(SHOWN_ANSWER).collect();
    printable(&beginning)
}

/// How long to wait before the next attempt: `Retry-After` is a number of seconds or a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    (date.to_utc() - now).to_std().ok()
}

/// Reads this machine's metrics.
fn read_machine(server_id: Option<ServerId>) -> Result<Value, sysinfo::Error> {
    const MIB: u64 = 1 << 20;
    const GIB: f64 = (1 << 30) as f64;

    let mut system = System::new()?;
    system.refresh_memory();
    system.refresh_cpu_usage();
    thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL); // CPU in use is the difference between two readings.
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
        "server_id": server_id.unwrap_or_else(|| ServerId::from_hostname(&hostname)).as_str(),
        "hostname": hostname,
        "timestamp": tables::time::format(Utc::now()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now = "2026-01-18T10:30:00Z".parse().expect("a time");
        for (value, expected) in [
            ("0", Some(Duration::ZERO)),
            ("7", Some(Duration::from_secs(7))),
            ("18446744073709551615", Some(Duration::from_secs(u64::MAX))),
            ("18446744073709551616", Some(Duration::MAX)),
            (
                "Sun, 18 Jan 2026 10:30:20 GMT",
                Some(Duration::from_secs(20)),
            ),
            ("Sun, 18 Jan 2026 10:29:00 GMT", None),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(ureq::http::header::RETRY_AFTER, value)]);
            assert_eq!(retry_after(&headers, now), expected, "{headers:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_connection_outlives_the_interval() {
        for seconds in [1, 60, 86_400] {
            let interval = Duration::from_secs(seconds);
            assert!(http_agent(interval).config().max_idle_age() > interval);
        }
    }
}
