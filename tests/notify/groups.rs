//! C14.4: a webhook for one group.

use crate::service::{Fault, Received, Service};
use crate::support::{Format, Notify, entries, event, message, offline};
use dev::tables::Tables;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// An entry of a server in a group.
fn of(group: &str, mut entry: Value) -> Value {
    entry["group"] = json!(group);
    entry
}

fn disk(server_id: &str) -> Value {
    json!({
        "server_id": server_id, "hostname": null, "kind": "disk", "name": "/data", "value": 98, "limit": 97, "urgent": true,
    })
}

/// Who is offline is in `db` and in none; an urgent problem, and who is back and removed, in `web`.
fn mixed() -> Value {
    let back = json!({ "server_id": "web-2", "offline_since": null });
    message(&json!({
        "offline": [of("db", offline("db-1", "a")), offline("mail", "b")],
        "problems": [of("web", disk("web-1"))],
        "back": [of("web", back)],
        "removed": [of("web", json!({ "server_id": "web-3" }))],
        "omitted": 7,
    }))
}

/// What services for these groups receive, the empty one being for everything, of each format in turn.
async fn received(format: &'static str, groups: &[&str], text: &str) -> Vec<Vec<Received>> {
    let mut services = Vec::new();
    for _ in groups {
        services.push(Service::start(format).await);
    }
    let entries = services.iter().zip(groups).map(|(service, group)| match *group {
        "" => service.entry(),
        group => service.entry_of(group),
    });
    let urls: Vec<_> = entries.collect();
    let settings = [("PAGE_URL", "https://page.example".to_owned())].into();
    let notify = Notify::start_with(&urls.join(" "), &settings);
    assert!(notify.send_within(60, Some("a subject"), text).await, "{:?}", notify.log());
    services.iter().map(Service::take).collect()
}

// C14.4 C11.2
#[tokio::test]
async fn a_webhook_of_a_group_hears_of_nothing_else() {
    for format in Format::all().iter().filter(|format| format.name != "json") {
        let groups = ["", "db", "web", "cache"];
        let received = received(format.name, &groups, &mixed().to_string()).await;
        let texts: Vec<_> = received
            .iter()
            .map(|all| all.first().map(Received::text).unwrap_or_default())
            .collect();
        let [all, db, web, cache] = &texts[..] else { unreachable!("four groups") };
        assert_eq!(received.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 0], "{cache}");
        let names = ["db-1", "mail", "web-1", "web-2", "web-3", "and 7 more"];
        let named = |text: &str| names.map(|name| text.replace('\\', "").contains(name));
        assert_eq!(named(all), [true; 6], "{all}");
        assert_eq!(named(db), [true, false, false, false, false, false], "{db}");
        assert_eq!(named(web), [false, false, true, true, true, false], "{web}");
        if format.name == "ntfy" {
            let header = |place: usize, name: &str| {
                received[place][0].headers[name].to_str().unwrap().to_owned()
            };
            assert_eq!(
                (header(1, "title"), header(1, "priority")),
                ("1 server offline".to_owned(), "high".to_owned())
            );
            let title = "Urgent: 1 server back, 1 problem, 1 server removed";
            assert_eq!(
                (header(2, "title"), header(2, "priority")),
                (title.to_owned(), "urgent".to_owned())
            );
            // The page of the only server that it is about.
            assert!(header(1, "click").ends_with("/servers/db-1"), "{}", header(1, "click"));
        } else {
            assert!(web.lines().next().unwrap().contains("Urgent: 1 server back"), "{web}");
            assert!(db.starts_with("🚨") && db.contains("/servers/db-1"), "{db}");
        }
    }
}

// C14.4
#[tokio::test]
async fn a_program_of_a_group_gets_the_entries_of_that_group() {
    let text = mixed().to_string();
    let received = received("json", &["", "web", "db", "cache"], &text).await;
    assert_eq!(received[0][0].body, text);
    let web = received[1][0].json();
    let ids = |lists: &Value| {
        let lists = ["offline", "back", "problems", "solved", "removed"].map(|list| &lists[list]);
        lists.map(|list| {
            list.as_array().unwrap().iter().map(|it| it["server_id"].clone()).collect::<Vec<_>>()
        })
    };
    let expected = [vec![], vec!["web-2"], vec!["web-1"], vec![], vec!["web-3"]];
    assert_eq!(ids(&web), expected.map(|ids| ids.into_iter().map(Value::from).collect::<Vec<_>>()));
    assert_eq!((&web["omitted"], &web["time"]), (&0.into(), &mixed()["time"]));
    assert_eq!(
        (&web["problems"][0]["value"], &web["problems"][0]["urgent"]),
        (&98.into(), &true.into())
    );
    assert_eq!(received[2][0].json()["offline"][0]["group"], "db");
    assert!(received[3].is_empty());
}

// C14.4
#[tokio::test]
async fn only_a_test_goes_to_all_and_everything_else_to_those_without_a_group() {
    let mut digest = mixed();
    digest["digest"] = true.into();
    let alarm =
        json!({ "AlarmName": "SweepAlarm-1", "NewStateValue": "ALARM", "OldStateValue": "OK" });
    for (text, of_group) in [
        (digest.to_string(), 0),
        (alarm.to_string(), 0),
        ("Disk swap planned.".to_owned(), 0),
        (message(&json!({ "offline": [offline("web-1", "a")] })).to_string(), 0),
        (json!({ "test": "It works." }).to_string(), 1),
    ] {
        for format in ["slack", "json"] {
            let received = received(format, &["db", "", "web"], &text).await;
            let counts: Vec<_> = received.iter().map(Vec::len).collect();
            assert_eq!(counts, [of_group, 1, of_group], "{text}");
        }
    }
}

/// What the item of `notify` holds, without its key and times.
async fn noted(tables: &Tables) -> BTreeMap<String, String> {
    let item = tables.server("#notify").await.unwrap_or_default().into_iter();
    let item = item.map(|(name, value)| (name, value.as_s().unwrap().clone()));
    let item = item.map(|(name, value)| match name.split_once('_').unwrap().0 {
        "delivered" | "failed" => (name, String::new()),
        _ => (name, value),
    });
    item.filter(|(name, _)| name != "server_id").collect()
}

fn expected(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
    attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

// C14.4 C11.5: what is not sent is neither delivered, nor has it failed.
#[tokio::test]
async fn what_is_not_sent_is_no_delivery() {
    let tables = Tables::create().await;
    let [all, db] = [Service::start("ntfy").await, Service::start("slack").await];
    let urls = format!("{} {}", all.entry(), db.entry_of("db"));
    let notify = Notify::start_with(&urls, &tables.settings());
    let web = message(&json!({ "problems": [of("web", disk("web-1"))] }));
    assert!(notify.send(&web).await);
    let formats = [("format_1", "ntfy"), ("format_2", "slack"), ("group_2", "db")];
    let known =
        |more: &[(&str, &str)]| expected(&[&formats[..], &[("delivered_1", "")], more].concat());
    assert_eq!(noted(&tables).await, known(&[]));
    let log = notify.log();
    let of_db = log.iter().find(|line| line["position"] == 2).unwrap();
    assert_eq!((&of_db["group"], &of_db["level"]), (&"db".into(), &"INFO".into()), "{of_db}");
    assert_ne!(of_db["message"], "delivered");

    // Nor does it end what failed before.
    db.fail([Fault::Answer(404, "no_service".to_owned())]);
    let error = notify.try_send_within(60, None, &mixed().to_string()).await.unwrap_err();
    assert_eq!(error, "1 of 2 webhooks failed: 2 slack@db: 404, no_service");
    let failed = known(&[("failed_2", ""), ("reason_2", "404, no_service")]);
    assert_eq!(noted(&tables).await, failed);
    assert_eq!(notify.log().last().unwrap()["group"], "db");
    assert!(notify.send(&web).await);
    assert_eq!(noted(&tables).await, failed);
    assert!(notify.send(&mixed()).await);
    assert_eq!(noted(&tables).await, known(&[("delivered_2", "")]));

    // A webhook that is for everything now.
    let notify = Notify::start_with(&entries(&[&all, &db]), &tables.settings());
    assert!(notify.send(&web).await);
    let both =
        [("delivered_1", ""), ("delivered_2", ""), ("format_1", "ntfy"), ("format_2", "slack")];
    assert_eq!(noted(&tables).await, expected(&both));
}

// C14.4 C11.5: even if there is nobody to send it to.
#[tokio::test]
async fn webhooks_are_known_before_there_is_something_for_them() {
    let tables = Tables::create().await;
    let db = Service::start("slack").await;
    let notify = Notify::start_with(&db.entry_of("db"), &tables.settings());
    assert!(notify.send(&message(&json!({ "offline": [offline("web-1", "a")] }))).await);
    assert_eq!(noted(&tables).await, expected(&[("format_1", "slack"), ("group_1", "db")]));
    assert!(db.take().is_empty());
}

// C14.4: several messages of one event.
#[tokio::test]
async fn of_several_messages_those_of_its_group_are_sent() {
    let db = Service::start("json").await;
    let notify = Notify::start_with(&db.entry_of("db"), &HashMap::new());
    let record = |text: &str| {
        let event: Value = serde_json::from_str(&event(None, text)).unwrap();
        event["Records"][0].clone()
    };
    let texts = ["Disk swap planned.", &mixed().to_string(), &json!({ "test": "x" }).to_string()];
    let all = json!({ "Records": texts.map(record) });
    notify.deliver_within(60, &all.to_string()).await.unwrap();
    let received = db.take();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].json()["offline"][0]["server_id"], "db-1");
    assert_eq!(received[1].body, r#"{"test":"x"}"#);
}
