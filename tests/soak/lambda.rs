//! Lambda: the Runtime API, processes of the function that ask it for work, and a gateway in front.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

/// Lambda's own timeout, as in `template.yaml`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the processes log, until they end.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

pub struct Lambda {
    gateway: Gateway,
    processes: Vec<Child>,
    logs: Vec<String>,
}

struct Invocation {
    id: String,
    event: String,
}

/// What the Runtime API knows.
struct Runtime {
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Value>>>,
}

impl Lambda {
    /// Starts processes of the function, with these settings and nothing else in their environment.
    pub async fn start(processes: usize, settings: &HashMap<&'static str, String>) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        let runtime = Arc::new(Runtime {
            waiting: tokio::sync::Mutex::new(waiting),
            running: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let api = listener.local_addr().unwrap().to_string();
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(respond),
            )
            .fallback(unexpected)
            .with_state(runtime.clone());
        tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });

        let logs: Vec<_> = (0..processes)
            .map(|number| format!("{FOLDER}/soak-{}-{number}.log", std::process::id()))
            .collect();
        let process = |log: &String| {
            let log = File::create(log).unwrap();
            Command::new(env!("CARGO_BIN_EXE_heartbeat"))
                .env_clear()
                .envs(settings)
                .env("AWS_LAMBDA_RUNTIME_API", &api)
                .env("AWS_LAMBDA_FUNCTION_NAME", "heartbeat")
                .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
                .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
                .env("AWS_LAMBDA_LOG_LEVEL", "DEBUG")
                .stderr(Stdio::from(log.try_clone().unwrap()))
                .stdout(log)
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        };
        Self {
            gateway: Gateway { queue, runtime },
            processes: logs.iter().map(process).collect(),
            logs,
        }
    }

    pub fn gateway(&self) -> Gateway {
        self.gateway.clone()
    }

    /// Resident memory of each process that lives, KiB.
    pub fn memory(&self) -> Vec<u64> {
        let resident = |process: &Child| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()?)).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        self.processes.iter().filter_map(resident).collect()
    }

    /// Ends the processes; returns what they logged.
    pub async fn stop(mut self) -> String {
        for process in &mut self.processes {
            process.kill().await.unwrap();
        }
        let read_and_remove = |path: &String| {
            let log = std::fs::read_to_string(path).unwrap();
            std::fs::remove_file(path).unwrap();
            log
        };
        self.logs.iter().map(read_and_remove).collect()
    }
}

/// The way in for agents.
#[derive(Clone)]
pub struct Gateway {
    queue: mpsc::UnboundedSender<Invocation>,
    runtime: Arc<Runtime>,
}

impl Gateway {
    /// Invokes the function; the status and the body of its answer. One answer in a hundred is lost on its
    /// way, and one that takes 30 s is given up.
    pub async fn send(&self, event: &str) -> Option<(u64, Value)> {
        static SENT: AtomicU64 = AtomicU64::new(0);
        let id = format!("request-{}", SENT.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.runtime
            .running
            .lock()
            .unwrap()
            .insert(id.clone(), answer);
        let event = event.to_owned();
        self.queue.send(Invocation { id, event }).ok()?;
        let patience = Duration::from_secs(30);
        let answer = tokio::time::timeout(patience, answered).await.ok()?.ok()?;
        if fastrand::u8(..100) == 0 {
            return None;
        }
        let body = serde_json::from_str(answer["body"].as_str()?).ok()?;
        Some((answer["statusCode"].as_u64()?, body))
    }
}

async fn next(State(runtime): State<Arc<Runtime>>) -> impl IntoResponse {
    let invocation = runtime.waiting.lock().await.recv().await.unwrap();
    let deadline = SystemTime::now() + TIMEOUT;
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let headers = [
        ("lambda-runtime-aws-request-id", invocation.id),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:heartbeat".to_owned(),
        ),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, invocation.event)
}

async fn respond(
    State(runtime): State<Arc<Runtime>>,
    Path(id): Path<String>,
    answer: Bytes,
) -> StatusCode {
    let waiting = runtime.running.lock().unwrap().remove(&id);
    if let Some(waiting) = waiting {
        // Nobody waits any more where the gateway has given up.
        let _ = waiting.send(serde_json::from_slice(&answer).unwrap());
    }
    StatusCode::ACCEPTED
}

/// The function reports an error, which it never should.
async fn unexpected(uri: axum::http::Uri, body: String) -> StatusCode {
    eprintln!("the function says {uri}: {body}");
    std::process::exit(1);
}
