//! C8.5, C8.6 and C8.9: what is published.

use crate::support::topic::Behavior;
use crate::support::{TOPIC_ARN, TestWatchdog, at, lines, pending, state, stored, text};
use announcement::{Announcement, Kind, Problem, Solved};
use heartbeat::watchdog::SnsMessage;
use serde_json::{Value, json};
use tables::server::Server;
use tables::time::Stored;
use tables::{Group, Zone};
use verdict::announce;

fn server(server_id: &str, hostname: Option<&str>) -> Server {
    Server {
        server_id: server_id.to_owned(),
        hostname: hostname.map(str::to_owned),
        last_seen: Stored::parse(stored(0)),
        offline_since: Stored::parse(stored(-600)),
        ..Server::default()
    }
}

/// The message about servers that went offline and came back.
fn announce(offline: &[Server], back: &[Server]) -> Option<SnsMessage> {
    let back = back.iter().map(went_back);
    SnsMessage::new(
        offline.iter().map(went_offline).chain(back).collect(),
        at(0),
        &Zone::default(),
        None,
    )
}

fn went_offline(server: &Server) -> Announcement {
    Announcement::Offline(announce::absence(server))
}

fn went_back(server: &Server) -> Announcement {
    Announcement::Back(announce::end(server))
}

// C8.6
#[tokio::test]
async fn a_message_lists_servers_that_went_offline_and_came_back() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("back", 0).await;
    watchdog.sweep(181).await.unwrap();
    watchdog.topic.take();
    watchdog.heartbeat("back", 420).await;
    let seen = ("last_seen", text(&stored(200)));
    watchdog.put("nameless", &[("status", text("online")), seen]).await;
    watchdog.sweep(421).await.unwrap();

    let [message] = &watchdog.topic.take()[..] else { panic!("expected one message") };
    for (name, value) in [
        ("Action", "Publish"),
        ("TopicArn", TOPIC_ARN),
        ("MessageStructure", "json"),
        ("Subject", "1 server offline, 1 server back"),
    ] {
        assert_eq!(message.parameters[name], value);
    }
    let mut default = json!({ "time": stored(421), "omitted": 0 });
    // A silence is no news of a sweep.
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Silenced) {
        default[kind.key()] = json!([]);
    }
    default["offline"] =
        json!([{ "server_id": "nameless", "hostname": null, "last_seen": stored(200) }]);
    default["back"] = json!([{
        "server_id": "back", "hostname": "back.lan", "offline_since": stored(0), "returned_at": stored(420),
        "last_seen": stored(420),
    }]);
    assert_eq!(message.default, default);
    assert_eq!(
        message.email,
        "1 server offline:\n\n\
         nameless\n  since 10:33 UTC (4 min)\n\n\
         1 server back:\n\n\
         back (back.lan)\n  was offline since 10:30 UTC, away for at most 7 min 0 s\n\n"
    );
}

// C8.6
#[test]
fn the_email_ends_with_a_link_to_the_page() {
    let servers = ["web-1", "web-2"].map(|server_id| server(server_id, None));
    let about_both: Vec<_> = servers.iter().map(went_offline).collect();
    let about_one = [went_offline(&servers[0]), went_back(&servers[0])];
    for (subjects, page_url, last) in [
        (&about_one[..], "https://x.example/hb/", "https://x.example/hb/servers/web-1"),
        (&about_one, "https://x.example", "https://x.example/servers/web-1"),
        (&about_both, "https://x.example/hb", "https://x.example/hb/"),
    ] {
        let email = SnsMessage::new(subjects.to_vec(), at(0), &Zone::default(), Some(page_url))
            .unwrap()
            .email;
        assert_eq!(email.lines().last(), Some(last), "{email}");
    }
    let without = SnsMessage::new(about_one.to_vec(), at(0), &Zone::default(), None).unwrap().email;
    assert!(!without.contains("://"), "{without}");
}

// C8.16: in words, times have a zone; in JSON, they stay in UTC.
#[tokio::test]
async fn an_email_says_times_in_the_zone() {
    let watchdog = TestWatchdog::start_with(&[("TIME_ZONE", "Europe/Berlin")]).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(0).await.unwrap();
    watchdog.sweep(181).await.unwrap();
    let message = watchdog.topic.take().remove(0);
    assert!(message.email.contains("since 11:30 CET (3 min)"), "{}", message.email);
    assert_eq!(message.default["time"], stored(181));
    assert_eq!(message.default["offline"][0]["last_seen"], stored(0));
}

// C8.6: there is a subject for any number of servers. It has at most 99 ASCII characters.
#[test]
fn subjects_are_short_and_plain() {
    let one = [server("web-1", None)];
    let three = ["a", "b", "c"].map(|server_id| server(server_id, None));
    let long = [server(&"x".repeat(100), None)];
    let odd = [server("wéb\n1", None)];
    for (offline, back, subject) in [
        (&one[..], &[][..], "web-1 is offline"),
        (&[], &one, "web-1 is back"),
        (&three, &[], "3 servers offline"),
        (&three, &one, "3 servers offline, 1 server back"),
        (&long, &[], "1 server offline"),
        (&[], &odd, "1 server back"),
    ] {
        let announcement = announce(offline, back).unwrap();
        assert_eq!(announcement.subject, subject);
        let message: Value = serde_json::from_str(&announcement.json()).unwrap();
        assert!(message["sms"].as_str().unwrap().len() <= 140);
    }
    assert_eq!(announce(&[], &[]), None);
}

// C8.6: no host name can forge a line of the mail.
#[test]
fn control_characters_in_host_names_are_escaped() {
    let forged = "a\r\nweb-9 is back\u{7}\u{85}\u{61c}\u{2028}\u{202e}\u{feff}é🖥";
    let announcement = announce(&[server("web-1", Some(forged))], &[]).unwrap();
    let lines: Vec<_> = announcement.email.lines().collect();
    assert_eq!(
        lines[2],
        "web-1 (a\\u{d}\\u{a}web-9 is back\\u{7}\\u{85}\\u{61c}\\u{2028}\\u{202e}\\u{feff}é🖥)"
    );
    let default: Value = serde_json::from_str(&announcement.default).unwrap();
    assert_eq!(default["offline"][0]["hostname"], forged);
}

// C8.6: the message fits, regardless of the number of servers and their names.
#[test]
fn a_message_never_exceeds_the_limit_of_sns() {
    for hostname in ["x", &"é\u{1}\"\\".repeat(60), &"🖥".repeat(255)] {
        let many: Vec<_> =
            (0..2_000).map(|number| server(&format!("web-{number}"), Some(hostname))).collect();
        for (offline, back) in [(&many[..], &[][..]), (&[], &many), (&many, &many)] {
            let announcement = announce(offline, back).unwrap();
            let message = announcement.json();
            assert!(message.len() <= 256 * 1024, "{} bytes", message.len());
            let default: Value = serde_json::from_str(&announcement.default).unwrap();
            let named = |list: &str| default[list].as_array().unwrap().len();
            let omitted = default["omitted"].as_u64().unwrap();
            let all = (offline.len() + back.len()) as u64;
            assert!(omitted > 0 && omitted < all, "{omitted}");
            assert_eq!(named("offline") as u64 + named("back") as u64 + omitted, all);
            let rest = format!("{omitted} entries did not fit into this message.");
            assert!(announcement.email.contains(&rest));
        }
    }
}

// C14.4: the attribute for groups is complete, and counts.
#[test]
fn any_number_of_groups_fits_into_the_limit_of_sns() {
    let in_group = |number: usize| Server {
        group: Group::new(&format!("group-{number:010}")),
        ..server(&format!("web-{number}"), None)
    };
    let many: Vec<_> = (0..3_000).map(in_group).collect();
    let announcement = announce(&many, &[]).unwrap();
    let attributes: Vec<_> = announcement.attributes().collect();
    let [(kinds, _), (groups, value)] = &attributes[..] else { panic!("{attributes:?}") };
    assert_eq!((*kinds, *groups), ("kinds", "groups"));
    let size = announcement.json().len() + announcement.subject.len();
    let size = attributes.iter().fold(size, |size, (name, value)| size + name.len() + value.len());
    assert!((200 * 1024..=256 * 1024).contains(&size), "{size} bytes");
    let groups: Vec<String> = serde_json::from_str(value).unwrap();
    let default: Value = serde_json::from_str(&announcement.default).unwrap();
    let entries = default["offline"].as_array().unwrap();
    let of_entries: Vec<_> = entries.iter().map(|entry| entry["group"].as_str().unwrap()).collect();
    assert_eq!(groups, of_entries);
    assert!(groups.len() > 500 && default["omitted"].as_u64().unwrap() > 0, "{}", groups.len());
}

// C8.6: no server crowds out another.
#[test]
fn what_fits_is_chosen_in_rounds() {
    let hostname = "\u{1}".repeat(255);
    let problem = |server_id: &str, name: String| {
        Announcement::Problem(Problem {
            server_id: server_id.to_owned(),
            hostname: Some(hostname.clone()),
            name,
            ..Problem::default()
        })
    };
    let solved = Announcement::Solved(Solved {
        problem: Problem { server_id: "db-1".to_owned(), ..Problem::default() },
        end: String::new(),
    });
    let liar = (0..2_000).map(|number| problem("a", format!("service-{number}")));
    let others = ["db-1", "db-2"].map(|server_id| problem(server_id, "nginx".to_owned()));
    let others = others.into_iter().chain([solved, went_offline(&server("web-1", None))]);
    let announcement =
        SnsMessage::new(liar.chain(others).collect(), at(0), &Zone::default(), None).unwrap();
    let default: Value = serde_json::from_str(&announcement.default).unwrap();
    let named = |list: &str| {
        let entries = default[list].as_array().unwrap().iter();
        entries.map(|entry| entry["server_id"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((named("offline"), named("solved")), (vec!["web-1"], vec!["db-1"]));
    let problems = named("problems");
    let (liar, others) = problems.split_at(problems.len() - 2);
    assert!(liar.len() > 5 && liar.iter().all(|server_id| *server_id == "a"), "{liar:?}");
    assert_eq!(others, ["db-1", "db-2"]);
    assert_eq!(default["omitted"], 2_000 - liar.len());
    let email = announcement.email;
    assert!(email.starts_with("1 server offline:\n\nweb-1\n"), "{email}");
    for line in ["db-1 (", "db-2 (", "1 problem solved:\n\ndb-1\n"] {
        assert_eq!(email.matches(&format!("\n{line}")).count(), 1, "{line:?}");
    }
}

// C8.6: no host name makes a link in an email.
#[test]
fn a_host_name_makes_no_link() {
    let hostname = "https://evil.example/www.evil.example WWW.x \u{e0041}";
    let announcement = announce(&[server("web-1", Some(hostname))], &[]).unwrap();
    let name =
        "web-1 (https:\u{200b}//evil.example/www\u{200b}.evil.example WWW\u{200b}.x \\u{e0041})";
    assert_eq!(announcement.email.lines().nth(2), Some(name));
}

// C8.6: everybody is named, if not by this message, then by the next.
#[tokio::test]
async fn servers_that_did_not_fit_are_named_by_the_next_messages() {
    let watchdog = TestWatchdog::start_with(&[("HOLD_SECONDS", "0")]).await;
    for number in 0..300 {
        let hostname = ("hostname", text(&"\u{1}".repeat(255)));
        let seen = ("last_seen", text(&stored(0)));
        let attributes = [("status", text("online")), seen, hostname];
        watchdog.put(&format!("web-{number}"), &attributes).await;
    }
    let mut named = std::collections::BTreeSet::new();
    let mut omitted = Vec::new();
    for sweep in 0..20 {
        watchdog.sweep(181 + 60 * sweep).await.unwrap();
        let Some(message) = watchdog.topic.take().pop() else {
            break;
        };
        omitted.push(message.default["omitted"].as_u64().unwrap());
        let entries = message.default["offline"].as_array().unwrap().iter();
        let ids = entries.map(|entry| entry["server_id"].as_str().unwrap().to_owned());
        let ids: Vec<_> = ids.collect();
        let numbers = ids.iter().map(|id| id["web-".len()..].parse::<u32>().unwrap());
        assert!(numbers.is_sorted(), "web-2 comes before web-10: {ids:?}");
        assert!(ids.into_iter().all(|id| named.insert(id)), "nobody is named twice");
    }
    assert_eq!(named.len(), 300);
    assert!(omitted.len() > 1 && omitted.last() == Some(&0), "{omitted:?}");
}

// C8.5: the return of a server is announced if its absence may have been.
#[tokio::test]
async fn a_return_is_announced_if_the_absence_may_have_been() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.topic.set_behavior(Behavior::Rejects);
    watchdog.sweep(181).await.unwrap_err();
    assert_eq!(watchdog.state("web-1").await, pending("offline", 0));
    watchdog.heartbeat("web-1", 200).await;
    watchdog.sweep(241).await.unwrap_err();
    watchdog.topic.set_behavior(Behavior::Accepts);
    watchdog.sweep(301).await.unwrap();
    let published = watchdog.topic.take();
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].default["offline"], json!([]));
    assert_eq!(published[0].default["back"][0]["offline_since"], stored(0));
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
}

// C8.5: the return was not recorded, so it is still the same absence.
#[tokio::test]
async fn a_server_that_is_late_again_is_still_absent() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(181).await.unwrap();
    watchdog.topic.take();
    watchdog.heartbeat("web-1", 190).await;
    watchdog.sweep(371).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), Some(0)));
}

// C8.9
#[tokio::test]
async fn without_a_topic_announcements_are_logged() {
    let watchdog = TestWatchdog::start_with(&[("ALERT_TOPIC_ARN", "")]).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), Some(0)));
    let log = watchdog.log();
    let [line] = lines(&log, "not published: ALERT_TOPIC_ARN is not set")[..] else {
        panic!("{log:?}")
    };
    assert_eq!(line["subject"], "web-1 is offline");
    let announcement: Value = serde_json::from_str(line["announcement"].as_str().unwrap()).unwrap();
    assert_eq!(announcement["offline"][0]["server_id"], "web-1");
    watchdog.heartbeat("web-1", 200).await;
    watchdog.sweep(241).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    assert_eq!(watchdog.topic.take(), []);
}
