//! `heartbeatctl agent`, against an endpoint that follows a script.

use crate::support::{run, tool};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One request that the endpoint has received.
#[derive(Debug, Clone)]
struct Received {
    key: String,
    idempotency_key: String,
    body: Value,
}

struct Endpoint {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

/// A status with headers; none closes the connection without an answer.
type Step = Option<(u16, &'static str)>;

impl Endpoint {
    /// Follows the script, and answers 200 from then on.
    fn start(script: &'static [Step]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!(
            "http://{}/api/v1/agents/heartbeat",
            listener.local_addr().unwrap()
        );
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let shared = received.clone();
        std::thread::spawn(move || {
            let script = script
                .iter()
                .copied()
                .chain(std::iter::repeat(Some((200, ""))));
            for (step, peer) in script.zip(listener.incoming()) {
                serve(step, &peer.unwrap(), &shared);
            }
        });
        Self { url, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    fn agent(&self) -> Command {
        let mut command = tool();
        command
            .args(["agent", "--url", &self.url])
            .env("HEARTBEAT_API_KEY", "key-1");
        command
    }
}

fn serve(step: Step, mut peer: &TcpStream, received: &Mutex<Vec<Received>>) {
    let mut reader = BufReader::new(peer);
    let mut headers = std::collections::HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    received.lock().unwrap().push(Received {
        key: headers["x-api-key"].clone(),
        idempotency_key: headers["idempotency-key"].clone(),
        body: serde_json::from_slice(&body).unwrap(),
    });
    if let Some((status, headers)) = step {
        let body = if status == 200 {
            r#"{"status":"ok"}"#
        } else {
            r#"{"detail":"why"}"#
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} S\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        peer.write_all(answer.as_bytes()).unwrap();
    }
}

#[test]
fn whatever_a_retry_can_help_is_retried_with_the_same_name() {
    let endpoint = Endpoint::start(&[
        Some((503, "retry-after: 1\r\n")),
        Some((429, "")),
        None,
        Some((500, "")),
    ]);
    let started = Instant::now();
    let run = run(endpoint.agent().args(["--once", "--server-id", "web-1"]));
    assert_eq!(
        (run.code, &*run.stdout),
        (0, "{\"status\":\"ok\"}\n"),
        "{run:?}"
    );
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After");
    let received = endpoint.received();
    assert_eq!(received.len(), 5);
    for heartbeat in &received {
        assert_eq!(heartbeat.key, "key-1");
        assert_eq!(heartbeat.idempotency_key, received[0].idempotency_key);
        assert_eq!(heartbeat.body, received[0].body);
    }
    assert_eq!(received[0].body["server_id"], "web-1");
    assert!(
        received[0].body["metrics"]["memory_total_mb"]
            .as_u64()
            .unwrap()
            > 0
    );
}

#[test]
fn any_other_rejection_is_final() {
    let scripts: [&'static [Step]; 5] = [
        &[Some((400, ""))],
        &[Some((401, ""))],
        &[Some((403, ""))],
        &[Some((413, ""))],
        &[Some((422, ""))],
    ];
    for script in scripts {
        let endpoint = Endpoint::start(script);
        let run = run(endpoint.agent().arg("--once"));
        let status = script[0].unwrap().0;
        assert_eq!((run.code, endpoint.received().len()), (1, 1), "{run:?}");
        let told = format!("error: heartbeat not sent: {status} {{\"detail\":\"why\"}}\n");
        assert_eq!((run.stderr, run.stdout), (told, String::new()));
    }
}

#[test]
fn a_heartbeat_is_given_up_when_the_next_one_is_due() {
    let endpoint = Endpoint::start(&[Some((503, "retry-after: 60\r\n"))]);
    let run = run(endpoint.agent().args(["--once", "--interval", "2"]));
    assert_eq!((run.code, endpoint.received().len()), (1, 1), "{run:?}");
    assert!(run.stderr.ends_with(", after 1 attempt\n"), "{run:?}");
}

#[test]
fn an_endpoint_that_is_not_there_is_told_in_a_line() {
    let closed = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}");
    let run = run(tool()
        .args(["agent", "--once", "--url", &url])
        .env("HEARTBEAT_API_KEY", "k"));
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.starts_with("error: heartbeat not sent: ")
            && run.stderr.ends_with(", after 5 attempts\n"),
        "{run:?}"
    );
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[test]
fn the_key_comes_from_a_file_the_environment_or_a_credential() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/credentials");
    std::fs::create_dir_all(folder).unwrap();
    let file = format!("{folder}/api-key");
    std::fs::write(&file, "key-of-file\n").unwrap();
    let endpoint = Endpoint::start(&[]);
    let agent = || {
        let mut agent = endpoint.agent();
        agent.arg("--once").env_remove("HEARTBEAT_API_KEY");
        agent
    };
    assert_eq!(run(agent().args(["--api-key-file", &file])).code, 0);
    assert_eq!(run(agent().env("CREDENTIALS_DIRECTORY", folder)).code, 0);
    assert_eq!(
        run(agent().env("HEARTBEAT_API_KEY", "key-of-environment")).code,
        0
    );
    let keys: Vec<_> = endpoint
        .received()
        .into_iter()
        .map(|heartbeat| heartbeat.key)
        .collect();
    assert_eq!(keys, ["key-of-file", "key-of-file", "key-of-environment"]);
    let none = run(&mut agent());
    assert_eq!(none.code, 1);
    assert!(
        none.stderr
            .starts_with("error: no API key: pass --api-key-file"),
        "{none:?}"
    );
    let missing = run(agent().args(["--api-key-file", "/nowhere"]));
    assert!(
        missing.stderr.starts_with("error: /nowhere cannot be read"),
        "{missing:?}"
    );
}

#[test]
fn an_agent_keeps_sending_until_it_is_told_to_stop() {
    let endpoint = Endpoint::start(&[Some((422, ""))]);
    let mut agent = endpoint
        .agent()
        .args(["--interval", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while endpoint.received().len() < 3 {
        assert!(Instant::now() < patience, "{:?}", endpoint.received());
        std::thread::sleep(Duration::from_millis(50));
    }
    let term = Command::new("kill")
        .arg(agent.id().to_string())
        .status()
        .unwrap();
    assert!(term.success());
    assert!(agent.wait().unwrap().success(), "SIGTERM is no failure");
    let received = endpoint.received();
    assert_ne!(received[1].idempotency_key, received[2].idempotency_key);
}
