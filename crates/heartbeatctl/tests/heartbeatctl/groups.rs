//! `heartbeatctl group` and `groups`, and the commands that take `--group`.

use crate::support::{Place, Run, put_server, stored, text};
use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, M, N};
use serde_json::json;
use std::collections::HashMap;

async fn item(place: &Place, id: &str) -> HashMap<String, AttributeValue> {
    place.server(id).await.unwrap_or_default()
}

/// A rule of a group.
async fn rule(place: &Place, group: &str, name: &str) -> Option<AttributeValue> {
    item(place, "#groups").await.get(group)?.as_m().unwrap().get(name).cloned()
}

fn ok(run: Run) -> Run {
    assert_eq!(run.code, 0, "{run:?}");
    run
}

// C14.2
#[tokio::test]
async fn servers_are_put_into_a_group_and_taken_out_for_good() {
    let place = Place::new().await;
    for server in ["web-1", "web-2"] {
        put_server(&place, server, "online", 0).await;
    }
    let json = ok(place.run(&["--json", "group", "web", "web-1", "web-2"])).json();
    assert_eq!(json, json!({ "group": "web", "servers": ["web-1", "web-2"] }));
    assert_eq!(item(&place, "web-1").await["group"], text("web"));
    ok(place.run(&["group", "none", "web-1"]));
    assert_eq!(item(&place, "web-1").await["group"], text("none"));
    assert_eq!(item(&place, "web-2").await["group"], text("web"));
    let run = place.run(&["group", "db", "web-3", "web-2"]);
    assert!(run.code == 1 && run.stderr.contains("there is no server web-3"), "{run:?}");
    assert_eq!(item(&place, "web-2").await["group"], text("db"), "the others are");
    assert_eq!(place.server("web-3").await, None);
    for wrong in
        [&["group", "Web", "web-1"][..], &["group", "web"], &["group", &"x".repeat(17), "web-1"]]
    {
        assert_eq!(place.run(wrong).code, 2, "{wrong:?}");
    }
}

// C14.1 C14.2
#[tokio::test]
async fn a_group_gets_rules_and_keeps_what_this_program_does_not_know() {
    let place = Place::new().await;
    let unknown = M([("other".to_owned(), text("daily"))].into());
    place.put_server("#groups", [("web", unknown)]).await;
    let run = ok(place.run(&["silence", "--group", "web", "2h"]));
    assert!(run.stderr.starts_with("group web is silenced until "), "{run:?}");
    ok(place.run(&["expect", "--group", "web", "--within", "15m"]));
    let run = ok(place.run(&["limit", "--group", "web", "cpu_percent=95/30m"]));
    assert_eq!(run.stdout, "group web: cpu_percent=95/30m,disk_percent=90\n");
    ok(place.run(&["expect", "--group", "web", "--ephemeral"]));
    assert!(rule(&place, "web", "silenced_until").await.is_some());
    assert_eq!(rule(&place, "web", "offline_after").await, Some(N("900".to_owned())));
    assert_eq!(rule(&place, "web", "limits").await, Some(text("cpu_percent=95/30m")));
    assert_eq!(rule(&place, "web", "ephemeral").await, Some(Bool(true)));
    let json = place.run(&["--json", "limit", "--group", "web", "load_5m=8"]).json();
    assert_eq!(
        (&json["group"], &json["limits"]),
        (&json!("web"), &json!("cpu_percent=95/30m,load_5m=8"))
    );

    put_server(&place, "web-1", "online", 0).await;
    ok(place.run(&["group", "web", "web-1"]));
    let run = ok(place.run(&["limit", "web-1", "load_5m=off"]));
    assert_eq!(run.stdout, "web-1: cpu_percent=95/30m,disk_percent=90,load_5m=off\n");

    for arguments in [
        &["silence", "--group", "web", "off"][..],
        &["expect", "--group", "web", "--default"],
        &["expect", "--group", "web", "--permanent"],
        &["limit", "--group", "web", "--default"],
    ] {
        ok(place.run(arguments));
    }
    let left = item(&place, "#groups").await;
    assert_eq!(left["web"].as_m().unwrap().keys().collect::<Vec<_>>(), ["other"]);
    ok(place.run(&["expect", "--group", "db", "--never"]));
    ok(place.run(&["expect", "--group", "db", "--default"]));
    assert!(!item(&place, "#groups").await.contains_key("db"), "a group without rules is none");
    for wrong in [
        &["silence", "2h"][..],
        &["silence", "web-1", "--group", "web", "2h"],
        &["expect", "--never"],
        &["expect", "web-1", "--ephemeral"],
        &["expect", "--group", "none", "--never"],
        &["limit"],
        &["limit", "--group", "web", "disk=97"],
        &["limit", "web-1", "disk_percent=97", "--group", "web"],
    ] {
        assert_eq!(place.run(wrong).code, 2, "{wrong:?}");
    }
}

// C8.12
#[tokio::test]
async fn what_an_older_watchdog_would_ignore_is_rejected() {
    let place = Place::new().await;
    put_server(&place, "web-1", "online", 0).await;
    place.put_server("#watchdog", [("version", N("1".to_owned()))]).await;
    for arguments in [&["group", "web", "web-1"][..], &["silence", "--group", "web", "2h"]] {
        let run = place.run(arguments);
        assert!(run.code == 1 && run.stderr.contains("the stack is older: make deploy"), "{run:?}");
    }
    assert!(!item(&place, "web-1").await.contains_key("group"));
}

// C14.2
#[tokio::test]
async fn groups_are_listed_with_their_rules_and_shown_alone() {
    let place = Place::new().await;
    let reading = || ("reading", M([("received_at".to_owned(), text(&stored(5)))].into()));
    for (id, group, ago) in [("web-1", "web", 5), ("web-2", "web", 500), ("db-1", "db", 5)] {
        let seen = ("last_seen", text(&stored(ago)));
        let attributes = [("group", text(group)), ("status", text("online")), seen, reading()];
        place.put_server(id, attributes).await;
    }
    put_server(&place, "nas", "online", 5).await;
    let slow = M([("offline_after".to_owned(), N("900".to_owned()))].into());
    let odd = M([("offline_after".to_owned(), text("soon"))].into());
    place.put_server("#groups", [("web", slow), ("mail", odd)]).await;
    let rules = [("swept_at", text(&stored(5))), ("offline_after", N("180".to_owned()))];
    place.put_server("#watchdog", rules).await;

    let run = ok(place.run(&["groups"]));
    let lines: Vec<Vec<_>> = run
        .stdout
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(
        lines[1..],
        [
            vec!["db", "1", "1", "–"],
            vec!["mail", "0", "0", "–"],
            vec!["web", "2", "2", "late after 15m"]
        ]
    );
    assert!(run.stderr.contains("A rule of the group mail cannot be read."), "{run:?}");
    let json = ok(place.run(&["groups", "--json"])).json();
    assert_eq!((&json[2]["group"], &json[2]["offline_after"]), (&json!("web"), &json!(900)));

    let fleet = ok(place.run(&["fleet", "--group", "web", "--json"])).json();
    let shown = fleet.as_array().unwrap().iter();
    let shown: Vec<_> =
        shown.map(|server| (&server["server_id"], &server["group"], &server["standing"])).collect();
    let [web, well] = [json!("web"), json!("well")];
    assert_eq!(shown, [(&json!("web-1"), &web, &well), (&json!("web-2"), &web, &well)]);
    let run = ok(place.run(&["fleet", "--group", "db"]));
    assert!(run.stdout.contains("The only server is well"), "{run:?}");
}
