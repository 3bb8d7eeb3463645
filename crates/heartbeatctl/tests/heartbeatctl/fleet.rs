//! `heartbeatctl fleet`

use crate::support::{Place, Terminal, put_server, stored, terminate, text, wait_until};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::dynamodb;
use dev::proxy::{Call, Fault, Proxy};
use futures_util::future::join_all;
use serde_json::json;
use std::process::Stdio;

/// Stores a row of metrics that was sent so many seconds ago.
async fn put_metrics(place: &Place, id: &str, ago: i64, metrics: &[(&str, &str)]) {
    let recorded_at = format!("{}#{id}", stored(ago));
    let mut row = vec![("server_id", text("web-1")), ("recorded_at", text(&recorded_at))];
    let number = |value: &str| AttributeValue::N(value.to_owned());
    row.extend(metrics.iter().map(|(name, value)| (*name, number(value))));
    place.put(&place.metrics, row).await;
}

#[tokio::test]
async fn the_fleet_shows_what_the_watchdog_knows() {
    let place = Place::new().await;
    put_reading(&place, "well", 5, 0, &[]).await;
    put_watchdog(&place, 5).await;
    put_server(&place, "marked", "offline", 100).await;
    put_server(&place, "late", "online", 4000).await;
    place.run(&["silence", "late", "2h"]);
    let run = place.run(&["fleet"]);
    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines[0], "1 of 3 are well: 1 offline, 1 silenced");
    for (line, server, status) in
        [(3, "marked", "offline"), (4, "late", "silenced"), (5, "well", "well")]
    {
        assert!(lines[line].starts_with(server) && lines[line].contains(status), "{run:?}");
    }
    assert!(run.stdout.contains("late: silenced until "), "{run:?}");

    // C8.16
    let zone =
        [("offline_after", AttributeValue::N("180".into())), ("time_zone", text("Asia/Tokyo"))];
    place.put_server("#watchdog", zone).await;
    let run = place.run(&["fleet"]);
    let silenced =
        run.stdout.lines().find(|line| line.starts_with("late: silenced until ")).unwrap();
    assert!(silenced.ends_with(" JST"), "{run:?}");

    let fleet = place.run(&["fleet", "--json"]).json();
    assert_eq!(fleet[0]["server_id"], "marked");
    assert_eq!(fleet[0]["offline_since"], fleet[0]["last_seen"]);
    assert!(fleet[1]["silenced_until"].is_string());
    assert_eq!(fleet[2]["offline_since"], serde_json::Value::Null);
    let standings = ["offline", "silenced", "well"];
    for (server, standing) in fleet.as_array().unwrap().iter().zip(standings) {
        assert_eq!(server["standing"], standing);
    }
}

/// Stores the item of a watchdog that swept so many seconds ago.
async fn put_watchdog(place: &Place, ago: i64) {
    let item =
        [("swept_at", text(&stored(ago))), ("offline_after", AttributeValue::N("180".into()))];
    place.put_server("#watchdog", item).await;
}

/// Stores an online server with a reading that was received `ago` seconds ago from a clock that is `ahead`.
async fn put_reading(place: &Place, server: &str, ago: i64, ahead: i64, metrics: &[(&str, &str)]) {
    let number = |value: &str| AttributeValue::N(value.to_owned());
    let metrics = metrics.iter().map(|(name, value)| (*name, number(value)));
    let times = [("timestamp", text(&stored(ago - ahead))), ("received_at", text(&stored(ago)))];
    let reading = metrics.chain(times).map(|(name, value)| (name.to_owned(), value));
    let attributes = [
        ("status", text("online")),
        ("last_seen", text(&stored(ago))),
        ("reading", AttributeValue::M(reading.collect())),
    ];
    place.put_server(server, attributes).await;
}

const NEWEST: [(&str, &str); 5] = [
    ("cpu_percent", "12.5"),
    ("memory_percent", "67.2"),
    ("disk_percent", "91"),
    ("load_1m", "9.9E+125"),
    ("uptime_seconds", "1100000"),
];

#[tokio::test]
async fn the_fleet_shows_the_last_reading() {
    let place = Place::new().await;
    put_reading(&place, "web-1", 5, 0, &NEWEST).await;
    let fleet = place.run(&["fleet", "--json"]).json();
    for (name, expected) in [
        ("cpu_percent", 12.5),
        ("memory_percent", 67.2),
        ("disk_percent", 91.0),
        ("load_1m", 9.9e125),
        ("uptime_seconds", 1_100_000.0),
    ] {
        assert_eq!(fleet[0][name], expected, "{name}");
        assert_eq!(fleet[0]["reading"][name].as_f64(), Some(expected), "{name}");
    }
    let reading = fleet[0]["reading"].as_object().unwrap();
    assert_eq!(reading.len(), NEWEST.len() + 3, "{reading:?}");
    assert!(reading["timestamp"].is_string() && reading["received_at"].is_string());
    assert_eq!(reading["is_fresh"], true);
    assert_eq!(fleet[0]["clock_error_seconds"], json!(null));

    let table = place.run(&["fleet"]).stdout;
    let row = table.lines().find(|line| line.starts_with("web-1 ")).unwrap();
    for cell in ["problem", " 13 ", "─  67", "╸  91", ">9999", "13 d"] {
        assert!(row.contains(cell), "{cell}: {table}");
    }
    assert!(row.chars().count() <= 80, "{table}");
}

/// What `fleet` shows on a terminal, and the operations that it made.
async fn on_a_terminal(place: &Place) -> (String, Vec<String>) {
    let proxy = Proxy::start(&dynamodb::URL);
    let terminal = Terminal::new();
    let mut tool = place.tool();
    tool.env("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)
        .env("NO_COLOR", "1")
        .arg("fleet")
        .stdout(terminal.stream());
    let status = tokio::task::spawn_blocking(move || tool.status().unwrap());
    assert!(status.await.unwrap().success());
    wait_until("the whole fleet", || {
        let output = terminal.output();
        output.contains("CPU 1H") && output.ends_with('\n')
    });
    let requests = proxy.take_requests().into_iter();
    (terminal.output(), requests.map(|(operation, _)| operation).collect())
}

#[tokio::test]
async fn a_sparkline_shows_the_last_hour_whatever_the_future_holds() {
    let place = Place::new().await;
    put_reading(&place, "web-1", 5, 0, &[]).await;
    put_metrics(&place, "old", 3700, &[("cpu_percent", "100")]).await;
    put_metrics(&place, "a", 30 * 60 + 5, &[("cpu_percent", "20")]).await;
    put_metrics(&place, "b", 30 * 60 + 3, &[("cpu_percent", "100")]).await;
    put_metrics(&place, "d", 5, &[("cpu_percent", "12.5")]).await;
    // A year ahead, more rows than a view reads.
    for row in 0..501 {
        put_metrics(&place, &format!("{row}"), -31_536_000, &[("cpu_percent", "99")]).await;
    }
    let (table, _) = on_a_terminal(&place).await;
    let row = table.lines().find(|line| line.contains("web-1")).unwrap();
    assert_eq!(row.chars().filter(|column| "▁▂▃▄▅▆▇█".contains(*column)).count(), 2, "{table}");
    assert!(row.contains('█') && row.trim_end().ends_with('▂'), "{table}");
}

#[tokio::test]
async fn a_view_reads_the_newest_rows_only() {
    let place = Place::new().await;
    put_reading(&place, "web-1", 5, 0, &[]).await;
    put_metrics(&place, "first", 50 * 60, &[("cpu_percent", "99")]).await;
    let rows = (0..500).map(|row| format!("{row:03}"));
    for id in rows {
        put_metrics(&place, &id, 60, &[("cpu_percent", "1")]).await;
    }
    let (table, _) = on_a_terminal(&place).await;
    assert!(table.contains('▁') && !table.contains('█'), "{table}");
}

// A wrong clock is shown, and a row of the year 2099 hides nothing.
#[tokio::test]
async fn a_wrong_clock_is_shown() {
    let place = Place::new().await;
    for (server, ahead) in [("ahead", 3 * 3600), ("behind", -120), ("right", 59), ("late", -58)] {
        put_reading(&place, server, 5, ahead, &[("cpu_percent", "7")]).await;
    }
    place
        .put(
            &place.metrics,
            [
                ("server_id", text("right")),
                ("recorded_at", text("2099-01-01T00:00:00.000000Z#x")),
                ("cpu_percent", AttributeValue::N("99".into())),
            ],
        )
        .await;
    let fleet = place.run(&["fleet", "--json"]).json();
    let errors = fleet.as_array().unwrap().iter().map(|server| {
        assert_eq!(server["cpu_percent"], 7.0, "{server}");
        (server["server_id"].as_str().unwrap(), server["clock_error_seconds"].as_i64())
    });
    let errors: Vec<_> = errors.collect();
    let expected =
        [("ahead", Some(10_800)), ("behind", Some(-120)), ("late", None), ("right", None)];
    assert_eq!(errors, expected);
    let table = place.run(&["fleet"]).stdout;
    let notes: Vec<_> = table.lines().filter(|line| line.contains("clock")).collect();
    assert_eq!(notes, ["ahead: clock 3 h ahead", "behind: clock 2 min behind"]);
}

// C8.1 C8.5 C8.12 C9.3: what the watchdog has stored.
#[tokio::test]
async fn the_fleet_shows_what_the_watchdog_has_stored() {
    let place = Place::new().await;
    let number = |value: &str| AttributeValue::N(value.to_owned());
    let entry = [("since".to_owned(), text(&stored(60))), ("limit".to_owned(), number("90"))];
    let problems = [("disk_percent".to_owned(), AttributeValue::M(entry.into()))];
    let online = |ago| vec![("status", text("online")), ("last_seen", text(&stored(ago)))];
    let own_threshold = |ago, seconds| {
        let mut attributes = online(ago);
        attributes.push(("offline_after", number(seconds)));
        attributes
    };
    let mut full = online(5);
    full.push(("problems", AttributeValue::M(problems.into())));
    let mut returned = online(5);
    for name in ["offline_since", "announced", "returned_at"] {
        returned.push((name, text(&stored(100))));
    }
    for (server, attributes) in [
        ("full", full),
        ("laptop", own_threshold(9000, "0")),
        ("quick", own_threshold(70, "60")),
        ("returned", returned),
        ("slow", own_threshold(800, "900")),
    ] {
        place.put_server(server, attributes).await;
    }
    place.put_server("#watchdog", [("swept_at", text(&stored(240)))]).await;
    let fleet = place.run(&["fleet", "--json"]).json();
    let statuses =
        fleet.as_array().unwrap().iter().map(|server| {
            (server["server_id"].as_str().unwrap(), server["status"].as_str().unwrap())
        });
    let expected = [
        ("quick", "offline"),
        ("full", "online"),
        ("returned", "online"),
        ("laptop", "online"),
        ("slow", "online"),
    ];
    assert_eq!(statuses.collect::<Vec<_>>(), expected);
    assert_eq!(fleet[1]["problems"][0]["name"], "disk_percent");
    assert!(fleet[2]["returned_at"].is_string());
    assert_eq!(fleet[3]["offline_after"], 0);

    let table = place.run(&["fleet"]).stdout;
    for note in [
        "No sweep since ",
        "quick: late, last seen ",
        "full: disk, not in the last reading, limit 90 %, since ",
        "returned: back since ",
        "slow: unknown: no fresh reading",
    ] {
        assert!(table.contains(note), "{note}: {table}");
    }
    assert!(!table.contains("#watchdog"), "{table}");
    place.put_server("#watchdog", [("swept_at", text(&stored(170)))]).await;
    let table = place.run(&["fleet"]).stdout;
    assert!(!table.contains("No sweep"), "{table}");
}

// C5.12 C9.8 C13.7
#[tokio::test]
async fn the_fleet_says_why_a_service_failed_and_which_agent_says_so() {
    let place = Place::new().await;
    let map = |name: &str, value: &str| AttributeValue::M([(name.to_owned(), text(value))].into());
    let reading = [
        ("received_at".to_owned(), text(&stored(5))),
        ("services".to_owned(), map("postfix", "failed")),
        ("reasons".to_owned(), map("postfix", "exit\u{1b}[31m code 1")),
    ];
    let attributes = [
        ("status", text("online")),
        ("last_seen", text(&stored(5))),
        ("agent_version", text("0.1.0-rc.1")),
        ("reading", AttributeValue::M(reading.into())),
    ];
    place.put_server("mail", attributes).await;
    place.put_server("older", [("last_seen", text(&stored(5)))]).await;
    let fleet = place.run(&["fleet", "--json"]).json();
    assert_eq!(fleet[0]["agent_version"], "0.1.0-rc.1");
    assert_eq!(fleet[0]["problems"][0]["reason"], "exit\u{1b}[31m code 1");
    assert_eq!(fleet[1].get("agent_version"), Some(&serde_json::Value::Null));
    let table = place.run(&["fleet"]).stdout;
    let line = "mail: service postfix failed: exit\\u{1b}[31m code 1, since ";
    assert!(table.contains(line), "{table}");
}

// C8.12
#[tokio::test]
async fn the_fleet_is_judged_by_the_watchdogs_rules() {
    let place = Place::new().await;
    put_reading(&place, "busy", 5, 0, &[("cpu_percent", "50")]).await;
    put_reading(&place, "full", 5, 0, &[("disk_percent", "91")]).await;
    put_server(&place, "quiet", "online", 100).await;
    let order = || {
        let fleet = place.run(&["fleet", "--json"]).json();
        let servers = fleet.as_array().unwrap().iter();
        let names = servers.map(|server| {
            let field = |name: &str| server[name].as_str().unwrap().to_owned();
            (field("server_id"), field("status"))
        });
        names.collect::<Vec<_>>()
    };
    let pairs =
        |pairs: [(&str, &str); 3]| pairs.map(|(id, status)| (id.to_owned(), status.to_owned()));
    let doubt = "The watchdog's rules are unknown: the defaults apply. ";
    let by_default = [("full", "online"), ("quiet", "online"), ("busy", "online")];
    assert_eq!(order(), pairs(by_default));
    let table = place.run(&["fleet"]).stdout;
    assert!(table.lines().next().is_some_and(|line| line.contains(doubt)), "{table}");

    let rules = [
        ("swept_at", text(&stored(5))),
        ("offline_after", AttributeValue::N("60".into())),
        ("limits", text("cpu_percent=50")),
    ];
    place.put_server("#watchdog", rules.clone()).await;
    let by_rules = [("quiet", "offline"), ("busy", "online"), ("full", "online")];
    assert_eq!(order(), pairs(by_rules));
    let table = place.run(&["fleet"]).stdout;
    assert_eq!(table.lines().nth(1), Some(""), "{table}");

    // A program that knows version 2.
    for (version, is_newer) in [("2", false), ("3", true)] {
        let version = [("version", AttributeValue::N(version.into()))];
        place.put_server("#watchdog", rules.clone().into_iter().chain(version)).await;
        let table = place.run(&["fleet"]).stdout;
        assert_eq!(table.contains("The stack is newer than this program"), is_newer, "{table}");
    }
}

/// Puts so many servers with readings into the table.
async fn put_fleet(place: &Place, servers: usize) {
    let numbers: Vec<_> = (0..servers).collect();
    for part in numbers.chunks(25) {
        join_all(part.iter().map(|number| put_reading_of(place, *number))).await;
    }
}

async fn put_reading_of(place: &Place, number: usize) {
    put_reading(place, &format!("web-{number}"), 5, 0, &NEWEST[..2]).await;
}

// 5,000 servers: the pages of one scan, and no query for output that no terminal shows.
#[tokio::test]
async fn a_large_fleet_is_one_scan() {
    let place = Place::new().await;
    put_fleet(&place, 5_000).await;
    let proxy = Proxy::start(&dynamodb::URL);
    for arguments in [&["fleet"][..], &["fleet", "--json"]] {
        let mut tool = place.tool();
        tool.env("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url).args(arguments);
        let printed = tokio::task::spawn_blocking(move || tool.output().unwrap()).await.unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert_eq!(printed.matches("web-4999").count(), 1);
        let requests = proxy.take_requests();
        assert!(requests.iter().all(|(operation, _)| operation == "Scan"), "{requests:?}");
        // An item has 300 to 600 bytes; a page has 1 MiB.
        assert!((1..=4).contains(&requests.len()), "{requests:?}");
    }
}

// A terminal has room for some of the servers: only their rows are read.
#[tokio::test]
async fn sparklines_are_read_for_the_servers_that_fit() {
    let place = Place::new().await;
    put_fleet(&place, 30).await;
    let (_, requests) = on_a_terminal(&place).await;
    let queries = requests.iter().filter(|operation| *operation == "Query");
    // The terminal has 24 rows, three of which are above the first server.
    assert_eq!((queries.count(), requests.len()), (21, 22));
}

#[tokio::test]
async fn watch_needs_a_terminal() {
    let run = Place::new().await.run(&["fleet", "--watch"]);
    assert_eq!((run.code, &*run.stderr), (1, "error: --watch needs a terminal\n"));
}

#[tokio::test]
async fn watch_survives_failures_and_restores_the_screen() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 5).await;
    let proxy = Proxy::start(&dynamodb::URL);
    let terminal = Terminal::new();
    let mut tool = place.tool();
    let tool = tool
        .env("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)
        .args(["fleet", "--watch", "1s"])
        .stdout(terminal.stream())
        .stderr(Stdio::piped());
    let child = tool.spawn().unwrap();
    wait_until("a first frame", || terminal.output().contains("web-1"));
    assert!(terminal.output().contains("\u{1b}[?1049h"), "another screen");

    let denied = Fault::Reject(400, "AccessDeniedException");
    proxy.rule(move |call| matches!(call, Call::Scan).then_some(denied));
    wait_until("the error", || {
        let output = terminal.output();
        let error = output.split_once("not refreshed: AccessDeniedException");
        error.is_some_and(|(_, frame)| frame.contains("web-1"))
    });
    proxy.heal();
    put_server(&place, "web-2", "online", 5).await;
    wait_until("a frame after the error", || terminal.output().contains("web-2"));

    terminate(&child);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    wait_until("the screen is restored", || {
        terminal.output().ends_with("\u{1b}[?25h\u{1b}[?1049l")
    });
}

#[tokio::test]
async fn watch_reports_a_first_read_that_fails() {
    let place = Place::new().await;
    let terminal = Terminal::new();
    let mut tool = place.tool();
    let tool = tool.env("SERVERS_TABLE", "nowhere").args(["fleet", "--watch"]);
    let tool = tool.stdout(terminal.stream()).stderr(Stdio::piped());
    let ended = tool.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "error: there is no table nowhere in this region\n"
    );
    assert_eq!(terminal.output(), "", "an error is not drawn over");
}
