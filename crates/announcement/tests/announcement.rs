//! The message as JSON (C8.6, C9.5, C10), and the words for each kind.

#![allow(clippy::unwrap_used)]

use announcement::{
    Absence, Announcement, Fleet, Kind, Message, Occasion, Part, Problem, ProblemKind, Removal,
    Return, Silence, Solved, Tone,
};
use insta::assert_snapshot;
use serde_json::json;
use tables::{Zone, problem};

const SINCE: &str = "2026-01-18T10:00:00.000000Z";

/// An announcement of each kind.
fn examples() -> [Announcement; 6] {
    let problem = Problem {
        server_id: "db-1".to_owned(),
        hostname: Some("db".to_owned()),
        group: Some("db".to_owned()),
        kind: ProblemKind::Known(problem::Kind::Disk),
        name: "/data".to_owned(),
        value: Some(json!(93.1)),
        limit: Some(json!(90.0)),
        since: Some(SINCE.to_owned()),
        reason: None,
        urgent: false,
    };
    [
        Announcement::Offline(Absence {
            server_id: "web-1".to_owned(),
            hostname: None,
            group: None,
            last_seen: Some(SINCE.to_owned()),
            left_at: None,
        }),
        Announcement::Back(Return {
            server_id: "web-1".to_owned(),
            hostname: None,
            group: None,
            offline_since: Some(SINCE.to_owned()),
            returned_at: Some("2026-01-18T11:05:00.000000Z".to_owned()),
            last_seen: None,
        }),
        Announcement::Problem(problem.clone()),
        Announcement::Solved(Solved { problem, end: "gone".to_owned() }),
        Announcement::Removed(Removal {
            server_id: "web-1".to_owned(),
            hostname: None,
            group: None,
            last_seen: Some(SINCE.to_owned()),
        }),
        Announcement::Silenced(Silence {
            server_id: "web-1".to_owned(),
            hostname: None,
            group: None,
            until: Some("2026-01-18T18:30:00.000000Z".to_owned()),
            by: "the page".to_owned(),
        }),
    ]
}

fn message(occasion: Occasion) -> Message {
    Message {
        occasion,
        time: Some(SINCE.to_owned()),
        // A silence is no news of a sweep.
        announcements: examples()[..5].to_vec(),
        omitted: 2,
    }
}

#[test]
fn every_kind_has_an_example_and_its_list_in_the_contract() {
    let examples = examples().map(|announcement| announcement.kind());
    assert_eq!(examples[..], *Kind::ALL);
    let contract = include_str!("../../../docs/contract.md");
    let (_, clause) = contract.split_once("`default` is JSON:").unwrap();
    let (format, _) = clause.split_once("`email`").unwrap();
    for kind in Kind::ALL {
        let list = format!("\"{}\":[", kind.key());
        assert!(format.contains(&list), "C8.6 lacks {list}");
    }
}

// C8.6 C9.5
#[test]
fn a_message_is_read_as_it_was_written() {
    let written = json!(message(Occasion::Change));
    let fields = written.as_object().unwrap().iter();
    let fields: Vec<_> = fields.map(|(name, value)| format!("{name}: {value}")).collect();
    assert_snapshot!(fields.join("\n"));
    let read: Message = serde_json::from_value(written).unwrap();
    assert_eq!(read, message(Occasion::Change));
    assert_eq!(read.tone(), Tone::Bad);
    let title = "1 server offline, 1 server back, 1 problem, 1 problem solved, 1 server removed";
    assert_eq!(read.title(), title);
}

// C13.14
#[test]
fn a_silence_is_an_event_of_its_own() {
    let silence = |until: Option<&str>| Silence {
        server_id: "web-1".to_owned(),
        hostname: Some("web".to_owned()),
        group: None,
        until: until.map(str::to_owned),
        by: "the page".to_owned(),
    };
    for until in [Some(SINCE), None] {
        let said = Message::silenced(SINCE.to_owned(), silence(until));
        let entry =
            json!({ "server_id": "web-1", "hostname": "web", "until": until, "by": "the page" });
        let written: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(written, json!({ "time": SINCE, "silenced": [entry] }));
        let read: Message = serde_json::from_str(&said).unwrap();
        assert_eq!(read.announcements, [Announcement::Silenced(silence(until))]);
    }
}

// C8.6 C10.1: other programs have seen these bytes.
#[test]
fn the_json_has_an_order() {
    let bytes = |occasion| {
        let mut message = message(occasion);
        message.announcements.truncate(1);
        serde_json::to_string(&message).unwrap()
    };
    let time = format!("\"time\":\"{SINCE}\"");
    let offline = format!(
        "\"offline\":[{{\"server_id\":\"web-1\",\"hostname\":null,\"last_seen\":\"{SINCE}\"}}]"
    );
    let others = r#""back":[],"problems":[],"solved":[],"removed":[]"#;
    let change = format!("{{{time},{offline},{others},\"omitted\":2}}");
    assert_eq!(bytes(Occasion::Change), change);
    let fleet = r#""fleet":{"servers":0,"well":0,"summary":"","remarks":[]}"#;
    let digest =
        format!("{{\"digest\":true,{fleet},{time},{offline},\"problems\":[],\"omitted\":2}}");
    assert_eq!(bytes(Occasion::Digest(Some(Fleet::default()))), digest);
    let unknown =
        Message { time: None, announcements: Vec::new(), ..message(Occasion::Digest(None)) };
    assert_eq!(
        serde_json::to_string(&unknown).unwrap(),
        r#"{"digest":true,"time":null,"offline":[],"problems":[],"omitted":2}"#
    );
}

// C10
#[test]
fn a_digest_has_only_lists_of_bad_news() {
    let written = json!(message(Occasion::Digest(None)));
    let keys: Vec<_> = written.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["digest", "offline", "omitted", "problems", "time"]);
    let read: Message = serde_json::from_value(written).unwrap();
    assert_eq!(read.occasion, Occasion::Digest(None));
    assert_eq!(read.title(), "Still wrong: 1 server offline, 1 problem");
}

// C10.1
#[test]
fn a_digest_may_say_how_the_fleet_is() {
    let fleet = Fleet {
        servers: 11,
        well: 9,
        summary: "9 of 11 are well: 2 silenced".to_owned(),
        remarks: vec!["reboot required: web-1".to_owned()],
    };
    let digest =
        |announcements| Message { announcements, ..message(Occasion::Digest(Some(fleet.clone()))) };
    let read: Message = serde_json::from_value(json!(digest(Vec::new()))).unwrap();
    assert_eq!(read, digest(Vec::new()));
    assert_eq!((read.title(), read.tone()), (fleet.summary.clone(), Tone::Neutral));
    assert_eq!(read.fleet().collect::<Vec<_>>(), ["reboot required: web-1"]);
    let wrong = digest(message(Occasion::Change).announcements);
    let lines = ["9 of 11 are well: 2 silenced", "reboot required: web-1"];
    assert_eq!(wrong.fleet().collect::<Vec<_>>(), lines);
}

// C9.8 C11.3: what came from an agent is told from words.
#[test]
fn a_name_that_could_be_a_link_is_a_part_of_its_own() {
    let problem = |name: &str| {
        Announcement::Problem(Problem {
            server_id: "web-1".to_owned(),
            kind: ProblemKind::Known(problem::Kind::Service),
            name: name.to_owned(),
            value: Some(json!("failed")),
            ..Problem::default()
        })
    };
    for (name, shown) in [
        ("nginx", "nginx failed"),
        ("www.example.com", "<www.example.com> failed"),
        ("a://b", "<a://b> failed"),
        ("@all", "<@all> failed"),
        ("a\n", "<a\\u{a}> failed"),
    ] {
        let parts = problem(name).say(None, &Zone::default()).rest;
        let parts = parts.iter().map(|part| part.short(str::to_owned, |name| format!("<{name}>")));
        let said: String = parts.collect();
        assert_eq!(said, format!(": service {shown}, since an unknown time"));
    }
}

// C9.8
#[test]
fn a_service_is_said_with_its_reason_and_its_end_without() {
    let with = |reason: &str| Problem {
        server_id: "mail".to_owned(),
        kind: ProblemKind::Known(problem::Kind::Service),
        name: "postfix".to_owned(),
        value: Some(json!("failed")),
        since: Some(SINCE.to_owned()),
        reason: Some(reason.to_owned()),
        ..Problem::default()
    };
    let known = with("exit code 1");
    assert_eq!(json!(known)["reason"], "exit code 1");
    let begun = Announcement::Problem(known.clone());
    assert_eq!(say(&begun), "mail: service postfix failed: exit code 1, since 10:00 UTC (3 min)");
    let detail: String = begun.say(None, &Zone::default()).detail.iter().map(Part::text).collect();
    assert!(detail.starts_with("service postfix failed: exit code 1, since "), "{detail}");
    let subjects = ["mail: service postfix failed: exit code 1", "mail: service postfix failed"];
    assert_eq!(begun.say(None, &Zone::default()).subjects, subjects);
    for end in ["solved", "gone", "unwatched"] {
        let ended = Announcement::Solved(Solved { problem: known.clone(), end: end.to_owned() });
        assert!(!say(&ended).contains("exit"), "{end}");
    }
    // It is an agent's text, which each format has to make harmless, and starts no line.
    let hostile = with("www.example.com\n\u{202e}<b>");
    let parts = Announcement::Problem(hostile).say(None, &Zone::default()).rest;
    let parts = parts.iter().map(|part| part.short(str::to_owned, |name| format!("<{name}>")));
    let said: String = parts.collect();
    assert!(said.contains("failed: <www.example.com\\u{a}\\u{202e}<b>>, since"), "{said}");
}

#[test]
fn a_test_is_nothing_but_its_text() {
    let test = Message::test("It works.".to_owned());
    assert_eq!(json!(test), json!({ "test": "It works." }));
    let read: Message = serde_json::from_value(json!(test)).unwrap();
    assert_eq!((read.tone(), read), (Tone::Neutral, test));
}

#[test]
fn a_message_of_another_version_can_be_read() {
    let message = json!({
        "time": SINCE, "offline": [{ "server_id": "web-1", "color": "red" }], "expired": [{ "key": "x" }],
        "problems": [
            { "server_id": "web-1", "kind": "limit", "name": "gpu_percent", "value": 97.5, "limit": 90 },
            { "server_id": "web-1", "kind": "raid", "name": "md0", "value": "degraded" },
        ],
    });
    let read: Message = serde_json::from_value(message).unwrap();
    let said: Vec<_> = read.announcements.iter().map(say).collect();
    assert_snapshot!(said.join("\n"));
    for foreign in [
        json!({ "planned": true }),
        json!({ "offline": "web-1" }),
        json!({ "offline": [{ "server_id": 1 }] }),
        json!({ "test": 1 }),
        json!({}),
        json!([1]),
        json!("offline"),
    ] {
        let read = serde_json::from_value::<Message>(foreign.clone());
        assert!(read.is_err(), "{foreign}: {read:?}");
    }
}

fn say(announcement: &Announcement) -> String {
    let now = "2026-01-18T10:03:01Z".parse().unwrap();
    let wording = announcement.say(Some(now), &Zone::default());
    let rest: String = wording.rest.iter().map(Part::text).collect();
    wording.name() + &rest
}

// C14.3
#[test]
fn what_was_shut_down_is_said_so() {
    let left_at = Some(SINCE.to_owned());
    let absence = Absence { server_id: "web-1".to_owned(), left_at, ..Absence::default() };
    let offline = Announcement::Offline(absence);
    assert_eq!(say(&offline), "web-1 was shut down at 10:00 UTC (3 min)");
    let wording = offline.say(None, &Zone::default());
    assert_eq!(wording.subjects[0], "web-1 was shut down");
    let detail: String = wording.detail.iter().map(Part::text).collect();
    assert!(detail.starts_with("was shut down at "), "{detail}");
}

#[test]
fn each_kind_is_said_in_a_sentence() {
    assert_snapshot!(examples().each_ref().map(say).join("\n"));
}
