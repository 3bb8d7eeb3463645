//! C14: the rules of groups.

use crate::support::topic::Behavior;
use crate::support::{OWN_METRICS, TestWatchdog, lines, state, stored};
use aws_sdk_dynamodb::types::AttributeValue::{self, M, N, S};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn rules(entries: &[(&str, AttributeValue)]) -> AttributeValue {
    M(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn text(text: &str) -> AttributeValue {
    S(text.to_owned())
}

fn number(number: &str) -> AttributeValue {
    N(number.to_owned())
}

// C14.1: the server's own threshold, else its group's, else the watchdog's.
#[tokio::test]
async fn a_servers_threshold_precedes_its_groups_and_this_the_watchdogs() {
    let watchdog = TestWatchdog::start().await;
    watchdog.put("#groups", &[("web", rules(&[("offline_after", number("600"))]))]).await;
    for (server, group, own) in [
        ("a", None, None),
        ("b", Some("web"), None),
        ("c", Some("web"), Some("0")),
        ("d", Some("db"), None),
        ("e", Some("none"), None),
    ] {
        let group = group.map(|group| ("group", text(group)));
        let own = own.map(|seconds| ("offline_after", number(seconds)));
        let attributes: Vec<_> = group.into_iter().chain(own).collect();
        watchdog.put(server, &attributes).await;
        watchdog.heartbeat(server, 0).await;
    }
    // Others that are heard, so that it is no mass absence.
    let hear = async |seconds| {
        for number in 0..8 {
            watchdog.heartbeat(&format!("heard-{number}"), seconds).await;
        }
    };
    hear(181).await;
    watchdog.sweep(181).await.unwrap();
    let offline = |servers: &[&str]| servers.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let said = |watchdog: &TestWatchdog| {
        let published = watchdog.topic.take();
        let list = published.first().map(|message| message.default["offline"].clone());
        let list = list.and_then(|list| list.as_array().cloned()).unwrap_or_default();
        list.iter().map(|entry| entry["server_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(&watchdog), offline(&["a", "d", "e"]));
    hear(601).await;
    watchdog.sweep(601).await.unwrap();
    assert_eq!(said(&watchdog), offline(&["b"]));
    hear(9_000).await;
    watchdog.sweep(9_000).await.unwrap();
    assert_eq!(said(&watchdog), offline(&[]), "c is never late");
}

// C14.1 C8.7: whichever silence holds.
#[tokio::test]
async fn a_silence_of_the_group_is_a_silence_of_its_servers() {
    let watchdog = TestWatchdog::start().await;
    let silenced = rules(&[("silenced_until", text(&stored(1000)))]);
    watchdog.put("#groups", &[("web", silenced)]).await;
    let own = |seconds| ("silenced_until", text(&stored(seconds)));
    watchdog.put("a", &[("group", text("web")), own(100)]).await;
    watchdog.put("b", &[("group", text("web")), own(2000)]).await;
    watchdog.heartbeat("a", 0).await;
    watchdog.heartbeat("b", 0).await;
    watchdog.sweep(999).await.unwrap();
    assert_eq!(watchdog.state("a").await, state("offline", Some(0), None));
    assert_eq!(watchdog.topic.take(), []);
    watchdog.sweep(1000).await.unwrap();
    let published = watchdog.topic.take();
    let said = published[0].default["offline"].as_array().unwrap();
    assert_eq!((said.len(), &said[0]["server_id"]), (1, &"a".into()));
    watchdog.sweep(2000).await.unwrap();
    assert_eq!(watchdog.topic.take()[0].default["offline"][0]["server_id"], "b");
}

// C14.1 C9.6: limits by key.
#[tokio::test]
async fn limits_are_those_of_the_server_its_group_and_the_watchdog_by_key() {
    let limits = "disk_percent=90,memory_percent=90,cpu_percent=90,load_5m=9";
    let watchdog = TestWatchdog::start_with(&[("LIMITS", limits)]).await;
    let of_group = rules(&[("limits", text("memory_percent=50,cpu_percent=50,load_5m=off"))]);
    watchdog.put("#groups", &[("web", of_group)]).await;
    let values = ["disk_percent", "memory_percent", "cpu_percent", "load_5m"];
    let reading = values.map(|name| (name.to_owned(), number("60")));
    let received = ("received_at".to_owned(), text(&stored(0)));
    let reading = M(reading.into_iter().chain([received]).collect());
    let own = ("limits", text("cpu_percent=70"));
    watchdog.put("web-1", &[("group", text("web")), own, ("reading", reading)]).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(10).await.unwrap();
    let published = watchdog.topic.take();
    let problems = published[0].default["problems"].as_array().unwrap();
    let named: Vec<_> =
        problems.iter().map(|problem| (&problem["name"], &problem["limit"])).collect();
    assert_eq!(named, [(&"memory_percent".into(), &50.0.into())], "{problems:?}");
}

// C14.1
#[tokio::test]
async fn a_rule_that_cannot_be_read_is_absent_and_said_in_the_log() {
    let watchdog = TestWatchdog::start().await;
    let broken = rules(&[("offline_after", text("soon")), ("silenced_until", text("later"))]);
    watchdog.put("#groups", &[("web", broken), ("No Group", rules(&[]))]).await;
    watchdog.put("a", &[("group", text("web"))]).await;
    watchdog.put("b", &[("group", text("Not A Group"))]).await;
    watchdog.heartbeat("a", 0).await;
    watchdog.heartbeat("b", 0).await;
    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.topic.take()[0].default["offline"].as_array().unwrap().len(), 2);
    let log = watchdog.log();
    let [line] = lines(&log, "groups have a rule that cannot be read")[..] else {
        panic!("{log:?}")
    };
    assert_eq!((&line["level"], &line["groups"]), (&"WARN".into(), &"No Group, web".into()));
    let [malformed] = lines(&log, "items hold a value that cannot be read")[..] else {
        panic!("{log:?}")
    };
    assert_eq!(malformed["items"], 1);
}

// C14.1 C8.8: a sweep that does not know the rules judges nobody.
#[tokio::test]
async fn without_the_rules_of_groups_nobody_is_judged() {
    use dev::proxy::{Call, Fault, Proxy};

    let proxy = Proxy::start(&dev::dynamodb::URL);
    let watchdog = TestWatchdog::start_with(&[
        ("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url),
        ("AWS_REGION", "groups"),
    ])
    .await;
    watchdog.heartbeat("a", 0).await;
    // The watchdog's own item is read first.
    let reads = AtomicUsize::new(0);
    proxy.rule(move |call| {
        let is_second = call == Call::Key && reads.fetch_add(1, Ordering::Relaxed) == 1;
        is_second.then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    let failed = watchdog.sweep_within(181, Duration::from_secs(20)).await.unwrap_err();
    assert!(failed.to_string().contains("#groups cannot be read"), "{failed}");
    assert_eq!(watchdog.topic.take(), []);
    proxy.heal();
    watchdog.sweep(182).await.unwrap();
    assert_eq!(watchdog.topic.take()[0].default["offline"][0]["server_id"], "a");
}

/// A watchdog over a group whose servers come and go: `web-1` in it and nine others, all of which are heard at this second.
async fn ephemeral() -> TestWatchdog {
    let watchdog = TestWatchdog::start().await;
    watchdog.put("#groups", &[("web", rules(&[("ephemeral", AttributeValue::Bool(true))]))]).await;
    watchdog.put("web-1", &[("group", text("web"))]).await;
    watchdog.put("nas", &[]).await;
    hear(&watchdog, &["web-1", "nas"], 0).await;
    watchdog
}

/// Heartbeats of these servers and of others, so that there is no mass absence.
async fn hear(watchdog: &TestWatchdog, servers: &[&str], seconds: i64) {
    for server in servers {
        watchdog.heartbeat(server, seconds).await;
    }
    for number in 0..8 {
        watchdog.heartbeat(&format!("heard-{number}"), seconds).await;
    }
}

const DAY: i64 = 86_400;

// C14.3: what is shut down is said so, unless its group is ephemeral; then it is removed after a day without a word.
#[tokio::test]
async fn what_is_shut_down_in_an_ephemeral_group_is_never_announced() {
    let watchdog = ephemeral().await;
    for server in ["web-1", "nas"] {
        watchdog.set(server, "left_at", Some(&stored(0))).await;
    }
    hear(&watchdog, &[], 181).await;
    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), None));
    let published = watchdog.topic.take();
    let said = published[0].default["offline"].as_array().unwrap();
    let entry = json!({
        "server_id": "nas", "hostname": "nas.lan", "last_seen": stored(0), "left_at": stored(0),
    });
    assert_eq!(*said, [entry]);
    assert_eq!(published[0].parameters["Subject"], "nas was shut down");
    let expected = "nas (nas.lan)\n  was shut down at 10:30 UTC (3 min)";
    assert!(published[0].email.contains(expected), "{}", published[0].email);
    let log = watchdog.log();
    assert_eq!(lines(&log, "server gone")[0]["level"], "INFO");
    assert_eq!(
        (&lines(&log, "sweep")[0]["gone"], &lines(&log, "sweep")[0]["offline"]),
        (&1.into(), &1.into())
    );

    hear(&watchdog, &[], DAY - 1).await;
    watchdog.sweep(DAY - 1).await.unwrap();
    assert!(watchdog.item("web-1").await.is_some());
    hear(&watchdog, &[], DAY).await;
    watchdog.sweep(DAY).await.unwrap();
    assert_eq!(watchdog.item("web-1").await, None);
    assert!(watchdog.item("nas").await.is_some(), "its group is none");
    assert_eq!(watchdog.topic.take(), []);
    assert_eq!(lines(&watchdog.log(), "server removed").len(), 1);
}

// C14.3: one that dies without a word is announced as ever, and so is its removal.
#[tokio::test]
async fn what_crashes_in_an_ephemeral_group_is_announced_and_then_removed() {
    let watchdog = ephemeral().await;
    // It came back after it had left once.
    watchdog.set("web-1", "left_at", Some(&stored(-60))).await;
    hear(&watchdog, &["nas"], 181).await;
    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.topic.take()[0].default["offline"][0]["server_id"], "web-1");
    hear(&watchdog, &["nas"], DAY).await;
    watchdog.set("web-1", "silenced_until", Some(&stored(DAY + 60))).await;
    watchdog.sweep(DAY).await.unwrap();
    assert_eq!((watchdog.topic.take(), watchdog.item("web-1").await.is_some()), (vec![], true));
    hear(&watchdog, &["nas"], DAY + 60).await;
    watchdog.topic.set_behavior(Behavior::Rejects);
    watchdog.sweep(DAY + 60).await.unwrap_err();
    assert!(watchdog.item("web-1").await.is_some(), "it has not been said");
    watchdog.topic.set_behavior(Behavior::Accepts);
    watchdog.topic.take();
    hear(&watchdog, &["nas"], DAY + 120).await;
    watchdog.sweep(DAY + 120).await.unwrap();
    let published = watchdog.topic.take();
    let removed = json!([
        { "server_id": "web-1", "hostname": "web-1.lan", "group": "web", "last_seen": stored(0) }
    ]);
    assert_eq!(published[0].default["removed"], removed);
    assert_eq!(published[0].parameters["Subject"], "web-1 was removed");
    assert_eq!(watchdog.item("web-1").await, None);
}

// C14.3 C8.4: many that leave at once are no mass absence, and hide none.
#[tokio::test]
async fn those_that_leave_count_neither_as_overdue_nor_as_heard() {
    let watchdog = ephemeral().await;
    for number in 0..20 {
        let id = format!("web-a{number}");
        watchdog.put(&id, &[("group", text("web")), ("left_at", text(&stored(0)))]).await;
        watchdog.heartbeat(&id, 0).await;
    }
    hear(&watchdog, &["nas"], 181).await;
    watchdog.sweep(181).await.unwrap();
    let published = watchdog.topic.take();
    let said = published[0].default["offline"].as_array().unwrap();
    assert_eq!((said.len(), &said[0]["server_id"]), (1, &"web-1".into()), "the crash among them");
    assert_eq!(lines(&watchdog.log(), "sweep")[0]["gone"], 20);
}

// C14.4 C8.6 C12: each entry has its group, and the message names them, so that subscriptions can filter.
#[tokio::test]
async fn a_message_names_the_groups_of_its_entries() {
    let settings = [("METRICS_TABLE", OWN_METRICS), ("LIMITS", "disk_percent=90")];
    let watchdog = TestWatchdog::start_with(&settings).await;
    for (server, group) in
        [("db-1", Some("db")), ("mail", None), ("nas", Some("none")), ("web-1", Some("web"))]
    {
        let group = group.map(|group| ("group", text(group)));
        watchdog.put(server, &group.into_iter().collect::<Vec<_>>()).await;
    }
    let disk = |percent: &str, seconds| {
        let received = ("received_at", text(&stored(seconds)));
        rules(&[("disk_percent", number(percent)), received])
    };
    hear(&watchdog, &["db-1", "mail", "nas", "web-1"], 0).await;
    watchdog.put("full", &[("group", text("cache")), ("reading", disk("95", 181))]).await;
    hear(&watchdog, &["full"], 181).await;
    watchdog.sweep(181).await.unwrap();
    let groups = |entries: &Value| -> Vec<(Value, Value)> {
        let entries = entries.as_array().unwrap().iter();
        entries.map(|it| (it["server_id"].clone(), it["group"].clone())).collect()
    };
    let begun = watchdog.topic.take().remove(0);
    assert_eq!(begun.groups, ["cache", "db", "web"]);
    let expected = [
        ("db-1", json!("db")),
        ("mail", Value::Null),
        ("nas", Value::Null),
        ("web-1", json!("web")),
    ];
    let expected = expected.map(|(id, group)| (json!(id), group));
    assert_eq!(groups(&begun.default["offline"]), expected);
    assert_eq!(groups(&begun.default["problems"]), [(json!("full"), json!("cache"))]);
    // So it is known what happened.
    let events = watchdog.tables.client.scan().table_name(&watchdog.tables.metrics).send().await;
    let events = events.unwrap().items.unwrap();
    let said = |id: &str| -> Value {
        let event = events.iter().find(|item| item["server_id"] == text(id)).unwrap();
        serde_json::from_str(event["said"].as_s().unwrap()).unwrap()
    };
    assert_eq!(said("#events"), begun.default);
    assert_eq!(said("#events:db-1")["offline"][0]["group"], "db");

    // Both ends have it, and a group of nobody in it is not named.
    hear(&watchdog, &["db-1", "mail"], 200).await;
    watchdog.set_value("full", "reading", disk("10", 200)).await;
    hear(&watchdog, &["full"], 200).await;
    watchdog.sweep(241).await.unwrap();
    let back = watchdog.topic.take().remove(0);
    assert_eq!(back.groups, ["db"]);
    assert_eq!(groups(&back.default["back"]), expected[..2]);
    watchdog.set_value("full", "reading", disk("10", 1_200)).await;
    hear(&watchdog, &["db-1", "mail", "full"], 1_200).await;
    watchdog.sweep(1_201).await.unwrap();
    let solved = watchdog.topic.take().remove(0);
    assert_eq!(
        (solved.groups, solved.kinds),
        (vec!["cache".to_owned()], vec!["solved".to_owned()])
    );
    assert_eq!(groups(&solved.default["solved"]), [(json!("full"), json!("cache"))]);
}

// C14.4: SNS is not known to accept an empty list, and a digest is for those who hear everything.
#[tokio::test]
async fn a_message_without_a_group_and_a_digest_have_no_attribute_for_groups() {
    let watchdog = TestWatchdog::scheduled(&[("DIGEST_AT", "10:45")]).await;
    watchdog.put("db-1", &[("group", text("db"))]).await;
    hear(&watchdog, &["db-1", "mail"], 0).await;
    hear(&watchdog, &[], 181).await;
    watchdog.sweep(181).await.unwrap();
    let offline = watchdog.topic.take().remove(0);
    assert_eq!(offline.groups, ["db"]);
    hear(&watchdog, &[], 900).await;
    watchdog.sweep(900).await.unwrap();
    let digest = watchdog.topic.take().remove(0);
    assert_eq!(digest.default["offline"][0]["group"], "db");
    assert_eq!(digest.kinds, ["digest"]);
    hear(&watchdog, &["mail"], 910).await;
    watchdog.sweep(960).await.unwrap();
    let back = watchdog.topic.take().remove(0);
    assert_eq!(back.default["back"][0]["group"], Value::Null);
    for message in [digest, back] {
        let names: Vec<_> =
            message.parameters.values().filter(|value| *value == "groups").collect();
        assert!(names.is_empty(), "{:?}", message.parameters);
    }
}
