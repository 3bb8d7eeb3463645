//! `heartbeatctl silence` and `forget`

use crate::support::{Place, Run, Terminal, put_server, text, wait_until};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::process::Stdio;

#[tokio::test]
async fn a_server_is_silenced_for_a_time() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 0).await;
    let run = place.run(&["silence", "web-1", "2h"]);
    assert_eq!((run.code, &*run.stdout), (0, ""), "{run:?}");
    let until = place.items(&place.servers).await[0]["silenced_until"]
        .as_s()
        .unwrap()
        .clone();
    assert!(run.stderr.contains(&until), "{run:?}");
    let left = until.parse::<DateTime<Utc>>().unwrap() - Utc::now();
    assert!(
        left > TimeDelta::minutes(119) && left <= TimeDelta::hours(2),
        "{left}"
    );
    assert_eq!(until.len(), "2026-01-18T10:30:00.000000Z".len());

    let run = place.run(&["--json", "silence", "web-1", "off"]);
    assert_eq!(run.json()["silenced_until"], serde_json::Value::Null);
    assert!(!place.items(&place.servers).await[0].contains_key("silenced_until"));
    assert_eq!(place.run(&["silence", "web-1", "soon"]).code, 2);
}

#[tokio::test]
async fn neither_silence_nor_forget_creates_a_server() {
    let place = Place::new().await;
    for arguments in [
        &["silence", "web-1", "2h"][..],
        &["silence", "web-1", "off"],
        &["forget", "web-1", "--yes"],
    ] {
        let run = place.run(arguments);
        assert_eq!(run.code, 1, "{arguments:?}");
        assert_eq!(
            run.stderr, "error: there is no server web-1\n",
            "{arguments:?}"
        );
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
        (
            &["forget", "web-2", "--yes", "--json"],
            format!("{}\n", json!({ "server_id": "web-2" })),
        ),
    ] {
        let run = place.run(arguments);
        assert_eq!((run.code, &run.stdout), (0, &stdout), "{run:?}");
        assert!(
            run.stderr.contains("its next heartbeat registers it again"),
            "{run:?}"
        );
    }
    let left = place.items(&place.servers).await;
    assert_eq!((left.len(), &left[0]["server_id"]), (1, &text("web-3")));
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
