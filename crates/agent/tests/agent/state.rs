//! What a stop keeps for the next start.

use crate::connection::{SecureEndpoint, proxy_that_rejects};
use crate::namespace::Machine;
use crate::support::{Endpoint, Received, Step};
use dev::command::{Run, stop, wait_until};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A state directory that is empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn agent(endpoint: &Endpoint, folder: &Path) -> Command {
    let mut agent = endpoint.agent();
    agent
        .args(["--interval", "1"])
        .env("HEARTBEAT_SERVER_ID", "web-1")
        .env("STATE_DIRECTORY", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    agent
}

fn start(endpoint: &Endpoint, folder: &Path) -> Child {
    agent(endpoint, folder).spawn().unwrap()
}

fn keys(received: &[Received]) -> HashSet<String> {
    let keys = received.iter().map(|one| one.idempotency_key.clone());
    keys.collect()
}

/// An agent that cannot send anything, until it has measured three heartbeats and is stopped. Returns their keys.
fn be_away(endpoint: &Endpoint, folder: &Path) -> HashSet<String> {
    endpoint.is_down.store(true, Ordering::SeqCst);
    let before = keys(&endpoint.received()).len();
    let child = start(endpoint, folder);
    wait_until("heartbeats", || keys(&endpoint.received()).len() >= before + 3);
    let Run { code, stderr, .. } = stop(child);
    assert_eq!(code, 0, "{stderr}");
    endpoint.is_down.store(false, Ordering::SeqCst);
    keys(&endpoint.received())
}

fn kept(endpoint: &Endpoint) -> Vec<Received> {
    let received = endpoint.received().into_iter();
    received.filter(|heartbeat| heartbeat.body["backlog"] == true).collect()
}

// With the one that was being sent when the agent was told to stop.
#[test]
fn a_backlog_outlives_a_restart() {
    let folder = folder("restart");
    let endpoint = Endpoint::start(vec![]);
    let measured = be_away(&endpoint, &folder);
    let file = folder.join("backlog");
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let child = start(&endpoint, &folder);
    wait_until("the backlog", || keys(&kept(&endpoint)) == measured);
    assert!(!file.exists(), "what was read is not read again");
    let Run { stderr, .. } = stop(child);
    assert_eq!(stderr, "");
    let bodies = kept(&endpoint);
    let times = bodies.iter().map(|kept| kept.body["timestamp"].as_str());
    assert!(times.is_sorted(), "oldest first");
}

#[test]
fn a_backlog_that_version_0_1_0_has_written_is_read() {
    let folder = folder("older");
    let endpoint = Endpoint::start(vec![]);
    let line = |key: &str, since_boot: Value| {
        let body = json!({ "server_id": "web-1", "timestamp": "2026-01-18T10:30:00.000000Z", "backlog": true });
        json!({
            "body": body.to_string(),
            "idempotency_key": key,
            "measured": "2026-01-18T10:30:00.000000Z",
            "since_boot_ms": since_boot,
            "may_have_arrived": true,
        })
    };
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let owner = json!({
        "url": endpoint.url,
        "server_id": "web-1",
        "boot_id": boot_id.trim(),
        "file_systems": [["8:1", "/", true, null], ["8:2", "/data", false, 3]],
    });
    // Of this start of the machine, and of one before.
    let kept = [line("new", 1.into()), line("old", Value::Null)];
    fs::write(folder.join("backlog"), format!("{owner}\n{}\n{}\n", kept[0], kept[1])).unwrap();
    let child = agent(&endpoint, &folder).arg("--backlog").arg("100years").spawn().unwrap();
    wait_until("the backlog", || self::kept(&endpoint).len() == 2);
    let Run { code, stderr, .. } = stop(child);
    assert_eq!((code, &*stderr), (0, ""));
    assert_eq!(keys(&self::kept(&endpoint)), HashSet::from(["new".to_owned(), "old".to_owned()]));
}

#[test]
fn a_backlog_of_another_server_or_endpoint_is_set_aside_and_named() {
    let folder = folder("foreign");
    let endpoint = Endpoint::start(vec![]);
    let other = Endpoint::start(vec![]);
    let aside = folder.join("backlog.set-aside");
    let mut renamed = agent(&endpoint, &folder);
    renamed.env("HEARTBEAT_SERVER_ID", "web-2");
    for (mut next, owner) in [
        (agent(&other, &folder), format!("url {}", endpoint.url)),
        (renamed, "server_id web-1".to_owned()),
    ] {
        be_away(&endpoint, &folder);
        let content = fs::read(folder.join("backlog")).unwrap();
        let before = (endpoint.received().len(), other.received().len());
        let child = next.spawn().unwrap();
        wait_until("heartbeats", || {
            let new = (endpoint.received().len(), other.received().len());
            new.0 + new.1 >= before.0 + before.1 + 3
        });
        let Run { code, stderr, .. } = stop(child);
        let said = format!(
            "{0}/backlog is not used, and was set aside as {0}/backlog.set-aside: it belongs to the {owner}\n",
            folder.display()
        );
        assert_eq!((code, stderr), (0, said));
        assert_eq!(fs::read(&aside).unwrap(), content);
        assert!(kept(&other).is_empty() && kept(&endpoint).is_empty());
        fs::remove_file(folder.join("backlog")).unwrap();
    }
}

#[test]
fn a_backlog_that_cannot_be_understood_is_set_aside_and_named() {
    let endpoint = Endpoint::start(vec![]);
    let owner = json!({ "url": endpoint.url, "server_id": "web-1" });
    let contents = [
        b"".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{}\n".to_vec(),
        format!("{owner}\n{{\"body\":\"half of").into_bytes(),
        format!("{owner}\n{{}}\n").into_bytes(),
    ];
    let started = contents.into_iter().enumerate().map(|(number, content)| {
        let folder = folder(&format!("unreadable-{number}"));
        fs::write(folder.join("backlog"), &content).unwrap();
        (start(&endpoint, &folder), folder, content)
    });
    for (child, folder, content) in started.collect::<Vec<_>>() {
        let aside = folder.join("backlog.set-aside");
        wait_until("the file", || aside.exists());
        let Run { code, stderr, .. } = stop(child);
        let said = format!(
            "{}/backlog is not used, and was set aside as {}: ",
            folder.display(),
            aside.display()
        );
        assert!(code == 0 && stderr.starts_with(&said), "{stderr}");
        assert_eq!(fs::read(aside).unwrap(), content);
    }
}

// As on a root that is read-only, where systemd cannot make the state directory.
#[test]
fn an_agent_without_a_place_for_its_backlog_runs_and_says_so_at_its_start() {
    let Some(machine) = Machine::start("no-place", "mount -t tmpfs -o ro tmpfs /mnt") else {
        return;
    };
    for (folder, reason) in [
        ("/mnt", "Read-only file system (os error 30)"),
        ("/mnt/nowhere", "No such file or directory (os error 2)"),
    ] {
        let endpoint = Endpoint::start(vec![]);
        let mut agent = machine.agent();
        agent
            .args(["--interval", "1", "--url", &endpoint.url])
            .env("HEARTBEAT_API_KEY", "key-1")
            .env("STATE_DIRECTORY", folder)
            .stderr(Stdio::piped());
        let child = agent.spawn().unwrap();
        wait_until("heartbeats", || endpoint.received().len() >= 2);
        let Run { code, stderr, .. } = stop(child);
        let first = format!(
            "{folder} cannot be written to, so a restart loses what could not be sent: {reason}"
        );
        assert_eq!((code, stderr.lines().next()), (0, Some(&*first)));
    }
}

#[test]
fn a_full_disk_costs_the_backlog_and_not_the_stop() {
    let script =
        "mount -t tmpfs -o size=8k tmpfs /mnt\ndd if=/dev/zero of=/mnt/fill 2>/dev/null || :";
    let Some(machine) = Machine::start("full", script) else {
        return;
    };
    let endpoint = Endpoint::start(vec![]);
    endpoint.is_down.store(true, Ordering::SeqCst);
    let mut agent = machine.agent();
    agent
        .args(["--interval", "1", "--url", &endpoint.url])
        .env("HEARTBEAT_API_KEY", "key-1")
        .env("STATE_DIRECTORY", "/mnt")
        .stderr(Stdio::piped());
    let child = agent.spawn().unwrap();
    wait_until("heartbeats", || keys(&endpoint.received()).len() >= 2);
    let Run { code, stderr, .. } = stop(child);
    let said = "/mnt/backlog cannot be written: No space left on device (os error 28)";
    assert_eq!((code, stderr.lines().last()), (0, Some(said)));
    machine.run("[ \"$(ls /mnt)\" = fill ]");
}

/// An agent whose clock is a file of the test. Only the wall clock is: the time since the start of the machine comes from
/// the kernel.
fn with_clock(mut agent: Command, file: &Path) -> Command {
    let path = "/usr/$LIB/faketime/libfaketime.so.1";
    agent
        .env("LD_PRELOAD", path)
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    agent
}

fn days_off(heartbeat: &Received) -> i64 {
    let time: &Value = &heartbeat.body["timestamp"];
    let time: chrono::DateTime<chrono::Utc> = time.as_str().unwrap().parse().unwrap();
    (chrono::Utc::now() - time).num_days()
}

/// The clock is ten days behind while nothing can be sent, until two heartbeats are kept; then it is set, and the endpoint
/// comes back. Returns how many days the kept ones are off.
fn set_the_clock(
    name: &str,
    mut agent: Command,
    come_back: impl FnOnce(),
    received: impl Fn() -> Vec<Received>,
) -> Vec<i64> {
    let clock = folder(name).join("clock");
    fs::write(&clock, "-10d\n").unwrap();
    agent.args(["--interval", "1"]).env("HEARTBEAT_API_KEY", "key-1").stderr(Stdio::piped());
    let mut child = with_clock(agent, &clock).spawn().unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("; 2 kept\n") {
        line.clear();
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert!(line.starts_with("heartbeat not sent: "), "{name}: {line}");
    }
    fs::write(&clock, "+0d\n").unwrap();
    come_back();
    let kept = || -> Vec<Received> {
        let received = received().into_iter();
        received.filter(|heartbeat| heartbeat.body["backlog"] == true).collect()
    };
    wait_until("the backlog", || kept().len() >= 2);
    child.kill().unwrap();
    child.wait().unwrap();
    kept().iter().take(2).map(days_off).collect()
}

// Judged by whether any of the request can have been sent, and not by the name of the error.
#[test]
fn a_time_of_a_wrong_clock_is_corrected_unless_the_heartbeat_may_have_arrived() {
    if !dev::command::has("faketime") {
        return;
    }
    let to = |url: &str| {
        let mut agent = crate::support::agent();
        agent.args(["--url", url]);
        agent
    };

    let endpoint = Endpoint::start(vec![Step::Close; 1000]);
    let lost =
        set_the_clock("lost", to(&endpoint.url), || endpoint.recover(), || endpoint.received());
    assert_eq!(lost, [10, 10], "the answer");

    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let late = std::cell::OnceCell::new();
    let start = || Endpoint::start_on(TcpListener::bind(address).unwrap(), vec![]);
    let refused = set_the_clock(
        "refused",
        to(&format!("http://{address}/api/v1/agents/heartbeat")),
        || assert!(late.set(start()).is_ok()),
        || late.get().map(Endpoint::received).unwrap_or_default(),
    );
    assert_eq!(refused, [0, 0], "the connection");

    let secure = SecureEndpoint::start("clock-tls");
    secure.is_down.store(true, Ordering::SeqCst);
    let come_back = || secure.is_down.store(false, Ordering::SeqCst);
    let received = || secure.received.lock().unwrap().clone();
    let mut agent = to(&secure.url);
    agent.args(["--ca-file", &secure.authority]);
    assert_eq!(set_the_clock("tls", agent, come_back, received), [0, 0], "the handshake");

    // The proxy is there, and cannot reach the endpoint.
    let secure = SecureEndpoint::start("clock-proxy");
    let rejects = Arc::new(AtomicBool::new(true));
    let (url, _) = proxy_that_rejects(rejects.clone());
    let mut agent = to(&secure.url);
    agent.args(["--ca-file", &secure.authority]).env("HTTPS_PROXY", url);
    let come_back = || rejects.store(false, Ordering::SeqCst);
    let received = || secure.received.lock().unwrap().clone();
    assert_eq!(set_the_clock("proxy", agent, come_back, received), [0, 0], "the tunnel");
}
