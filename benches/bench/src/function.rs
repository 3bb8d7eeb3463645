//! A function's process, from its start to its end.

use crate::dynamodb::{DynamoDb, Identity};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use dev::runtime_api::RuntimeApi;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Everything that the functions have in common.
pub struct Stage {
    event: Bytes,
    api_key_sha256: String,
    identity: Identity,
    files: TempDir,
}

impl Stage {
    const CA_BUNDLE: &str = "ca-bundle.pem";
    const TRUST_STORE: &str = "trust-store.pem";

    /// Sets the stage below the repository's root: the event, and whom the functions trust. That is the
    /// stub, among as many others as in production: Amazon's roots, or the system's trust store.
    pub fn new(root: &Path) -> Result<Self> {
        let event = fs::read(root.join("events/heartbeat.json"))?;
        let json: Value = serde_json::from_slice(&event)?;
        let api_key = json["headers"]["x-api-key"]
            .as_str()
            .context("no key in the event")?;
        let digest = Sha256::digest(api_key);
        let identity = Identity::new()?;
        let files = tempfile::tempdir()?;
        let system = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        let amazon = fs::read_to_string(root.join("src/client/amazon-roots.pem"))?;
        for (name, others) in [(Self::CA_BUNDLE, amazon), (Self::TRUST_STORE, system)] {
            fs::write(files.path().join(name), others + &identity.authority)?;
        }
        Ok(Self {
            event: event.into(),
            api_key_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            identity,
            files,
        })
    }

    /// The event with another key, or with its own. Written in the same way, so that both cost the same to read.
    pub fn event_with(&self, key: Option<String>) -> Result<Bytes> {
        let mut event: Value = serde_json::from_slice(&self.event)?;
        if let Some(key) = key {
            event["headers"]["x-api-key"] = key.into();
        }
        Ok(event.to_string().into())
    }

    /// A file of the stage.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

/// A running function that waits for an event.
pub struct Function {
    /// Spawn → the first `next`.
    pub init: Duration,
    event: Bytes,
    child: Child,
    runtime_api: RuntimeApi,
    dynamodb: DynamoDb,
}

impl Function {
    /// Starts a program, in an environment as Lambda makes it, and waits until it asks for an event.
    pub async fn start(stage: &Stage, mut command: Command) -> Result<Self> {
        let runtime_api = RuntimeApi::start().await?;
        let dynamodb = DynamoDb::start(&stage.identity).await?;
        command
            .env_clear()
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_NAME", "heartbeat")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/heartbeat")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "0")
            .env("AWS_LAMBDA_RUNTIME_API", &runtime_api.address)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE")
            .env(
                "AWS_SECRET_ACCESS_KEY",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            )
            // As long as the real ones are: it is hashed with every signature.
            .env("AWS_SESSION_TOKEN", "x".repeat(700))
            .env("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb.url)
            .env("AWS_ENDPOINT_URL_SNS", &dynamodb.url)
            .env("AWS_CA_BUNDLE", stage.file(Stage::CA_BUNDLE))
            .env("SSL_CERT_FILE", stage.file(Stage::TRUST_STORE))
            // Under callgrind on a busy machine, everything takes a hundred times as long.
            .env("CONNECT_TIMEOUT_MS", "60000")
            .env("ATTEMPT_TIMEOUT_MS", "60000")
            .env("OPERATION_TIMEOUT_MS", "120000")
            .env("API_KEY_SHA256", &stage.api_key_sha256)
            .env("SERVERS_TABLE", "servers")
            .env("METRICS_TABLE", "metrics")
            .env("KEYS_TABLE", "keys")
            .env("ALERT_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:alerts")
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true);
        let start = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{:?}", command.as_std().get_program()))?;
        let next = within_patience(runtime_api.next()).await?;
        Ok(Self {
            init: next - start,
            event: stage.event.clone(),
            child,
            runtime_api,
            dynamodb,
        })
    }

    /// One heartbeat: event → answer. Returns when the function waits for the next event.
    pub async fn invoke(&mut self) -> Result<Duration> {
        self.invoke_with(self.event.clone()).await
    }

    /// The same with another event.
    pub async fn invoke_with(&mut self, event: Bytes) -> Result<Duration> {
        let (time, body) = self.answer(event).await?;
        ensure!(body["statusCode"] == 200, "{body}");
        Ok(time)
    }

    /// One sweep of the watchdog over the fleet that DynamoDB holds.
    pub async fn sweep(&mut self, time: &str) -> Result<Duration> {
        let (time, body) = self.answer(json!({ "time": time }).to_string()).await?;
        ensure!(body.is_null(), "{body}");
        Ok(time)
    }

    async fn answer(&mut self, event: impl Into<Bytes>) -> Result<(Duration, Value)> {
        let start = Instant::now();
        let answer = within_patience(self.runtime_api.invoke(event)).await?;
        within_patience(self.runtime_api.next()).await?;
        Ok((answer.at - start, serde_json::from_slice(&answer.body)?))
    }

    /// Fills the servers table.
    pub fn hold(&self, pages: Vec<Bytes>) {
        self.dynamodb.hold(pages);
    }

    /// TLS handshakes so far.
    pub fn handshakes(&self) -> usize {
        self.dynamodb.handshakes()
    }

    /// Calls to DynamoDB so far, the warm-up's among them.
    pub fn calls(&self) -> usize {
        self.dynamodb.calls()
    }

    /// The process.
    pub fn id(&self) -> Result<u32> {
        self.child.id().context("the function has ended")
    }

    /// CPU time so far, of all threads that are still there.
    pub fn cpu_time(&self) -> Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()?))? {
            let times = fs::read_to_string(task?.path().join("schedstat"))?;
            let running = times
                .split_whitespace()
                .next()
                .context("schedstat is empty")?;
            nanos += running.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// The most memory that was ever resident, bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak
            .and_then(|peak| peak.trim().strip_suffix(" kB"))
            .context("no VmHWM")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Ends the process, as Lambda does.
    pub async fn stop(mut self) -> Result<()> {
        let id = Pid::from_raw(self.id()?.try_into()?).context("no process")?;
        kill_process(id, Signal::TERM)?;
        let status = self.child.wait().await?;
        ensure!(!status.success(), "the function ended by itself");
        Ok(())
    }
}

/// Waits for the function, longer than anything takes, under callgrind too.
async fn within_patience<T>(step: impl Future<Output = Option<T>>) -> Result<T> {
    let step = tokio::time::timeout(Duration::from_secs(120), step).await;
    step.context("the function is silent")?
        .context("the Runtime API is down")
}
