//! C9: problems. The table of C9.3 is tested where it is; here, items go in and messages come out.

use crate::support::topic::Behavior;
use crate::support::{Item, TestWatchdog, lines, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use serde_json::{Value, json};

/// Writes a heartbeat that is received at this second, with this reading of the disk and of the load.
async fn heartbeat(watchdog: &TestWatchdog, server_id: &str, seconds: i64, disk: &str, load: &str) {
    watchdog.heartbeat(server_id, seconds).await;
    let number = |value: &str| AttributeValue::N(value.to_owned());
    let metrics = [("disk_percent", disk), ("load_5m", load)];
    let mut reading: Item = metrics
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), number(value)))
        .collect();
    reading.insert("received_at".into(), text(&stored(seconds)));
    put(watchdog, server_id, "reading", AttributeValue::M(reading)).await;
}

pub async fn put(watchdog: &TestWatchdog, server_id: &str, name: &str, value: AttributeValue) {
    let update = watchdog.tables.client.update_item();
    update
        .table_name(&watchdog.tables.servers)
        .key("server_id", text(server_id))
        .update_expression("SET #name = :value")
        .expression_attribute_names("#name", name)
        .expression_attribute_values(":value", value)
        .send()
        .await
        .unwrap();
}

/// Key, limit and whether it is pending, of each entry of `problems`.
async fn problems(watchdog: &TestWatchdog, server_id: &str) -> Vec<(String, String, bool)> {
    let item = watchdog.item(server_id).await.unwrap();
    let Some(problems) = item.get("problems") else {
        return Vec::new();
    };
    let mut entries: Vec<_> = problems
        .as_m()
        .unwrap()
        .iter()
        .map(|(key, entry)| {
            let entry = entry.as_m().unwrap();
            let limit = entry.get("limit").map(|limit| limit.as_n().unwrap().clone());
            let is_pending = entry.contains_key("pending");
            (key.clone(), limit.unwrap_or_default(), is_pending)
        })
        .collect();
    entries.sort();
    entries
}

/// Sweeps every minute, after a heartbeat with this reading in each, from this second on.
async fn minutes(watchdog: &TestWatchdog, seconds: i64, minutes: i64, disk: &str, load: &str) {
    for minute in 0..minutes {
        let now = seconds + 60 * minute;
        heartbeat(watchdog, "web-1", now, disk, load).await;
        watchdog.sweep(now + 10).await.unwrap();
    }
}

/// What was said since the last call: the list, server, metric, value and limit of each entry.
fn said(watchdog: &TestWatchdog) -> Vec<(&'static str, String, String, Value, Value)> {
    let published = watchdog.topic.take();
    let entries = published.iter().flat_map(|message| {
        ["problems", "solved"].into_iter().flat_map(|list| {
            let entries = message.default[list].as_array().unwrap().iter();
            entries.map(move |entry| {
                let text = |name: &str| entry[name].as_str().unwrap().to_owned();
                let value = entry["value"].clone();
                (list, text("server_id"), text("name"), value, entry["limit"].clone())
            })
        })
    });
    entries.collect()
}

fn entry(
    list: &'static str,
    metric: &str,
    value: Value,
    limit: f64,
) -> (&'static str, String, String, Value, Value) {
    (list, "web-1".to_owned(), metric.to_owned(), value, json!(limit))
}

// C9.3 C9.8 C9.9
#[tokio::test]
async fn a_full_disk_is_announced_once_and_so_is_its_end() {
    let watchdog = TestWatchdog::start().await;
    heartbeat(&watchdog, "web-1", 0, "89.9", "").await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);

    heartbeat(&watchdog, "web-1", 60, "93.1", "").await;
    watchdog.sweep(70).await.unwrap();
    let [message] = &watchdog.topic.take()[..] else { panic!("expected one message") };
    assert_eq!(message.parameters["Subject"], "web-1: disk 93.1 %, limit 90 %");
    assert_eq!(message.kinds, ["problems"]);
    let expected = json!({
        "server_id": "web-1", "hostname": "web-1.lan", "kind": "limit", "name": "disk_percent", "value": 93.1,
        "limit": 90.0, "since": stored(60), "reason": null,
    });
    assert_eq!(message.default["problems"], json!([expected]));
    assert_eq!(message.default["time"], stored(70));
    assert_eq!(
        message.email,
        "1 problem:\n\nweb-1 (web-1.lan)\n  disk 93.1 %, limit 90 %, since 10:31 UTC (10 s)\n\n"
    );
    let is_said = [("disk_percent".to_owned(), "90".to_owned(), false)];
    assert_eq!(problems(&watchdog, "web-1").await, is_said);
    let log = watchdog.log();
    let [line] = lines(&log, "problem")[..] else { panic!("{log:?}") };
    assert_eq!((&line["level"], &line["problem"]), (&json!("WARN"), &json!("disk_percent")));
    let sweep = lines(&log, "sweep").pop().unwrap();
    assert_eq!((&sweep["problems"], &sweep["solved"]), (&json!(1), &json!(0)));

    // It wavers.
    for (seconds, disk) in [(120, "99"), (180, "85.5"), (240, "90"), (300, ""), (360, "20")] {
        heartbeat(&watchdog, "web-1", seconds, disk, "").await;
        watchdog.sweep(seconds + 10).await.unwrap();
        assert_eq!(watchdog.topic.take(), [], "{disk}");
        assert_eq!(problems(&watchdog, "web-1").await, is_said, "{disk}");
    }
    // Its end has to last 15 minutes, from reading to reading.
    minutes(&watchdog, 420, 14, "85.4", "").await;
    assert_eq!(watchdog.topic.take(), []);
    watchdog.log();
    minutes(&watchdog, 1260, 1, "85.4", "").await;
    let [message] = &watchdog.topic.take()[..] else { panic!("expected one message") };
    let expected = json!({
        "server_id": "web-1", "hostname": "web-1.lan", "kind": "limit", "name": "disk_percent", "value": 85.4,
        "limit": 90.0, "since": stored(60), "reason": null, "end": "solved",
    });
    assert_eq!(message.default["solved"], json!([expected]));
    let item = watchdog.item("web-1").await.unwrap();
    assert!(!item.contains_key("problems"), "an empty map is removed");
    let log = watchdog.log();
    assert_eq!(lines(&log, "problem solved")[0]["level"], "INFO");
    let sweep = lines(&log, "sweep").pop().unwrap();
    assert_eq!((&sweep["problems"], &sweep["solved"]), (&json!(0), &json!(1)));
}

// C9.1 C9.8
#[tokio::test]
async fn each_kind_of_problem_is_named_in_words() {
    let watchdog =
        TestWatchdog::start_with(&[("LIMITS", "disk_percent=90,cpu_percent=90/10m")]).await;
    let number = |value: &str| AttributeValue::N(value.to_owned());
    let map = |entries: &[(&str, AttributeValue)]| {
        let entries = entries.iter().cloned();
        AttributeValue::M(entries.map(|(name, value)| (name.to_owned(), value)).collect())
    };
    for minute in 0..11 {
        let seconds = 60 * minute;
        watchdog.heartbeat("web-1", seconds).await;
        let reading = [
            ("received_at", text(&stored(seconds))),
            ("cpu_percent", number("95")),
            ("disks", map(&[("/", number("20")), ("/data", number("93.1"))])),
            ("services", map(&[("nginx", text("failed"))])),
        ];
        put(&watchdog, "web-1", "reading", map(&reading)).await;
        let duplicate_at = stored(seconds / 300 * 300);
        watchdog.set("web-1", "duplicate_at", Some(&duplicate_at)).await;
        watchdog.sweep(seconds + 10).await.unwrap();
    }
    let messages = watchdog.topic.take();
    let kinds = |message: &crate::support::topic::Published| {
        let entries = message.default["problems"].as_array().unwrap().clone();
        entries
            .into_iter()
            .map(|entry| {
                (
                    entry["kind"].clone(),
                    entry["name"].clone(),
                    entry["value"].clone(),
                    entry["limit"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(messages.len(), 2);
    assert_eq!(
        kinds(&messages[0]),
        [
            (json!("disk"), json!("/data"), json!(93.1), json!(90.0)),
            (json!("service"), json!("nginx"), json!("failed"), Value::Null),
        ]
    );
    assert_eq!(
        kinds(&messages[1]),
        [
            (json!("limit"), json!("cpu_percent"), json!(95), json!(90.0)),
            (json!("duplicate"), json!("web-1"), Value::Null, Value::Null),
        ]
    );
    assert!(messages[0].email.contains("  disk /data 93.1 %, limit 90 %, since "));
    assert!(messages[0].email.contains("  service nginx failed, since "));
    assert!(messages[1].email.contains("  cpu 95 %, limit 90 %, since "));
    assert!(messages[1].email.contains("  two senders use the name web-1, since "));

    watchdog
        .set(
            "web-1",
            "limits",
            Some("service:nginx=off,duplicate=off,disk_percent:/data=off,cpu_percent=off"),
        )
        .await;
    watchdog.sweep(680).await.unwrap();
    let message = watchdog.topic.take().pop().unwrap();
    let ends: Vec<_> = message.default["solved"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["end"].clone())
        .collect();
    assert_eq!(ends, ["unwatched"; 4]);
    assert!(message.email.contains("service nginx is no longer watched"));
    assert!(!watchdog.item("web-1").await.unwrap().contains_key("problems"));
}

// C5.12 C9.8
#[tokio::test]
async fn a_service_is_announced_with_its_reason_which_announces_nothing_itself() {
    let watchdog = TestWatchdog::start().await;
    let heartbeat = async |seconds: i64, services: &[(&str, &str, Option<&str>)]| {
        watchdog.heartbeat("mail", seconds).await;
        let statuses = services.iter().map(|(name, status, _)| ((*name).to_owned(), text(status)));
        let reasons = services.iter();
        let reasons: Item = reasons
            .filter_map(|(name, _, reason)| Some(((*name).to_owned(), text((*reason)?))))
            .chain([("nginx".to_owned(), text("of no service here"))])
            .collect();
        let reading = [
            ("received_at".to_owned(), text(&stored(seconds))),
            ("services".to_owned(), AttributeValue::M(statuses.collect())),
            ("reasons".to_owned(), AttributeValue::M(reasons)),
        ];
        put(&watchdog, "mail", "reading", AttributeValue::M(reading.into())).await;
        watchdog.sweep(seconds + 10).await.unwrap();
        watchdog.topic.take()
    };
    let reasons = |entries: &Value| {
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["reason"].clone()).collect::<Vec<_>>()
    };
    let published = heartbeat(0, &[("postfix", "failed", Some("exit code 1"))]).await;
    let [message] = &published[..] else { panic!("{published:?}") };
    assert_eq!(message.parameters["Subject"], "mail: service postfix failed: exit code 1");
    let line = "\n  service postfix failed: exit code 1, since 10:30 UTC (10 s)\n";
    assert!(message.email.contains(line), "{}", message.email);
    assert_eq!(reasons(&message.default["problems"]), ["exit code 1"]);

    for (seconds, reason) in [(60, Some("exit code 2")), (120, None), (180, Some("killed"))] {
        let published = heartbeat(seconds, &[("postfix", "failed", reason)]).await;
        assert_eq!(published, [], "{reason:?}");
    }
    // What does not fit into a subject, or is not ASCII, is in the message.
    for (name, reason) in [("a", "x".repeat(80)), ("b", "größer".to_owned())] {
        let failed = [("postfix", "failed", None), (name, "failed", Some(&*reason))];
        let published = heartbeat(200, &failed).await;
        let [message] = &published[..] else { panic!("{published:?}") };
        assert_eq!(message.parameters["Subject"], format!("mail: service {name} failed"));
        assert_eq!(reasons(&message.default["problems"]), [json!(reason)]);
        assert!(message.email.contains(&reason), "{}", message.email);
    }
    let published = heartbeat(1_200, &[("c", "stopped", None)]).await;
    assert_eq!(reasons(&published[0].default["problems"]), [Value::Null]);
}

// C8.6 C9.7: everybody is named, if not by this message, then by the next.
#[tokio::test]
async fn what_did_not_fit_is_not_recorded_and_comes_next() {
    let watchdog = TestWatchdog::start().await;
    let name =
        |server: usize, service: usize| format!("s{server}-{service}-{}", "\u{1}".repeat(60));
    for server in 0..100 {
        let server_id = format!("web-{server}");
        watchdog.heartbeat(&server_id, 0).await;
        let services = (0..6).map(|service| (name(server, service), text("failed")));
        let reading = [
            ("received_at".to_owned(), text(&stored(0))),
            ("services".to_owned(), AttributeValue::M(services.collect())),
        ];
        put(&watchdog, &server_id, "reading", AttributeValue::M(reading.into())).await;
    }
    let mut named = std::collections::BTreeSet::new();
    let mut omitted = Vec::new();
    for sweep in 1..10 {
        watchdog.sweep(sweep * 10).await.unwrap();
        let messages = watchdog.topic.take();
        let Some(message) = messages.first() else {
            break;
        };
        omitted.push(message.default["omitted"].as_u64().unwrap());
        for entry in message.default["problems"].as_array().unwrap() {
            assert!(named.insert(entry["name"].as_str().unwrap().to_owned()), "{entry}");
        }
    }
    assert_eq!(named.len(), 600);
    assert!(omitted.len() > 1 && omitted.last() == Some(&0), "{omitted:?}");
}

// C9.6
#[tokio::test]
async fn limits_may_be_for_any_metric_and_a_server_may_have_its_own() {
    let watchdog = TestWatchdog::start_with(&[("LIMITS", "disk_percent=90,load_5m=8")]).await;
    heartbeat(&watchdog, "web-1", 0, "91", "8").await;
    watchdog.set("web-1", "limits", Some("disk_percent=97,load_5m=off,cpu_percent=1")).await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!(said(&watchdog), []);
    watchdog.set("web-1", "limits", None).await;
    watchdog.sweep(70).await.unwrap();
    let both = [
        entry("problems", "disk_percent", json!(91), 90.0),
        entry("problems", "load_5m", json!(8), 8.0),
    ];
    assert_eq!(said(&watchdog), both);
    watchdog.set("web-1", "limits", Some("disk_percent=off,load_5m=off")).await;
    watchdog.sweep(130).await.unwrap();
    let both = [
        entry("solved", "disk_percent", json!(91), 90.0),
        entry("solved", "load_5m", json!(8), 8.0),
    ];
    assert_eq!(said(&watchdog), both);
}

// C9.6 C9.8
#[tokio::test]
async fn a_metric_is_read_for_which_one_server_alone_has_a_limit() {
    let watchdog = TestWatchdog::start().await;
    for (server_id, temperature) in [("web-1", "60"), ("web-2", "71.5"), ("web-3", "90")] {
        watchdog.heartbeat(server_id, 0).await;
        let reading = Item::from([
            ("received_at".to_owned(), text(&stored(0))),
            ("temperature_celsius".to_owned(), AttributeValue::N(temperature.to_owned())),
        ]);
        watchdog.set_value(server_id, "reading", AttributeValue::M(reading)).await;
    }
    let of_web_2 = |list| {
        let name = "temperature_celsius".to_owned();
        [(list, "web-2".to_owned(), name, json!(71.5), json!(70.0))]
    };
    watchdog.set("web-2", "limits", Some("temperature_celsius=70")).await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!(said(&watchdog), of_web_2("problems"));
    // The end of a problem that nobody watches any longer is said with its value.
    watchdog.set("web-2", "limits", None).await;
    watchdog.sweep(70).await.unwrap();
    assert_eq!(said(&watchdog), of_web_2("solved"));
}

// C9.3
#[tokio::test]
async fn a_limit_that_is_still_exceeded_changes_without_a_word() {
    let watchdog = TestWatchdog::start().await;
    heartbeat(&watchdog, "web-1", 0, "95", "").await;
    watchdog.sweep(10).await.unwrap();
    watchdog.topic.take();
    watchdog.set("web-1", "limits", Some("disk_percent=80")).await;
    watchdog.sweep(70).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
    let is_said = [("disk_percent".to_owned(), "80".to_owned(), false)];
    assert_eq!(problems(&watchdog, "web-1").await, is_said);
    watchdog.set("web-1", "limits", Some("disk_percent=95.1")).await;
    minutes(&watchdog, 120, 15, "95", "").await;
    assert_eq!(watchdog.topic.take(), []);
    minutes(&watchdog, 1020, 1, "95", "").await;
    assert_eq!(said(&watchdog), [entry("solved", "disk_percent", json!(95), 80.0)]);
}

// C9.3: nothing is said about a server that is not there, or whose reading is old.
#[tokio::test]
async fn only_fresh_readings_of_servers_that_are_there_are_judged() {
    let watchdog = TestWatchdog::start_with(&[("BACK_AFTER_SECONDS", "300")]).await;
    for (name, reading, seen) in [
        ("late", 0, 0),
        ("returned", 990, 990),
        ("old-reading", 389, 990),
        ("fresh-enough", 390, 990),
    ] {
        heartbeat(&watchdog, name, reading, "99", "").await;
        watchdog.heartbeat(name, seen).await;
    }
    watchdog.set("returned", "offline_since", Some(&stored(100))).await;
    watchdog.set("returned", "announced", Some(&stored(100))).await;
    watchdog.sweep(1000).await.unwrap();
    let said = said(&watchdog);
    let servers: Vec<_> = said.iter().map(|(_, server, ..)| server.as_str()).collect();
    assert_eq!(servers, ["fresh-enough"]);
}

// C9.3: an absence is no recovery.
#[tokio::test]
async fn a_problem_stays_while_the_server_is_away() {
    let watchdog = TestWatchdog::start().await;
    heartbeat(&watchdog, "web-1", 0, "95", "").await;
    watchdog.sweep(10).await.unwrap();
    watchdog.sweep(190).await.unwrap();
    watchdog.topic.take();
    let is_said = [("disk_percent".to_owned(), "90".to_owned(), false)];
    assert_eq!(problems(&watchdog, "web-1").await, is_said);
    heartbeat(&watchdog, "web-1", 300, "20", "").await;
    watchdog.sweep(310).await.unwrap();
    assert_eq!(said(&watchdog), [], "its return comes first");
    minutes(&watchdog, 360, 15, "20", "").await;
    assert_eq!(said(&watchdog), [], "its end has to last");
    minutes(&watchdog, 1260, 1, "20", "").await;
    assert_eq!(said(&watchdog), [entry("solved", "disk_percent", json!(20), 90.0)]);
}

// C9.3
#[tokio::test]
async fn no_problem_begins_or_ends_while_a_server_is_silenced() {
    let watchdog = TestWatchdog::start().await;
    heartbeat(&watchdog, "web-1", 0, "95", "").await;
    watchdog.set("web-1", "silenced_until", Some(&stored(100))).await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!((said(&watchdog), problems(&watchdog, "web-1").await), (vec![], vec![]));
    watchdog.sweep(100).await.unwrap();
    assert_eq!(said(&watchdog).len(), 1);
    watchdog.set("web-1", "silenced_until", Some(&stored(1300))).await;
    minutes(&watchdog, 150, 19, "20", "").await;
    assert_eq!((said(&watchdog), problems(&watchdog, "web-1").await.len()), (vec![], 1));
    minutes(&watchdog, 1300, 15, "20", "").await;
    assert_eq!(said(&watchdog), [], "its end has to last");
    minutes(&watchdog, 2200, 1, "20", "").await;
    assert_eq!(said(&watchdog), [entry("solved", "disk_percent", json!(20), 90.0)]);
}

// C9.3: what is pending is published again as what it is by then.
#[tokio::test]
async fn a_pending_entry_is_published_as_what_it_is_by_then() {
    for (disk, list) in [("95", "problems"), ("86", "problems"), ("20", "solved")] {
        let watchdog = TestWatchdog::start().await;
        heartbeat(&watchdog, "web-1", 0, "95", "").await;
        watchdog.topic.set_behavior(Behavior::LosesAnswers);
        watchdog.sweep(10).await.unwrap_err();
        assert_eq!(said(&watchdog).len(), 1);
        let is_pending = [("disk_percent".to_owned(), "90".to_owned(), true)];
        assert_eq!(problems(&watchdog, "web-1").await, is_pending);
        watchdog.topic.set_behavior(Behavior::Accepts);
        minutes(&watchdog, 60, if list == "solved" { 16 } else { 1 }, disk, "").await;
        let value = json!(disk.parse::<u64>().unwrap());
        assert_eq!(said(&watchdog), [entry(list, "disk_percent", value, 90.0)]);
        let entries = problems(&watchdog, "web-1").await;
        let expected: &[bool] = if list == "problems" { &[false] } else { &[] };
        assert_eq!(entries.iter().map(|entry| entry.2).collect::<Vec<_>>(), expected);
    }
}

// C9.4 C9.7: entries that have not lasted and notes are written even if nothing can be published, and removed when they are void.
#[tokio::test]
async fn what_has_not_lasted_yet_is_noted_without_a_word() {
    let watchdog = TestWatchdog::start_with(&[("LIMITS", "load_5m=8/10m")]).await;
    heartbeat(&watchdog, "web-1", 0, "", "9").await;
    watchdog.sweep(10).await.unwrap();
    let item = watchdog.item("web-1").await.unwrap();
    let entry = item["problems"].as_m().unwrap()["load_5m"].as_m().unwrap();
    assert_eq!(entry["rising"], AttributeValue::Bool(true));
    assert_eq!(entry["since"], text(&stored(0)));
    watchdog.sweep(190).await.unwrap();
    let item = watchdog.item("web-1").await.unwrap();
    assert_eq!(item["status"], text("offline"));
    assert!(!item.contains_key("problems"));
    watchdog.topic.take();
    heartbeat(&watchdog, "web-1", 200, "", "9").await;
    watchdog.sweep(210).await.unwrap();
    watchdog.topic.take();
    minutes(&watchdog, 240, 10, "", "9").await;
    assert_eq!(watchdog.topic.take(), []);
    minutes(&watchdog, 840, 1, "", "9").await;
    assert_eq!(said(&watchdog).len(), 1);
}

// C9.2: an item has room for twelve.
#[tokio::test]
async fn what_does_not_fit_into_the_item_waits_and_is_counted() {
    let watchdog = TestWatchdog::start_with(&[("LIMITS", "disk_percent=90")]).await;
    watchdog.heartbeat("web-1", 0).await;
    let services = (10..24).map(|number| (format!("s{number}"), text("failed")));
    let reading = [
        ("received_at".to_owned(), text(&stored(0))),
        ("services".to_owned(), AttributeValue::M(services.collect())),
    ];
    put(&watchdog, "web-1", "reading", AttributeValue::M(reading.into())).await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!(watchdog.topic.take()[0].default["problems"].as_array().unwrap().len(), 12);
    assert_eq!(problems(&watchdog, "web-1").await.len(), 12);
    let sweep = lines(&watchdog.log(), "sweep").pop().unwrap().clone();
    assert_eq!(sweep["waiting"], 2);
}

// C9.7: what could not be written ahead is not published.
#[tokio::test]
async fn what_could_not_be_written_ahead_is_not_published() {
    let proxy = Proxy::start(&URL);
    let watchdog = TestWatchdog::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    heartbeat(&watchdog, "web-1", 0, "95", "").await;
    let mut updates = 0;
    proxy.rule(move |call| {
        updates += usize::from(call == Call::Server);
        (call == Call::Server && updates == 2)
            .then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(10).await.unwrap_err();
    assert_eq!(watchdog.topic.take(), []);
    proxy.heal();
    watchdog.sweep(70).await.unwrap();
    assert_eq!(said(&watchdog).len(), 1);
}

// C9.7: a server that was forgotten and came back starts anew.
#[tokio::test]
async fn a_server_that_registered_again_is_not_written_to() {
    for (name, value) in
        [("registered_at", text(&stored(5))), ("problems", AttributeValue::M(Item::new()))]
    {
        let proxy = Proxy::start(&URL);
        let watchdog = TestWatchdog::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
        heartbeat(&watchdog, "web-1", 0, "95", "").await;
        watchdog.set("web-1", "registered_at", Some(&stored(0))).await;
        let (client, table) = (watchdog.tables.client.clone(), watchdog.tables.servers.clone());
        let mut updates = 0;
        let changed = value.clone();
        proxy.rule(move |call| {
            updates += usize::from(call == Call::Server);
            if call == Call::Server && updates == 2 {
                let update = client.update_item().table_name(&table);
                let update = update
                    .key("server_id", text("web-1"))
                    .update_expression("SET #name = :value")
                    .expression_attribute_names("#name", name)
                    .expression_attribute_values(":value", changed.clone());
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()
                            .unwrap();
                        runtime.block_on(update.send()).unwrap();
                    });
                });
            }
            None
        });
        watchdog.sweep(10).await.unwrap();
        assert_eq!(watchdog.topic.take(), [], "{name}");
        assert_eq!(watchdog.item("web-1").await.unwrap()[name], value);
    }
}

// C9.2 C9.6: what cannot be read is ignored, and counted.
#[tokio::test]
async fn unreadable_limits_and_thresholds_are_ignored() {
    let watchdog = TestWatchdog::start().await;
    for (number, (name, value)) in [
        ("limits", text("disk=99")),
        ("limits", AttributeValue::N("99".into())),
        ("offline_after", text("900")),
        ("offline_after", AttributeValue::N("1.5".into())),
        ("offline_after", AttributeValue::N("-1".into())),
        ("offline_after", AttributeValue::N("31536001".into())),
        ("problems", text("disk_percent")),
        ("problems", AttributeValue::M([("disk_percent".to_owned(), text("problems"))].into())),
        ("returned_at", text("then")),
    ]
    .into_iter()
    .enumerate()
    {
        let server_id = format!("web-{number}");
        heartbeat(&watchdog, &server_id, 0, "95", "").await;
        put(&watchdog, &server_id, name, value).await;
    }
    watchdog.sweep(10).await.unwrap();
    assert_eq!(said(&watchdog).len(), 9);
    let log = watchdog.log();
    let [line] = lines(&log, "items hold a value that cannot be read")[..] else {
        panic!("{log:?}")
    };
    assert_eq!(line["items"], 9);
}

// C9.1 C9.8: two limits of one value, of which one message says what there is to know.
#[tokio::test]
async fn an_urgent_limit_is_a_problem_beside_the_other() {
    let limits = "disk_percent=90,disk_percent!=97";
    let watchdog = TestWatchdog::start_with(&[("LIMITS", limits)]).await;
    let told = || {
        let messages = watchdog.topic.take().into_iter();
        let messages = messages.map(|message| {
            let words: Vec<_> =
                message.email.lines().filter(|line| line.starts_with("  ")).collect();
            let words: Vec<_> =
                words.iter().map(|line| line.split("since").next().unwrap()).collect();
            let words: Vec<_> = words.iter().map(|line| line.split(';').next().unwrap()).collect();
            (message.parameters["Subject"].clone(), message.kinds.join(" "), words.concat())
        });
        messages.collect::<Vec<_>>()
    };
    let tell = |subject: &str, kinds: &str, words: &str| {
        vec![(subject.to_owned(), kinds.to_owned(), format!("  {words}"))]
    };
    let both = [("disk_percent", "90", false), ("disk_percent!", "97", false)]
        .map(|(key, limit, is_pending)| (key.to_owned(), limit.to_owned(), is_pending));

    // Both begin.
    minutes(&watchdog, 0, 1, "98", "").await;
    let words = "urgent: disk 98 %, limit 97 %, ";
    assert_eq!(told(), tell("Urgent: web-1: disk 98 %, limit 97 %", "problems urgent", words));
    assert_eq!(problems(&watchdog, "web-1").await, both);

    // The urgent one ends.
    minutes(&watchdog, 60, 16, "91", "").await;
    let words = "no longer urgent: disk 91 %, limit 90 %";
    assert_eq!(told(), tell(&format!("web-1: {words}"), "solved", words));
    assert_eq!(problems(&watchdog, "web-1").await, both[..1]);

    // It begins again, and both end.
    minutes(&watchdog, 4_000, 1, "99", "").await;
    let words = "urgent: disk 99 %, limit 97 %, ";
    assert_eq!(told(), tell("Urgent: web-1: disk 99 %, limit 97 %", "problems urgent", words));
    minutes(&watchdog, 8_000, 16, "10", "").await;
    let words = "disk 10 %, limit 90 %, solved";
    assert_eq!(told(), tell(&format!("web-1: {words}"), "solved", words));
    assert_eq!(problems(&watchdog, "web-1").await, []);

    // Both begin, and the server gets a limit that is not below the urgent one.
    minutes(&watchdog, 12_000, 1, "99", "").await;
    assert_eq!(told().len(), 1);
    watchdog.set("web-1", "limits", Some("disk_percent=98")).await;
    minutes(&watchdog, 12_060, 1, "99", "").await;
    let words = "no longer urgent: disk 99 %, limit 98 %";
    assert_eq!(told()[0].2, format!("  {words}"));
}
