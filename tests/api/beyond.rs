use crate::support::app::{TestApp, event, minimal, posting, text};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

/// A heartbeat with one metric and these fields.
fn with_fields(fields: Value) -> Value {
    let mut body = minimal();
    body["metrics"] = json!({ "load_1m": 1 });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// An attribute as JSON.
fn plain(attribute: &AttributeValue) -> Value {
    match attribute {
        AttributeValue::S(text) => json!(text),
        AttributeValue::N(number) => serde_json::from_str(number).unwrap(),
        AttributeValue::Bool(bit) => json!(bit),
        AttributeValue::M(map) => {
            map.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The server's reading without the seed's metrics and the times, as JSON.
async fn reading(app: &TestApp) -> Value {
    let server = app.server().await.unwrap();
    let mut reading = plain(&server["reading"]);
    for name in ["load_1m", "timestamp", "received_at"] {
        reading.as_object_mut().unwrap().remove(name);
    }
    reading
}

/// What becomes of fields that are sent with a metric.
async fn becomes(app: &TestApp, fields: Value) -> Value {
    let answer = app.post(&with_fields(fields.clone())).await;
    assert_eq!(answer.status, 200, "{fields}: {answer:?}");
    reading(app).await
}

// C3.10: a body in the form of HomelabCmd's agent, with 600 packages.
#[tokio::test]
async fn an_agent_of_homelabcmd_keeps_working() {
    let app = TestApp::start().await;
    assert_eq!(app.send(&event("homelabcmd")).await.status, 200);
    let server = app.server().await.unwrap();
    assert_eq!(text(&server["agent_version"]), "2.1.3");
    let reading = plain(&server["reading"]);
    assert_eq!(
        reading["disks"],
        json!({ "/srv/backup": 94.7, "/srv/media": 91, "/srv/timemachine": 75.8 })
    );
    assert_eq!(
        reading["services"],
        json!({ "mosquitto": "stopped", "sonarr": "failed", "zed": "unknown" })
    );
    assert_eq!(reading["reasons"], json!({ "zed": "systemd not available (container)" }));
    assert_eq!(reading.get("services_cut"), None);
    let [row] = &app.rows().await[..] else { panic!("one row") };
    for holder in [&reading, &plain(&AttributeValue::M(row.clone()))] {
        for (name, value) in
            [("updates_available", 600), ("security_updates", 40), ("reboot_required", 1)]
        {
            assert_eq!(holder[name], value, "{name}");
        }
    }
}

// C3.10
#[tokio::test]
async fn a_metric_beyond_the_seed_is_left_out_unless_it_has_its_form() {
    let app = TestApp::start().await;
    let wrong = ["null", "\"1\"", "\"x\"", "[]", "[1]", "{}", "{\"a\":1}", r#""\ud800""#, "1e400"];
    let cases = [
        ("updates_available", vec!["0", "7", "7.0", "18446744073709551615"]),
        ("security_updates", vec!["3"]),
        ("reboot_required", vec!["true", "false"]),
        ("temperature_celsius", vec!["-100", "-12.5", "-1e-131", "0", "48.25", "200"]),
    ];
    let also_wrong = |name| match name {
        "reboot_required" => vec!["0", "1", "1.0"],
        "temperature_celsius" => vec!["true", "-100.1", "200.5", "1e300", "-1e300"],
        _ => vec!["true", "-1", "1.5", "18446744073709551616", "1e300"],
    };
    for (name, right) in cases {
        let is_top = name.ends_with("updates") || name.starts_with("updates");
        let send = async |sent: &str| {
            app.tables.clear().await;
            let body = with_fields(json!({})).to_string();
            let place = if is_top { "{" } else { r#""metrics":{"# };
            let body = body.replacen(place, &format!(r#"{place}"{name}":{sent},"#), 1);
            let answer = app.send(&posting(body)).await;
            assert_eq!(answer.status, 200, "{name}: {sent}");
            let row = app.rows().await.remove(0);
            let server = app.server().await.unwrap();
            let reading = server["reading"].as_m().unwrap();
            assert_eq!(text(&row["load_1m"]), "1", "{name}: {sent}");
            assert_eq!(row.get(name), reading.get(name), "{name}: {sent}");
            row.get(name).map(|value| text(value).parse::<f64>().unwrap())
        };
        for sent in right {
            let expected = match sent {
                "true" => 1.0,
                "false" | "-1e-131" => 0.0,
                number => number.parse().unwrap(),
            };
            assert_eq!(send(sent).await, Some(expected), "{name}: {sent}");
        }
        for sent in wrong.into_iter().chain(also_wrong(name)) {
            assert_eq!(send(sent).await, None, "{name}: {sent}");
        }
    }
}

// C3.10: the place of a metric counts, and metrics of the body are not a reading without `metrics`.
#[tokio::test]
async fn a_metric_in_the_wrong_place_or_without_a_reading_is_not_read() {
    let app = TestApp::start().await;
    let body = with_fields(json!({
        "reboot_required": true,
        "temperature_celsius": 40,
        "metrics": { "updates_available": 1, "security_updates": 1 },
    }));
    assert_eq!(app.post(&body).await.status, 200);
    assert_eq!(reading(&app).await, json!({}));
    for metrics in [Value::Null, json!("absent")] {
        app.tables.clear().await;
        let mut body = with_fields(json!({
            "updates_available": 1,
            "metrics": metrics,
            "filesystems": [{ "mount_point": "/", "percent": 5 }],
            "services": [],
            "agent_version": "1",
        }));
        if metrics.is_string() {
            body.as_object_mut().unwrap().remove("metrics");
        }
        assert_eq!(app.post(&body).await.status, 200);
        let server = app.server().await.unwrap();
        assert_eq!(server.get("reading"), None);
        assert_eq!(text(&server["agent_version"]), "1");
        assert_eq!(app.rows().await, []);
    }
}

fn disk(mount: &str, used: u64, available: u64) -> Value {
    json!({ "mount_point": mount, "used_bytes": used, "available_bytes": available, "percent": 1 })
}

// C3.10 C5.12
#[tokio::test]
async fn the_three_fullest_file_systems_are_kept() {
    let app = TestApp::start().await;
    let full = "/m".repeat(40);
    let cases = [
        (json!([]), json!({})),
        // HomelabCmd's own percent is used/total, which reserved blocks lower.
        (json!([disk("/", 90, 5)]), json!({ "/": 94.7 })),
        (json!([disk("/", 0, 9)]), json!({ "/": 0 })),
        (json!([disk("/", u64::MAX, u64::MAX)]), json!({ "/": 50 })),
        (json!([disk("/", 0, 0)]), json!({ "/": 1 })),
        (json!([{ "mount_point": "/", "used_bytes": 1, "percent": 33.33 }]), json!({ "/": 33.3 })),
        (
            json!([
                disk("/a", 1, 9),
                disk("/b", 3, 7),
                disk("/c", 2, 8),
                disk("/d", 4, 6),
                disk("/e", 4, 6)
            ]),
            json!({ "/d": 40, "/e": 40, "/b": 30 }),
        ),
        (json!([disk("/a", 1, 9), disk("/a", 3, 7), disk("/a", 2, 8)]), json!({ "/a": 30 })),
        (
            json!([disk(&full, 1, 1), disk(&"é".repeat(64), 1, 3)]),
            json!({
                format!("{}/…{}", "/m".repeat(15), &full[50..]): 50,
                format!("{}…{}", "é".repeat(15), "é".repeat(15)): 25,
            }),
        ),
    ];
    for (sent, expected) in cases {
        let reading = becomes(&app, json!({ "filesystems": sent })).await;
        assert_eq!(reading, json!({ "disks": expected }), "{sent}");
    }
    for list in ["null", "true", "7", "\"/\"", "{}", "1e400", r#""\ud800""#] {
        assert_eq!(sent_as(&app, "filesystems", list).await, json!({}), "{list}");
    }
    for entry in [
        "null",
        "7",
        "\"/\"",
        "[]",
        "{}",
        "1e400",
        r#""\ud800""#,
        r#"{"mount_point":"/a"}"#,
        r#"{"percent":5}"#,
        r#"{"mount_point":"","percent":5}"#,
        r#"{"mount_point":7,"percent":5}"#,
        r#"{"mount_point":null,"percent":5}"#,
        r#"{"mount_point":"\ud800","percent":5}"#,
        r#"{"mount_point":"/a","percent":"5"}"#,
        r#"{"mount_point":"/a","percent":-1}"#,
        r#"{"mount_point":"/a","percent":101}"#,
        r#"{"mount_point":"/a","percent":1e400}"#,
        r#"{"mount_point":"/a","used_bytes":-1,"available_bytes":1}"#,
        r#"{"mount_point":"/a","used_bytes":"1","available_bytes":1}"#,
    ] {
        let list = format!(r#"[{entry},{{"mount_point":"/b","percent":5}}]"#);
        let expected = json!({ "disks": { "/b": 5 } });
        assert_eq!(sent_as(&app, "filesystems", &list).await, expected, "{entry}");
    }
}

/// What becomes of a field that is sent as this text.
async fn sent_as(app: &TestApp, name: &str, sent: &str) -> Value {
    let body = with_fields(json!({})).to_string();
    let body = body.replacen('{', &format!(r#"{{"{name}":{sent},"#), 1);
    let answer = app.send(&posting(body)).await;
    assert_eq!(answer.status, 200, "{name}: {sent}: {answer:?}");
    reading(app).await
}

// C5.9: as C3.3 allows, in characters of four bytes each. What tells its sender apart is the name as it was sent.
#[tokio::test]
async fn what_is_stored_of_the_longest_names_is_bounded_in_bytes() {
    let app = TestApp::start().await;
    let long = |length| "𝟜".repeat(length);
    let mut sent = with_fields(json!({
        "hostname": long(255),
        "os_info": {
            "distribution": long(100),
            "version": long(100),
            "kernel": long(100),
            "architecture": long(20),
        },
    }));
    assert_eq!(app.post(&sent).await.status, 200);
    let stored = app.server().await.unwrap();
    for (name, head, tail) in [
        ("hostname", 31, 32),
        ("os_distribution", 12, 12),
        ("os_version", 12, 12),
        ("kernel_version", 12, 12),
        ("architecture", 2, 2),
    ] {
        assert_eq!(text(&stored[name]), format!("{}…{}", long(head), long(tail)), "{name}");
    }
    assert_eq!(text(&stored["m1"]), tables::fingerprint(&long(255), "", ""));
    // What fits is stored as it is.
    let fitting = format!("{}𝟜", "x".repeat(251));
    sent["hostname"] = json!(fitting);
    assert_eq!(app.post(&sent).await.status, 200);
    assert_eq!(text(&app.server().await.unwrap()["hostname"]), fitting);
}

fn service(name: &str, status: &str) -> Value {
    json!({ "name": name, "status": status, "pid": 1 })
}

// C3.10 C5.12
#[tokio::test]
async fn services_that_do_not_run_are_kept_and_what_is_missing_is_said() {
    let app = TestApp::start().await;
    let all = |status: &str, names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| service(name, status)).collect()
    };
    let long = |end: &str| format!("{}{end}", "docker-".repeat(10));
    let short = "docker-docker-docke…ker-docker-docker-";
    assert_eq!(long("")[..19], short[..19]);
    for (sent, services, cut) in [
        (json!([]), json!({}), false),
        (json!(all("running", &["a", "b", "c", "d", "e", "f", "g"])), json!({}), false),
        (
            json!([
                service("c", "stopped"),
                service("b", "failed"),
                service("a", "unknown"),
                service("d", "running")
            ]),
            json!({ "a": "unknown", "b": "failed", "c": "stopped" }),
            false,
        ),
        (
            json!(all("stopped", &["g", "f", "e", "d", "c", "b"])),
            json!({ "b": "stopped", "c": "stopped", "d": "stopped", "e": "stopped", "f": "stopped", "g": "stopped" }),
            false,
        ),
        (
            json!(
                [
                    all("stopped", &["g", "f", "e", "d", "c", "b", "a"]),
                    all("unknown", &["h"]),
                    all("failed", &["z"]),
                ]
                .concat()
            ),
            json!({ "z": "failed", "a": "stopped", "b": "stopped", "c": "stopped", "d": "stopped", "e": "stopped" }),
            true,
        ),
        // The worse of two entries counts.
        (
            json!([service("a", "unknown"), service("a", "failed"), service("a", "running")]),
            json!({ "a": "failed" }),
            false,
        ),
        // A long name is not left out, and two that become one are said to be cut.
        (json!([service(&long(""), "failed")]), json!({ short: "failed" }), false),
        (
            json!([
                service(&long("x-docker-docker-docker-docker-"), "failed"),
                service(&long(""), "stopped")
            ]),
            json!({ short: "failed" }),
            true,
        ),
        (json!([service(&"é".repeat(20), "failed")]), json!({ "é".repeat(20): "failed" }), false),
    ] {
        let mut expected = json!({ "services": services });
        if cut {
            expected["services_cut"] = true.into();
        }
        assert_eq!(becomes(&app, json!({ "services": sent })).await, expected, "{sent}");
    }
    for list in ["null", "true", "7", "\"a\"", "{}", "1e400", r#""\ud800""#] {
        assert_eq!(sent_as(&app, "services", list).await, json!({}), "{list}");
    }
    for entry in [
        "null",
        "7",
        "\"a\"",
        "[]",
        "{}",
        "1e400",
        r#""\ud800""#,
        r#"{"name":"a"}"#,
        r#"{"status":"failed"}"#,
        r#"{"name":"","status":"failed"}"#,
        r#"{"name":null,"status":"running"}"#,
        r#"{"name":7,"status":"failed"}"#,
        r#"{"name":"\ud800","status":"failed"}"#,
        r#"{"name":"a","status":"Failed"}"#,
        r#"{"name":"a","status":"crashed"}"#,
        r#"{"name":"a","status":null}"#,
        r#"{"name":"a","status":["failed"]}"#,
        r#"{"name":"a","status":"\udfff"}"#,
    ] {
        let list = format!(r#"[{entry},{{"name":"b","status":"failed"}}]"#);
        let expected = json!({ "services": { "b": "failed" }, "services_cut": true });
        assert_eq!(sent_as(&app, "services", &list).await, expected, "{entry}");
    }
}

fn service_because(name: &str, status: &str, reason: impl Into<Value>) -> Value {
    json!({ "name": name, "status": status, "status_reason": reason.into() })
}

// C3.10 C5.12
#[tokio::test]
async fn reasons_of_services_that_do_not_run_are_kept() {
    let app = TestApp::start().await;
    let becomes = async |services: Value| {
        let reading = becomes(&app, json!({ "services": services })).await;
        let reasons = reading.get("reasons").cloned();
        let cut = reading.get("services_cut").cloned();
        (reasons.unwrap_or_default(), cut.unwrap_or_default())
    };
    let long = "repository is locked by another process: ".repeat(3);
    let shortened = format!("{}…{}", &long[..39], &long[long.len() - 38..]);
    assert_eq!(shortened.len(), 80);
    let four = "\u{1f600}".repeat(30);
    let nine = "\u{1f600}".repeat(9);
    for (sent, expected) in [
        (json!([service_because("a", "running", "2 restarts")]), Value::Null),
        (
            json!([
                service_because("a", "failed", "exit code 1"),
                service_because("b", "stopped", "by root\n"),
                service_because("c", "unknown", "timeout"),
                service("d", "failed"),
            ]),
            json!({ "a": "exit code 1", "b": "by root\n", "c": "timeout" }),
        ),
        (json!([service_because("a", "failed", &long[..80])]), json!({ "a": &long[..80] })),
        (json!([service_because("a", "failed", &*long)]), json!({ "a": shortened })),
        // At whole characters: 36 and 40 bytes.
        (
            json!([service_because("a", "failed", &*four)]),
            json!({ "a": format!("{nine}…{nine}\u{1f600}") }),
        ),
        // The reason of the worse entry counts.
        (
            json!([
                service_because("a", "stopped", "by root"),
                service_because("a", "failed", "exit code 1"),
                service_because("a", "unknown", "timeout"),
            ]),
            json!({ "a": "exit code 1" }),
        ),
        (json!([service_because("a", "stopped", "by root"), service("a", "failed")]), Value::Null),
        // Under the name as it is stored.
        (
            json!([service_because(&"n".repeat(41), "failed", "exit code 1")]),
            json!({ format!("{0}…{1}", "n".repeat(19), "n".repeat(18)): "exit code 1" }),
        ),
    ] {
        assert_eq!(becomes(sent.clone()).await, (expected, Value::Null), "{sent}");
    }
    let seven = (0..7).map(|number| service_because(&format!("{number}"), "failed", "x"));
    let (reasons, cut) = becomes(seven.collect()).await;
    assert_eq!(reasons, json!({ "0": "x", "1": "x", "2": "x", "3": "x", "4": "x", "5": "x" }));
    assert_eq!(cut, true, "what is not listed has no reason");

    // Nothing in it rejects a heartbeat, or makes its service unknown.
    for reason in ["null", "true", "7", "1e400", "[]", "{}", r#""\ud800""#, r#""""#] {
        let list = format!(r#"[{{"name":"a","status":"failed","status_reason":{reason}}}]"#);
        let expected = json!({ "services": { "a": "failed" } });
        assert_eq!(sent_as(&app, "services", &list).await, expected, "{reason}");
    }
}

// C5.12: 200 bytes of all, in the order of the services: by status, then name.
#[tokio::test]
async fn reasons_share_200_bytes_what_is_worse_first() {
    let app = TestApp::start().await;
    let becomes = async |reasons: [(&str, &str, usize); 4]| {
        let services = reasons.map(|(name, status, bytes)| {
            let digits = "0123456789".repeat(20);
            service_because(name, status, &digits[..bytes])
        });
        let reading = becomes(&app, json!({ "services": services })).await;
        let length =
            |name: &str| reading["reasons"].get(name).map(|reason| reason.as_str().unwrap().len());
        reasons.map(|(name, ..)| length(name))
    };
    for (sent, expected) in [
        (
            [("d", "unknown", 9), ("c", "stopped", 90), ("b", "failed", 90), ("a", "failed", 80)],
            [None, Some(40), Some(80), Some(80)],
        ),
        (
            [("a", "failed", 80), ("b", "failed", 80), ("c", "failed", 36), ("d", "failed", 5)],
            [Some(80), Some(80), Some(36), Some(4)],
        ),
        // An ellipsis has three bytes.
        (
            [("a", "failed", 80), ("b", "failed", 80), ("c", "failed", 38), ("d", "failed", 5)],
            [Some(80), Some(80), Some(38), None],
        ),
        (
            [("a", "failed", 80), ("b", "failed", 80), ("c", "failed", 38), ("d", "failed", 2)],
            [Some(80), Some(80), Some(38), Some(2)],
        ),
    ] {
        assert_eq!(becomes(sent).await, expected, "{sent:?}");
    }
}

// C5.12: replaced with the reading, never merged; of a row, also that of a backlog, only the disks are a part.
#[tokio::test]
async fn disks_and_services_belong_to_the_reading() {
    let app = TestApp::start().await;
    let full = json!({
        "filesystems": [disk("/", 1, 1)],
        "services": [service_because("a", "failed", "exit code 1"), {}],
    });
    let stored = json!({
        "disks": { "/": 50 },
        "services": { "a": "failed" },
        "services_cut": true,
        "reasons": { "a": "exit code 1" },
    });
    assert_eq!(becomes(&app, full.clone()).await, stored);
    let mut without_metrics = with_fields(json!({ "services": [] }));
    without_metrics.as_object_mut().unwrap().remove("metrics");
    assert_eq!(app.post(&without_metrics).await.status, 200);
    assert_eq!(reading(&app).await, stored);

    let mut backlog = with_fields(
        json!({ "filesystems": [disk("/c", 3, 1)], "services": [], "agent_version": "9" }),
    );
    backlog["backlog"] = true.into();
    let before = app.server().await;
    assert_eq!(app.post(&backlog).await.status, 200);
    assert_eq!(app.server().await, before);

    let other = json!({ "filesystems": [disk("/b", 1, 3)], "services": [service("b", "stopped")] });
    let expected = json!({ "disks": { "/b": 25 }, "services": { "b": "stopped" } });
    assert_eq!(becomes(&app, other).await, expected);
    assert_eq!(becomes(&app, json!({})).await, json!({}));
    let mut rows = app.rows().await;
    let names = ["services", "services_cut", "reasons", "agent_version"];
    for row in &rows {
        assert!(names.iter().all(|name| !row.contains_key(*name)), "{row:?}");
    }
    rows.sort_by_key(|row| text(&row["received_at"]));
    let disks = rows.iter().map(|row| row.get("disks").map(plain));
    let expected =
        [Some(json!({ "/": 50 })), Some(json!({ "/c": 75 })), Some(json!({ "/b": 25 })), None];
    assert_eq!(disks.collect::<Vec<_>>(), expected);
}

// C3.10
#[tokio::test]
async fn the_version_of_the_agent_is_set_and_removed() {
    let app = TestApp::start().await;
    for (sent, stored) in [
        (Some(json!("2.0.0")), Some("2.0.0")),
        (Some(json!("é".repeat(20))), Some("éééééééééééééééééééé")),
        (Some(json!("x".repeat(21))), None),
        (Some(json!("1")), Some("1")),
        (None, None),
        (Some(json!("1")), Some("1")),
        (Some(json!(2)), None),
        (Some(json!("1")), Some("1")),
        (Some(Value::Null), None),
    ] {
        let mut body = minimal();
        if let Some(sent) = &sent {
            body["agent_version"] = sent.clone();
        }
        assert_eq!(app.post(&body).await.status, 200);
        let server = app.server().await.unwrap();
        assert_eq!(server.get("agent_version").map(text).as_deref(), stored, "{sent:?}");
    }
    let lone = r#"{"agent_version":"\ud800","server_guid":"\ud800","boot_id":1e999,"#;
    let body = minimal().to_string().replacen('{', lone, 1);
    assert_eq!(app.send(&posting(body)).await.status, 200);
    assert_eq!(app.server().await.unwrap().get("agent_version"), None);
}

// C3.10 C5.15
#[tokio::test]
async fn a_heartbeat_that_says_so_is_the_last_one_until_another_comes() {
    let app = TestApp::start().await;
    for (sent, is_leaving) in [
        (Some(json!(true)), true),
        (None, false),
        (Some(json!(true)), true),
        (Some(json!(false)), false),
        (Some(json!(true)), true),
        (Some(Value::Null), false),
        (Some(json!("true")), false),
        (Some(json!(1)), false),
        (Some(json!([true])), false),
        (Some(json!(true)), true),
    ] {
        let mut body = minimal();
        if let Some(sent) = &sent {
            body["leaving"] = sent.clone();
        }
        assert_eq!(app.post(&body).await.status, 200, "{sent:?}");
        let server = app.server().await.unwrap();
        let expected = is_leaving.then(|| server["last_seen"].clone());
        assert_eq!(server.get("left_at").cloned(), expected, "{sent:?}");
    }
    let before = app.server().await;
    let mut backlog = minimal();
    backlog["backlog"] = true.into();
    assert_eq!(app.post(&backlog).await.status, 200);
    assert_eq!(app.server().await, before, "a backlog changes nothing");
}

// C3.10: everything that can be wrong at once.
#[tokio::test]
async fn what_is_right_is_written_whatever_is_wrong_beside_it() {
    let app = TestApp::start().await;
    let reading = becomes(
        &app,
        json!({
            "updates_available": "many",
            "security_updates": 2,
            "metrics": { "reboot_required": "yes", "temperature_celsius": 51.5 },
            "filesystems": [{}, disk("/", 1, 1)],
            "services": "all",
            "agent_version": 2,
            "server_guid": ["a"],
            "boot_id": { "b": 1 },
        }),
    )
    .await;
    assert_eq!(
        reading,
        json!({ "security_updates": 2, "temperature_celsius": 51.5, "disks": { "/": 50 } })
    );
}
