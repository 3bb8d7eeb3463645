//! `heartbeatctl silence`, `expect`, `limit` and `forget`

use crate::support::{Place, Run, Terminal, put_server, stored, text, wait_until};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::process::Stdio;

/// What a program says to which the stack is too new.
const NEWER: &str =
    "The stack is newer than this program, which may not show all that it does: update it";

#[tokio::test]
async fn a_server_is_silenced_for_a_time() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 0).await;
    let run = place.run(&["silence", "web-1", "2h"]);
    assert_eq!((run.code, &*run.stdout), (0, ""), "{run:?}");
    let until = place.items(&place.servers).await[0]["silenced_until"].as_s().unwrap().clone();
    assert!(run.stderr.contains(&until), "{run:?}");
    let left = until.parse::<DateTime<Utc>>().unwrap() - Utc::now();
    assert!(left > TimeDelta::minutes(119) && left <= TimeDelta::hours(2), "{left}");
    assert_eq!(until.len(), "2026-01-18T10:30:00.000000Z".len());

    let run = place.run(&["--json", "silence", "web-1", "off"]);
    assert_eq!(run.json()["silenced_until"], serde_json::Value::Null);
    assert!(!place.items(&place.servers).await[0].contains_key("silenced_until"));
    assert_eq!(place.run(&["silence", "web-1", "soon"]).code, 2);
}

// C8.7
#[tokio::test]
async fn a_server_or_all_are_silenced_each_week() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 0).await;
    let own = async |id: &str, name: &str| {
        let found = place.server(id).await.unwrap().get(name).cloned();
        found.map(|value| value.as_s().unwrap().clone())
    };
    let quiet = "Sun 02:00-04:00;22:00-06:00";
    let run = place.run(&["silence", "web-1", "--every", quiet]);
    assert_eq!((run.code, run.stderr.contains(quiet)), (0, true), "{run:?}");
    assert_eq!(own("web-1", "quiet").await.as_deref(), Some(quiet));
    let shown = place.run(&["fleet"]);
    assert!(shown.stdout.contains(&format!("web-1: quiet each week: {quiet}")), "{shown:?}");
    assert_eq!(place.run(&["fleet", "--json"]).json()[0]["quiet"], quiet);
    assert_eq!(
        place.run(&["--json", "silence", "web-1", "--every", "none"]).json()["quiet"],
        json!(null)
    );
    assert_eq!(own("web-1", "quiet").await, None);

    let none = place.run(&["silence", "--all", "2h"]);
    assert_eq!((none.code, &*none.stderr), (1, "error: no watchdog has swept yet\n"), "{none:?}");
    let version = |version: &str| AttributeValue::N(version.to_owned());
    place.put_server("#watchdog", [("version", version("1"))]).await;
    for arguments in
        [&["--all", "2h"][..], &["--all", "--every", quiet], &["web-1", "--every", quiet]]
    {
        let run = place.run(&[&["silence"], arguments].concat());
        assert_eq!(
            (run.code, &*run.stderr),
            (1, "error: the stack is older: make deploy\n"),
            "{run:?}"
        );
    }
    let rules =
        [("version", version("2")), ("limits", text("none")), ("time_zone", text("Asia/Tokyo"))];
    place.put_server("#watchdog", rules).await;
    let run = place.run(&["silence", "--all", "2h", "--every", quiet]);
    assert!(
        run.stderr.starts_with("Every server is silenced until ") && run.stderr.contains(" JST"),
        "{run:?}"
    );
    assert_eq!(own("#watchdog", "quiet").await.as_deref(), Some(quiet));
    assert!(own("#watchdog", "silenced_until").await.is_some());
    let shown = place.run(&["fleet"]);
    assert!(shown.stdout.contains("All servers: silenced until "), "{shown:?}");
    assert!(shown.stdout.contains(&format!(" JST; quiet each week: {quiet}\n")), "{shown:?}");
    assert!(shown.stdout.contains("web-1: silenced until "), "{shown:?}");
    place.run(&["silence", "--all", "off", "--every", "none"]);
    assert_eq!(
        (own("#watchdog", "quiet").await, own("#watchdog", "silenced_until").await),
        (None, None)
    );

    for wrong in [
        &["web-1"][..],
        &["--all"],
        &[],
        &["--all", "web-1", "2h"],
        &["web-1", "--every", "02:00-02:00"],
        &["web-1", "--every", "24:00-02:00"],
        &["web-1", "--every", "off"],
        &["WEB", "2h"],
    ] {
        assert_eq!(place.run(&[&["silence"], wrong].concat()).code, 2, "{wrong:?}");
    }
}

/// An attribute of the only server.
async fn attribute(place: &Place, name: &str) -> Option<AttributeValue> {
    place.items(&place.servers).await[0].get(name).cloned()
}

// C8.1
#[tokio::test]
async fn a_server_gets_a_threshold_of_its_own() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 0).await;
    for (arguments, seconds, told) in [
        (&["--within", "15m"][..], Some("900"), "web-1 is late after 15m without a heartbeat.\n"),
        (&["--within", "1year"], None, ""),
        (&["--never"], Some("0"), "web-1 is never late.\n"),
        (&["--default"], None, "web-1 is late when the watchdog's settings say so.\n"),
    ] {
        let run = place.run(&[&["expect", "web-1"], arguments].concat());
        if told.is_empty() {
            assert_eq!(run.code, 2, "a year has more than 365 days: {run:?}");
            continue;
        }
        assert_eq!((run.code, &*run.stderr), (0, told), "{run:?}");
        let seconds = seconds.map(|seconds| AttributeValue::N(seconds.into()));
        assert_eq!(attribute(&place, "offline_after").await, seconds, "{arguments:?}");
    }
    let json = place.run(&["--json", "expect", "web-1", "--within", "365days"]).json();
    assert_eq!(json, json!({ "server_id": "web-1", "offline_after": 31_536_000 }));
    for wrong in [&[][..], &["--never", "--default"], &["--within", "0s"], &["--within", "1500ms"]]
    {
        assert_eq!(place.run(&[&["expect", "web-1"], wrong].concat()).code, 2, "{wrong:?}");
    }
    let help = place.run(&["expect", "--help"]).stdout;
    assert!(help.contains("Twice the agent's interval is the least that is safe"), "{help}");
}

// C9.6
#[tokio::test]
async fn a_server_gets_limits_of_its_own() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 0).await;
    for (arguments, stored, applies) in [
        (&[][..], None, "disk_percent=90"),
        (&["disk_percent=97"], Some("disk_percent=97"), "disk_percent=97"),
        (&["load_5m=16"], Some("disk_percent=97,load_5m=16"), "disk_percent=97,load_5m=16"),
        (&["disk_percent=off"], Some("disk_percent=off,load_5m=16"), "disk_percent=off,load_5m=16"),
        (
            &["disk_percent:/backup=97/1h,service:cups=off,duplicate=off"],
            Some(
                "disk_percent=off,load_5m=16,disk_percent:/backup=97/1h,service:cups=off,duplicate=off",
            ),
            "disk_percent=off,load_5m=16,disk_percent:/backup=97/1h,service:cups=off,duplicate=off",
        ),
        (&["--default"], None, "disk_percent=90"),
    ] {
        let run = place.run(&[&["limit", "web-1"], arguments].concat());
        assert_eq!((run.code, run.stdout), (0, format!("web-1: {applies}\n")), "{arguments:?}");
        assert_eq!(attribute(&place, "limits").await, stored.map(text), "{arguments:?}");
    }
    // C8.12
    let watchdog =
        [("offline_after", AttributeValue::N("180".into())), ("limits", text("cpu_percent=95"))];
    place.put_server("#watchdog", watchdog).await;
    let run = place.run(&["limit", "web-1"]);
    assert_eq!((&*run.stdout, &*run.stderr), ("web-1: cpu_percent=95\n", ""));
    let newer = [("limits", text("none")), ("version", AttributeValue::N("3".into()))];
    place.put_server("#watchdog", newer).await;
    let run = place.run(&["limit", "web-1"]);
    assert_eq!(run.stderr, format!("{NEWER}.\n"));

    let json = place.run(&["--json", "limit", "web-1", "disk_percent=off"]).json();
    let expected = json!({ "server_id": "web-1", "limits": "disk_percent=off", "applies": "disk_percent=off" });
    assert_eq!(json, expected);
    let run = place.run(&["limit", "web-1", "disk=97"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("there is no such metric"), "{run:?}");
}

#[tokio::test]
async fn no_command_creates_a_server() {
    let place = Place::new().await;
    for arguments in [
        &["silence", "web-1", "2h"][..],
        &["expect", "web-1", "--never"],
        &["expect", "web-1", "--default"],
        &["limit", "web-1"],
        &["limit", "web-1", "disk_percent=97"],
        &["limit", "web-1", "--default"],
        &["silence", "web-1", "off"],
        &["forget", "web-1", "--yes"],
    ] {
        let run = place.run(arguments);
        assert_eq!(run.code, 1, "{arguments:?}");
        assert_eq!(run.stderr, "error: there is no server web-1\n", "{arguments:?}");
    }
    assert_eq!(place.items(&place.servers).await, []);
}

// Without a terminal there is nobody to ask.
#[tokio::test]
async fn a_server_is_forgotten() {
    let place = Place::new().await;
    for server in ["web-1", "web-2", "web-3"] {
        put_server(&place, server, "online", 0).await;
    }
    for (arguments, stdout) in [
        (&["forget", "web-1"][..], String::new()),
        (&["forget", "web-2", "--yes", "--json"], format!("{}\n", json!({ "server_id": "web-2" }))),
    ] {
        let run = place.run(arguments);
        assert_eq!((run.code, &run.stdout), (0, &stdout), "{run:?}");
        assert!(run.stderr.contains("its next heartbeat registers it again"), "{run:?}");
    }
    let left = place.items(&place.servers).await;
    assert_eq!((left.len(), &left[0]["server_id"]), (1, &text("web-3")));
}

// What a shared key has invented.
#[tokio::test]
async fn servers_that_are_new_are_named_before_they_are_forgotten() {
    let place = Place::new().await;
    for (server, registered) in [("web-1", 90_000), ("made-up-1", 3_600), ("made-up-2", 60)] {
        let at = stored(registered);
        let attributes = [
            ("server_id", text(server)),
            ("status", text("online")),
            ("last_seen", text(&at)),
            ("registered_at", text(&at)),
            ("hostname", text("\u{1b}[2J")),
        ];
        place.put(&place.servers, attributes.to_vec()).await;
    }
    put_server(&place, "by-hand", "online", 0).await;
    let after = ["forget", "--registered-after", "1d"];
    let listed = place.run(&after);
    assert_eq!(listed.code, 1, "{listed:?}");
    for server in ["made-up-1", "made-up-2"] {
        assert!(
            listed.stderr.contains(&format!("  {server}  \u{fffd}[2J  registered 2")),
            "{listed:?}"
        );
    }
    assert!(!listed.stderr.contains("web-1") && !listed.stderr.contains("by-hand"), "{listed:?}");
    assert!(listed.stderr.contains("Forget these 2 server(s)?"), "{listed:?}");
    assert_eq!(place.items(&place.servers).await.len(), 4);

    let forgotten = place.run(&[&after[..], &["--yes", "--json"]].concat());
    assert_eq!(forgotten.stdout, "[\"made-up-1\",\"made-up-2\"]\n", "{forgotten:?}");
    let mut left = place.items(&place.servers).await;
    left.retain(|item| item["server_id"] != text("by-hand"));
    assert_eq!((left.len(), &left[0]["server_id"]), (1, &text("web-1")));
    let none = place.run(&[&after[..], &["--yes"]].concat());
    assert_eq!(none.code, 0, "{none:?}");
    assert!(none.stderr.contains("No server was registered after"), "{none:?}");
}

#[tokio::test]
async fn forget_asks_on_a_terminal() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 0).await;
    for (answer, code, left) in [("n\n", 1, 1), ("y\n", 0, 0)] {
        let mut terminal = Terminal::new();
        let mut tool = place.tool();
        let tool = tool.args(["forget", "web-1"]).stdin(terminal.stream());
        let tool = tool.stdout(Stdio::piped()).stderr(terminal.stream());
        let child = tool.spawn().unwrap();
        wait_until("a question", || terminal.output().contains("[y/N]"));
        terminal.type_in(answer);
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!(run.code, code, "{answer:?}: {run:?}");
        assert_eq!(place.items(&place.servers).await.len(), left);
    }
}
