//! The process of a function, from start to end.

use crate::dynamodb::{DynamoDb, Identity};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use dev::runtime_api::RuntimeApi;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tables::metric::Place;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The password of the page, and how a browser sends it.
const PAGE_PASSWORD: &str = "abcde-fghij-kmnpq-rstuv";
pub const PAGE_AUTHORIZATION: &str = "Basic OmFiY2RlLWZnaGlqLWttbnBxLXJzdHV2";

/// The event and the files that all functions share.
pub struct Setup {
    event: Bytes,
    api_key_sha256: String,
    identity: Identity,
    files: TempDir,
}

impl Setup {
    const CA_BUNDLE: &str = "ca-bundle.pem";
    const TRUST_STORE: &str = "trust-store.pem";

    /// Reads the event, and writes two trust stores. As in production, they contain many certificates: Amazon's roots or
    /// the system's trust store, and that of the stub's authority.
    pub fn new(root: &Path) -> Result<Self> {
        let event = fs::read(root.join("events/every-field.json"))?;
        let json = as_of_old(serde_json::from_slice(&event)?)?;
        let api_key = json["headers"]["x-api-key"].as_str().context("no key in the event")?;
        let identity = Identity::new()?;
        let files = tempfile::tempdir()?;
        let system = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        let amazon = fs::read_to_string(root.join("src/aws/amazon-roots.pem"))?;
        for (name, others) in [(Self::CA_BUNDLE, amazon), (Self::TRUST_STORE, system)] {
            fs::write(files.path().join(name), others + &identity.authority)?;
        }
        Ok(Self {
            event: json.to_string().into(),
            api_key_sha256: sha256(api_key),
            identity,
            files,
        })
    }

    /// The event with another key, or with its own. Both are serialised in the same way, so that parsing them takes the
    /// same time.
    pub fn event_with(&self, key: Option<String>) -> Result<Bytes> {
        let mut event: Value = serde_json::from_slice(&self.event)?;
        if let Some(key) = key {
            event["headers"]["x-api-key"] = key.into();
        }
        Ok(event.to_string().into())
    }

    /// The path of a shared file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

fn sha256(secret: &str) -> String {
    let digest = Sha256::digest(secret);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The event without the fields that came after the budgets were first recorded, so that builds stay comparable.
fn as_of_old(mut event: Value) -> Result<Value> {
    let mut body: Value = serde_json::from_str(event["body"].as_str().context("no body")?)?;
    for metric in tables::METRICS.iter().filter(|metric| metric.place != Place::Seed) {
        let object = match metric.place {
            Place::Body => &mut body,
            Place::Seed | Place::Metrics => &mut body["metrics"],
        };
        object.as_object_mut().context("not an object")?.remove(metric.name);
    }
    body.as_object_mut().context("not an object")?.remove("boot_id");
    event["body"] = body.to_string().into();
    Ok(event)
}

/// A running function that is waiting for an event.
pub struct Function {
    /// Spawn → the first `next`.
    pub init: Duration,
    event: Bytes,
    child: Child,
    runtime_api: RuntimeApi,
    dynamodb: DynamoDb,
}

impl Function {
    /// Starts a program in an environment like Lambda's, with what its command sets, and waits until it requests an event.
    pub async fn start(setup: &Setup, mut command: Command) -> Result<Self> {
        let runtime_api = RuntimeApi::start().await?;
        let dynamodb = DynamoDb::start(&setup.identity).await?;
        let own = command.as_std().get_envs();
        let own: Vec<_> =
            own.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        command
            .env_clear()
            .envs(own)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_NAME", "heartbeat")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/heartbeat")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "0")
            .env("AWS_LAMBDA_RUNTIME_API", &runtime_api.address)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
            // As long as a real one, because every signature hashes it.
            .env("AWS_SESSION_TOKEN", "x".repeat(700))
            .env("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb.url)
            .env("AWS_ENDPOINT_URL_SNS", &dynamodb.url)
            .env("AWS_CA_BUNDLE", setup.file(Setup::CA_BUNDLE))
            .env("SSL_CERT_FILE", setup.file(Setup::TRUST_STORE))
            // Under callgrind on a busy machine, everything takes a hundred times as long.
            .env("CONNECT_TIMEOUT_MS", "60000")
            .env("ATTEMPT_TIMEOUT_MS", "60000")
            .env("OPERATION_TIMEOUT_MS", "120000")
            .env("API_KEY_SHA256", &setup.api_key_sha256)
            .env("SERVERS_TABLE", "servers")
            .env("METRICS_TABLE", "metrics")
            .env("KEYS_TABLE", "keys")
            .env("PAGE_PASSWORD_SHA256", sha256(PAGE_PASSWORD))
            .env("ALERT_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:alerts")
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true);
        let start = Instant::now();
        let child =
            command.spawn().with_context(|| format!("{:?}", command.as_std().get_program()))?;
        let next = with_timeout(runtime_api.next()).await?;
        Ok(Self { init: next - start, event: setup.event.clone(), child, runtime_api, dynamodb })
    }

    /// Sends one heartbeat, and waits for the request for the next event. Returns the time from event to response.
    pub async fn invoke(&mut self) -> Result<Duration> {
        self.invoke_with(self.event.clone()).await
    }

    /// Like [`invoke`](Self::invoke), with another event.
    pub async fn invoke_with(&mut self, event: Bytes) -> Result<Duration> {
        Ok(self.request(event).await?.0)
    }

    /// Sends a request, and returns the response's body, too.
    pub async fn request(&mut self, event: Bytes) -> Result<(Duration, String)> {
        let (time, status, body) = self.response(event).await?;
        ensure!(status == 200, "{status}: {body}");
        Ok((time, body))
    }

    /// The same with the response's status, whatever that is.
    pub async fn response(&mut self, event: Bytes) -> Result<(Duration, u64, String)> {
        let (time, response) = self.call(event).await?;
        let status = response["statusCode"].as_u64().unwrap_or_default();
        let body = response["body"].as_str().unwrap_or_default();
        Ok((time, status, body.to_owned()))
    }

    /// Runs one sweep of the watchdog over the fleet in DynamoDB, within a deadline.
    pub async fn sweep(&mut self, time: &str, deadline: SystemTime) -> Result<Duration> {
        self.runtime_api.set_deadline(deadline);
        let (time, body) = self.call(json!({ "time": time }).to_string()).await?;
        ensure!(body.is_null(), "{body}");
        Ok(time)
    }

    async fn call(&mut self, event: impl Into<Bytes>) -> Result<(Duration, Value)> {
        let start = Instant::now();
        let response = with_timeout(self.runtime_api.invoke(event)).await?;
        with_timeout(self.runtime_api.next()).await?;
        Ok((response.at - start, serde_json::from_slice(&response.body)?))
    }

    /// Fills the servers table.
    pub fn fill(&self, pages: Vec<Bytes>) {
        self.dynamodb.fill(pages);
    }

    /// Lets each page of a scan take so long.
    pub fn delay_pages(&self, time: Duration) {
        self.dynamodb.delay_pages(time);
    }

    /// The servers have their days, but for the last.
    pub fn add_days(&self) {
        self.dynamodb.add_days();
    }

    /// What the last scan of the servers table read of each item, as an expression.
    pub fn projection(&self) -> Option<String> {
        self.dynamodb.projection()
    }

    /// TLS handshakes so far.
    pub fn handshakes(&self) -> usize {
        self.dynamodb.handshakes()
    }

    /// Calls to DynamoDB so far, including the warm-up's.
    pub fn calls(&self) -> usize {
        self.dynamodb.calls()
    }

    /// The id of the process.
    pub fn id(&self) -> Result<u32> {
        self.child.id().context("the function has ended")
    }

    /// CPU time so far, of all threads that still exist.
    pub fn cpu_time(&self) -> Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()?))? {
            let times = fs::read_to_string(task?.path().join("schedstat"))?;
            let running = times.split_whitespace().next().context("schedstat is empty")?;
            nanos += running.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Peak resident memory, bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).context("no VmHWM")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Ends the process, as Lambda does.
    pub async fn stop(mut self) -> Result<()> {
        let id = Pid::from_raw(self.id()?.try_into()?).context("no process")?;
        kill_process(id, Signal::TERM)?;
        let status = self.child.wait().await?;
        ensure!(!status.success(), "the function ended on its own");
        Ok(())
    }
}

/// Waits for the function, for longer than any step takes, even under callgrind.
async fn with_timeout<T>(step: impl Future<Output = Option<T>>) -> Result<T> {
    let step = tokio::time::timeout(Duration::from_secs(120), step).await;
    step.context("the function does not respond")?.context("the Runtime API is down")
}
