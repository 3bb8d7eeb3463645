//! Shared by the tests: the agent as a process, and an endpoint that follows a script.

use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The agent with a clean environment.
pub fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heartbeat-agent"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// What a program prints; it must succeed.
pub fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// One request that the endpoint has received.
#[derive(Debug, Clone)]
pub struct Received {
    pub key: String,
    pub idempotency_key: String,
    pub body: Value,
    pub at: Instant,
}

/// What the endpoint does with a request.
#[derive(Clone)]
pub enum Step {
    /// Answers with a status, headers and a body.
    Answer(u16, String, &'static str),
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Hang,
    /// Answers 200 after this time.
    Wait(Duration),
}

/// An answer of the endpoint with this status.
pub fn status(status: u16) -> Step {
    answer(status, "")
}

pub fn answer(status: u16, headers: &str) -> Step {
    let body = if status == 200 { r#"{"status":"ok"}"# } else { r#"{"detail":"why"}"# };
    Step::Answer(status, headers.to_owned(), body)
}

pub struct Endpoint {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    pub connections: Arc<AtomicUsize>,
    /// While this is set, every answer is 503.
    pub is_down: Arc<AtomicBool>,
    /// The answer to heartbeats of a backlog, if it is not that of the script.
    pub backlog_step: Arc<Mutex<Option<Step>>>,
    script: Arc<Mutex<Vec<Step>>>,
}

impl Endpoint {
    /// Follows the script, then answers 200.
    pub fn start(script: Vec<Step>) -> Self {
        Self::start_on(TcpListener::bind(("127.0.0.1", 0)).unwrap(), script)
    }

    pub fn start_on(listener: TcpListener, script: Vec<Step>) -> Self {
        let address = listener.local_addr().unwrap();
        let endpoint = Self {
            url: format!("http://{address}/api/v1/agents/heartbeat"),
            received: Arc::default(),
            connections: Arc::default(),
            is_down: Arc::default(),
            backlog_step: Arc::default(),
            script: Arc::new(Mutex::new(script)),
        };
        let script = endpoint.script.clone();
        let received = endpoint.received.clone();
        let connections = endpoint.connections.clone();
        let (is_down, backlog_step) = (endpoint.is_down.clone(), endpoint.backlog_step.clone());
        let decide = Arc::new(move |number: usize, heartbeat: &Received| {
            let is_backlog = heartbeat.body.get("backlog").is_some();
            let backlog_step = backlog_step.lock().unwrap().clone();
            match backlog_step.filter(|_| is_backlog) {
                _ if is_down.load(Ordering::SeqCst) => status(503),
                Some(step) => step,
                None => script.lock().unwrap().get(number).cloned().unwrap_or(status(200)),
            }
        });
        std::thread::spawn(move || {
            for peer in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (decide, received) = (decide.clone(), received.clone());
                std::thread::spawn(move || serve(peer.unwrap(), &received, &*decide));
            }
        });
        endpoint
    }

    /// Answers 200 from now on.
    pub fn recover(&self) {
        self.script.lock().unwrap().clear();
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn agent(&self) -> Command {
        let mut command = agent();
        command.args(["--url", &self.url]).env("HEARTBEAT_API_KEY", "key-1");
        command
    }
}

/// Serves a connection until either side closes it.
pub fn serve<T: Read + Write>(
    peer: T,
    received: &Mutex<Vec<Received>>,
    decide: &(dyn Fn(usize, &Received) -> Step + Send + Sync),
) {
    let mut reader = BufReader::new(peer);
    loop {
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ") {
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let heartbeat = Received {
            key: headers["x-api-key"].clone(),
            idempotency_key: headers["idempotency-key"].clone(),
            body: serde_json::from_slice(&body).unwrap(),
            at: Instant::now(),
        };
        let step = {
            let mut received = received.lock().unwrap();
            let step = decide(received.len(), &heartbeat);
            received.push(heartbeat);
            step
        };
        match step {
            Step::Answer(status, headers, body) => {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} S\r\n{headers}content-length: {length}\r\n\r\n{body}"
                );
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            Step::Wait(time) => {
                std::thread::sleep(time);
                let answer = "HTTP/1.1 200 S\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            Step::Close => return,
            Step::Hang => std::thread::sleep(Duration::from_secs(3600)),
        }
    }
}
