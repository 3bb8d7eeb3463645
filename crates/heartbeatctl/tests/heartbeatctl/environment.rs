//! What the environment changes: proxies, terminals, an AWS that never answers, a clock that is wrong.

use crate::support::{Place, Terminal, put_server, run, tool, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A listener that answers each request with this, and the first line of each.
fn listener(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let shared = lines.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            shared.lock().unwrap().push(line.trim().to_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, lines)
}

const CREDENTIALS: [(&str, &str); 4] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("SERVERS_TABLE", "servers"),
];

// C13.12
#[test]
fn an_aws_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let started = Instant::now();
    let mut fleet = tool();
    fleet
        .envs(CREDENTIALS)
        .env("AWS_ENDPOINT_URL_DYNAMODB", &url)
        .env("METRICS_TABLE", "metrics")
        .arg("fleet");
    let mut describe = tool();
    describe
        .envs(CREDENTIALS)
        .env_remove("SERVERS_TABLE")
        .env("AWS_ENDPOINT_URL_CLOUDFORMATION", &url)
        .args(["--stack", "heartbeat", "silence", "web-1", "2h"]);
    let runs = thread::scope(|scope| {
        [fleet, describe]
            .map(|mut tool| scope.spawn(move || run(&mut tool)))
            .map(|run| run.join().unwrap())
    });
    for run in runs {
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("AWS cannot be reached"), "{run:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(25));
}

// C13.12
#[tokio::test]
async fn a_proxy_is_used_as_by_the_aws_cli() {
    let (proxy, lines) = listener("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let mut over_tls = tool();
    over_tls
        .envs(CREDENTIALS)
        .env("METRICS_TABLE", "metrics")
        .env("HTTPS_PROXY", format!("http://{proxy}"))
        .arg("fleet");
    assert_eq!(run(&mut over_tls).code, 1);
    let connect = "CONNECT dynamodb.us-east-1.amazonaws.com:443 HTTP/1.1";
    assert_eq!(lines.lock().unwrap()[0], connect);

    let place = Place::new().await;
    put_server(&place, "web-1", "online", 5).await;
    let fleet = |url: &str| {
        let mut tool = place.tool();
        tool.env("AWS_ENDPOINT_URL_DYNAMODB", url).env("HTTP_PROXY", format!("http://{proxy}"));
        run(tool.env_remove("NO_PROXY").arg("fleet")).code
    };
    assert_eq!(fleet("http://dynamodb.test:8000"), 1);
    let last = || lines.lock().unwrap().last().unwrap().clone();
    assert!(last().starts_with("POST http://dynamodb.test:8000"), "{}", last());
    let count = lines.lock().unwrap().len();
    assert_eq!(fleet(&dev::dynamodb::URL), 0);
    assert_eq!(lines.lock().unwrap().len(), count);
}

// C13.12
#[test]
fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
    let mut tool = tool();
    tool.envs(CREDENTIALS)
        .env("METRICS_TABLE", "metrics")
        .env("https_proxy", "socks5://me:secret@127.0.0.1:1")
        .arg("fleet");
    let run = run(&mut tool);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("https_proxy: a proxy with the scheme socks5"), "{run:?}");
    assert!(!run.stderr.contains("secret"), "{run:?}");
}

const LONG: &str = "a-server-whose-name-is-longer-than-any-column-of-a-table-that-is-eighty-columns-wide-could-ever-be";

/// What `fleet` prints on a terminal with this environment.
async fn on_terminal(place: &Place, environment: &[(&str, &str)]) -> String {
    let terminal = Terminal::new();
    let mut tool = place.tool();
    tool.envs(environment.iter().copied()).arg("fleet");
    let mut child = tool.stdout(terminal.stream()).stderr(Stdio::null()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    wait_until("the table is drawn", || {
        let output = terminal.output();
        output.contains("unknown") && output.ends_with("\n")
    });
    terminal.output()
}

// C13.12
#[tokio::test]
async fn a_terminal_is_filled_and_a_pipe_gets_everything() {
    let place = Place::new().await;
    put_server(&place, LONG, "online", 5).await;
    let piped = place.run(&["fleet"]).stdout;
    assert!(piped.contains(&format!("{LONG} unknown")), "{piped}");

    let plain = [("TERM", "dumb")];
    for (columns, expected) in
        [(None, 80), (Some("40"), 40), (Some("none"), 80), (Some("250"), 250)]
    {
        let columns = columns.map(|columns| ("COLUMNS", columns));
        let environment: Vec<_> = plain.into_iter().chain(columns).collect();
        let shown = on_terminal(&place, &environment).await;
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let widest = shown.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= expected, "{columns:?}: {shown}");
        assert_eq!(shown.contains(LONG), expected == 250, "{columns:?}: {shown}");
    }
    let coloured = on_terminal(&place, &[("TERM", "xterm")]).await;
    assert!(coloured.contains('\u{1b}'), "{coloured:?}");
}

// C13.9
#[tokio::test]
async fn ages_are_by_the_clock_of_dynamodb() {
    // A DynamoDB whose clock is ten minutes behind this machine's: a laptop that is ahead.
    let now = chrono::Utc::now() - chrono::TimeDelta::minutes(10);
    let seen = dev::tables::stored(now - chrono::TimeDelta::seconds(20));
    let item = format!(
        r#"{{"Items":[{{"server_id":{{"S":"web-1"}},"status":{{"S":"online"}},"last_seen":{{"S":"{seen}"}}}}],"Count":1}}"#
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nDate: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{item}",
        now.format("%a, %d %b %Y %H:%M:%S GMT"),
        item.len()
    );
    let (address, _) = listener(answer.leak());
    let mut tool = tool();
    tool.envs(CREDENTIALS)
        .env("METRICS_TABLE", "metrics")
        .env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{address}"))
        .arg("fleet");
    let run = run(&mut tool);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("0 of 1 are well: 1 unknown\n"), "{run:?}");
    assert!(run.stdout.contains("This machine's clock is 10 min ahead of DynamoDB's"), "{run:?}");
}
