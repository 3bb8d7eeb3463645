//! One heartbeat after another, against an endpoint that follows a script.

use crate::support::{Endpoint, Step, agent, answer, status};
use dev::command::{run, stop, wait_until};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

// C6.5
#[test]
fn transient_failures_are_retried_with_the_same_idempotency_key() {
    // A captive portal answers 200 in its own words, in JSON or not.
    let portal = |body| Step::Answer(200, String::new(), body);
    let endpoint = Endpoint::start(vec![
        answer(503, "retry-after: 1\r\n"),
        status(429),
        Step::Close,
        status(500),
        portal("<html>\u{1b}[2J</html>"),
        portal(""),
        portal(r#"{"status":"login","url":"http://portal/"}"#),
    ]);
    let started = Instant::now();
    let mut agent = endpoint.agent();
    agent.args(["--once", "--server-id", "web-1"]);
    let run = run(&mut agent);
    assert_eq!((run.code, &*run.stdout), (0, "{\"status\":\"ok\"}\n"), "{run:?}");
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After");
    let received = endpoint.received();
    assert_eq!(received.len(), 8);
    for heartbeat in &received {
        assert_eq!(heartbeat.key, "key-1");
        assert_eq!(heartbeat.idempotency_key, received[0].idempotency_key);
        assert_eq!(heartbeat.body, received[0].body);
    }
    assert_eq!(received[0].body["server_id"], "web-1");
    assert!(received[0].body["metrics"]["memory_total_mb"].as_u64().unwrap() > 0);
}

#[test]
fn any_other_answer_ends_the_attempts() {
    for code in [204, 400, 401, 403, 413, 422] {
        let endpoint = Endpoint::start(vec![status(code)]);
        let run = run(endpoint.agent().arg("--once"));
        assert_eq!((run.code, endpoint.received().len()), (1, 1), "{run:?}");
        let answer = if code == 204 { "" } else { r#" {"detail":"why"}"# };
        let told = format!("error: heartbeat not sent: {code}{answer}");
        assert!(run.stderr.starts_with(&told), "{run:?}");
        let has_advice = [401, 403, 413, 422].contains(&code);
        assert_eq!(run.stderr.trim_end() != told, has_advice, "{run:?}");
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn a_heartbeat_is_given_up_when_the_next_one_is_due() {
    let in_a_minute = chrono::Utc::now() + chrono::TimeDelta::minutes(1);
    for retry_after in
        ["60", "18446744073709551615", "99999999999999999999999", &in_a_minute.to_rfc2822()]
    {
        let headers = format!("retry-after: {retry_after}\r\n");
        let endpoint = Endpoint::start(vec![answer(503, &headers)]);
        let run = run(endpoint.agent().args(["--once", "--interval", "5"]));
        assert_eq!((run.code, endpoint.received().len()), (1, 1), "{run:?}");
        assert_eq!(
            run.stderr,
            "error: heartbeat not sent: 503 {\"detail\":\"why\"}, after 1 attempt\n"
        );
    }
}

#[test]
fn an_unreachable_endpoint_is_reported_in_one_line() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let run = run(agent()
        .args(["--once", "--interval", "4", "--url", &url])
        .env("HEARTBEAT_API_KEY", "k"));
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.starts_with("error: heartbeat not sent: ")
            && run.stderr.ends_with(" attempts\n"),
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
    let endpoint = Endpoint::start(vec![]);
    let agent = || {
        let mut agent = endpoint.agent();
        agent.arg("--once").env_remove("HEARTBEAT_API_KEY");
        agent
    };
    assert_eq!(run(agent().args(["--api-key-file", &file])).code, 0);
    assert_eq!(run(agent().env("CREDENTIALS_DIRECTORY", folder)).code, 0);
    assert_eq!(run(agent().env("HEARTBEAT_API_KEY", "key-of-environment")).code, 0);
    let keys: Vec<_> = endpoint.received().into_iter().map(|heartbeat| heartbeat.key).collect();
    assert_eq!(keys, ["key-of-file", "key-of-file", "key-of-environment"]);
    let none = run(&mut agent());
    assert_eq!(none.code, 1);
    assert!(none.stderr.starts_with("error: no API key: pass --api-key-file"), "{none:?}");
    let missing = run(agent().args(["--api-key-file", "/nowhere"]));
    assert!(missing.stderr.starts_with("error: /nowhere cannot be read"), "{missing:?}");
}

#[test]
fn an_agent_keeps_sending_until_it_is_told_to_stop() {
    let endpoint = Endpoint::start(vec![status(422)]);
    let child = endpoint
        .agent()
        .env("HEARTBEAT_INTERVAL", "1")
        .env("HEARTBEAT_SERVER_ID", "web-7")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("heartbeats", || endpoint.received().len() >= 3);
    let run = stop(child);
    assert_eq!((run.code, &*run.stdout), (0, ""), "SIGTERM is a clean exit");
    let said: Vec<_> = run.stderr.lines().collect();
    assert!(
        said.len() == 1 && said[0].starts_with("heartbeat not sent: 422 {\"detail\":\"why\"}: "),
        "{said:?}"
    );
    let received = endpoint.received();
    assert_ne!(received[1].idempotency_key, received[2].idempotency_key);
    assert_eq!(received[2].body["server_id"], "web-7");
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_redirect_is_not_followed() {
    for code in [301, 302, 303, 307, 308] {
        let other = Endpoint::start(vec![]);
        let headers = format!("location: {}\r\n", other.url);
        let endpoint = Endpoint::start(vec![answer(code, &headers)]);
        let run = run(endpoint.agent().arg("--once"));
        assert_eq!((run.code, endpoint.received().len()), (1, 1), "{run:?}");
        assert!(run.stderr.starts_with(&format!("error: heartbeat not sent: {code} ")), "{run:?}");
        assert_eq!(other.connections.load(Ordering::SeqCst), 0, "{code}");
    }
}

#[test]
fn an_answer_is_shown_cut_off_and_without_control_characters() {
    const ANSWER: &str = "\u{1b}[2J\u{202e}\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    let endpoint = Endpoint::start(vec![Step::Answer(422, String::new(), ANSWER)]);
    let run = run(endpoint.agent().arg("--once"));
    let shown = format!("\u{fffd}[2J\u{fffd}\u{fffd}{}", "x".repeat(194));
    let told = format!("error: heartbeat not sent: 422 {shown}: ");
    assert!(run.stderr.starts_with(&told), "{run:?}");
}

#[test]
fn an_invalid_url_or_key_is_reported_at_once() {
    for url in [
        "",
        "example.com/api",
        "ftp://example.com/",
        "http://",
        "https:///api",
        "http://a b/",
        "/api",
        "https://",
    ] {
        // An empty variable counts as none, an empty flag does not.
        let mut by_flag = agent();
        let mut by_variable = agent();
        by_variable.arg("--once").env("HEARTBEAT_URL", url);
        by_flag.args(["--once", "--url", url]);
        let expected = format!("error: {url:?} is not an http or https URL\n");
        let by_flag = run(by_flag.env("HEARTBEAT_API_KEY", "k"));
        assert_eq!((by_flag.code, &by_flag.stderr), (1, &expected));
        if !url.is_empty() {
            let by_variable = run(by_variable.env("HEARTBEAT_API_KEY", "k"));
            assert_eq!((by_variable.code, &by_variable.stderr), (1, &expected));
        }
    }
    let endpoint = Endpoint::start(vec![]);
    for key in ["a\nb", "é\u{7f}"] {
        let run = run(endpoint.agent().arg("--once").env("HEARTBEAT_API_KEY", key));
        assert_eq!(
            (run.code, &*run.stderr),
            (1, "error: the API key contains characters that no key has\n")
        );
    }
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 0);
}

// The key would travel in clear.
#[test]
fn http_is_for_this_machine_only() {
    for host in
        ["example.com", "192.0.2.1", "[2001:db8::1]", "localhost.example.com", "127.0.0.1.nip.io"]
    {
        let url = format!("http://{host}:9/api/v1/agents/heartbeat");
        let run = run(agent().args(["--once", "--url", &url]).env("HEARTBEAT_API_KEY", "k"));
        let told = format!("error: {url:?}: http is for this machine only: it must be https\n");
        assert_eq!((run.code, run.stderr), (1, told));
    }
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]"] {
        let url = format!("http://{host}:9/api/v1/agents/heartbeat");
        let run = run(agent()
            .args(["--once", "--interval", "1", "--url", &url])
            .env("HEARTBEAT_API_KEY", "k"));
        assert!(run.stderr.starts_with("error: heartbeat not sent: "), "{host}: {run:?}");
    }
}

#[test]
fn an_empty_variable_is_an_absent_one() {
    let endpoint = Endpoint::start(vec![]);
    let empty = [
        "HEARTBEAT_INTERVAL",
        "HEARTBEAT_SERVER_ID",
        "HEARTBEAT_URL",
        "CREDENTIALS_DIRECTORY",
        "STATE_DIRECTORY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "SSL_CERT_FILE",
    ];
    let mut once = endpoint.agent();
    once.arg("--once").envs(empty.map(|name| (name, "")));
    let sent = run(&mut once);
    assert_eq!(sent.code, 0, "{sent:?}");
    let printed = run(agent().arg("--print").env("HEARTBEAT_SERVER_ID", ""));
    let received = endpoint.received();
    assert_eq!(received[0].body["server_id"], printed.json()["server_id"]);
    let no_url = run(agent().arg("--once").env("HEARTBEAT_URL", ""));
    let told = "error: the URL of the endpoint is missing: pass --url, or set HEARTBEAT_URL\n";
    assert_eq!((no_url.code, &*no_url.stderr), (1, told));
    let no_key = run(endpoint
        .agent()
        .args(["--once", "--interval", "1"])
        .envs([("HEARTBEAT_API_KEY", ""), ("CREDENTIALS_DIRECTORY", "")]));
    assert!(no_key.stderr.starts_with("error: no API key: "), "{no_key:?}");
    assert_eq!(run(agent().args(["--interval", "", "--print"])).code, 2, "an empty flag is not");
}

#[test]
fn the_first_heartbeat_is_sent_at_a_random_second_of_the_interval() {
    let endpoint = Endpoint::start(vec![]);
    let child = endpoint
        .agent()
        .args(["--interval", "86400"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(endpoint.connections.load(Ordering::SeqCst), 0);
    let run = stop(child);
    assert_eq!((run.code, run.stdout, run.stderr), (0, "".into(), "".into()));
}

#[test]
fn a_request_that_is_never_answered_does_not_hold_up_the_end() {
    for (arguments, code, told) in [
        (&["--interval", "1"][..], 0, ""),
        (&["--once"], 1, "error: heartbeat not sent: interrupted\n"),
    ] {
        let endpoint = Endpoint::start(vec![Step::Hang; 100]);
        let child = endpoint
            .agent()
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until("a request", || !endpoint.received().is_empty());
        let stopped = Instant::now();
        let run = stop(child);
        assert!(stopped.elapsed() < Duration::from_secs(3), "{arguments:?}");
        assert_eq!(run.code, code, "{run:?}");
        assert!(run.stderr.ends_with(told), "{run:?}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_a_missing_url_is_named() {
    for arguments in [
        &["--interval", "0"][..],
        &["--interval", "86401"],
        &["--server-id", "Web 1"],
        &["--api-key", "k"],
        &["--backlog", "soon"],
        &["--once", "--print"],
    ] {
        assert_eq!(run(agent().args(arguments)).code, 2, "{arguments:?}");
    }
    let no_url = run(agent().arg("--once"));
    let told = "error: the URL of the endpoint is missing: pass --url, or set HEARTBEAT_URL\n";
    assert_eq!((no_url.code, &*no_url.stderr), (1, told));
    let help = run(agent().arg("--help")).stdout;
    assert!(help.contains("heartbeat-agent --url"), "{help}");
}
