//! C11.2 and C11.3: every kind of message, in words, in every format.

use crate::service::{Received, Service};
use crate::support::{Format, Notify, entries, message, offline};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Sends one message to a service of each format; returns what each received.
async fn sent(subject: Option<&str>, text: &str) -> Vec<(&'static str, Received)> {
    sent_linking_to("", subject, text).await
}

/// The same with the URL of the page.
async fn sent_linking_to(
    page_url: &str,
    subject: Option<&str>,
    text: &str,
) -> Vec<(&'static str, Received)> {
    let mut services = Vec::new();
    for format in Format::all() {
        services.push((format.name, Service::start(format.name).await));
    }
    let started: Vec<_> = services.iter().map(|(_, service)| service).collect();
    let notify = Notify::start_linking_to(page_url, &entries(&started));
    let is_delivered = notify.send_within(60, subject, text).await;
    assert!(is_delivered, "{:?}", notify.log());
    let received = services.iter().map(|(format, service)| {
        let [received] = &service.take()[..] else { panic!("{format} received nothing, or twice") };
        (*format, received.clone())
    });
    received.collect()
}

/// What each chat received: the headers that it shows, and the body. The format `json` passes on what was published.
async fn shown(subject: Option<&str>, text: &str) -> String {
    let mut shown = String::new();
    for (format, received) in sent(subject, text).await {
        if format == "json" {
            assert_eq!(received.body, text);
            let is_json = serde_json::from_str::<Value>(text).is_ok();
            assert_eq!(received.headers["content-type"] == "application/json", is_json, "{text}");
            continue;
        }
        let headers = ["title", "priority", "tags", "click"].into_iter().filter_map(|name| {
            let value = received.headers.get(name)?;
            Some(format!("{name}={} ", String::from_utf8_lossy(value.as_bytes())))
        });
        shown += &format!("{format}: {}{}\n", headers.collect::<String>(), received.body);
    }
    shown
}

#[tokio::test]
async fn each_kind_of_entry_is_one_line_that_says_it_all() {
    let since = "2026-01-18T10:00:00.000000Z";
    let back = json!({
        "server_id": "web-2", "hostname": null, "offline_since": since,
        "returned_at": "2026-01-18T11:05:00.000000Z", "last_seen": "2026-01-18T11:10:00.000000Z",
    });
    let problem = |kind: &str, name: &str, value: Value, limit: Value, end: &str| {
        json!({
            "server_id": "db-1", "hostname": "db", "kind": kind, "name": name, "value": value, "limit": limit,
            "since": since, "end": end,
        })
    };
    let disk = |value: Value, end: &str| problem("disk", "/data", value, json!(90), end);
    let service =
        |name: &str, end: &str| problem("service", name, json!("failed"), Value::Null, end);
    let duplicate = |end: &str| problem("duplicate", "db-1", Value::Null, Value::Null, end);
    let mut chats = Vec::new();
    for lists in [
        json!({ "offline": [offline("web-1", "web-1.example.com")] }),
        json!({ "back": [back] }),
        json!({ "problems": [problem("limit", "cpu_percent", json!(93.456), json!(90), "")] }),
        json!({ "problems": [disk(json!(93.1), "")] }),
        json!({ "problems": [service("nginx", "")] }),
        json!({ "problems": [duplicate("")] }),
        json!({ "solved": [disk(json!(70), "solved")] }),
        json!({ "solved": [disk(Value::Null, "gone")] }),
        json!({ "solved": [service("nginx", "unwatched")] }),
        json!({ "solved": [duplicate("solved")] }),
    ] {
        chats.push(shown(Some("a subject"), &message(&lists).to_string()).await);
    }
    assert_snapshot!(chats.join("\n"));
}

// C11.2
#[tokio::test]
async fn a_message_links_to_the_page_of_the_server_or_of_the_fleet() {
    let server = |server_id: &str| offline(server_id, "www.example.com");
    for (servers, omitted, link) in [
        (vec![server("web_1")], 0, "https://page.example/"),
        (vec![server("web-1")], 0, "https://page.example/servers/web-1"),
        (vec![server("web-1")], 5, "https://page.example/"),
        (vec![server("web-1"), server("web-2")], 0, "https://page.example/"),
        (vec![server("../login?")], 0, "https://page.example/"),
    ] {
        let message = message(&json!({ "offline": servers, "omitted": omitted })).to_string();
        for (format, received) in sent_linking_to("https://page.example", None, &message).await {
            match format {
                "json" => assert_eq!(received.body, message),
                "ntfy" => assert_eq!(
                    (received.headers["click"].as_bytes(), received.text().contains("//page")),
                    (link.as_bytes(), false)
                ),
                _ => assert_eq!(received.text().lines().last(), Some(link), "{format}"),
            }
        }
    }
    let text = "Disk swap planned.";
    for (format, received) in sent_linking_to("https://page.example", None, text).await {
        assert!(!received.body.contains("page.example"), "{format}");
        assert!(!received.headers.contains_key("click"), "{format}");
    }
}

// C11.2
#[tokio::test]
async fn what_begins_and_is_urgent_has_the_highest_priority() {
    let disk = json!({
        "server_id": "db-1", "hostname": null, "kind": "disk", "name": "/data", "value": 98, "limit": 97, "urgent": true,
    });
    for (lists, priority, words) in [
        (json!({ "problems": [disk] }), "urgent", "db-1: urgent: disk /data 98 %, limit 97 %"),
        (
            json!({ "solved": [disk] }),
            "default",
            "db-1: no longer urgent: disk /data 98 %, limit 97 %",
        ),
        (json!({ "problems": [disk], "digest": true }), "high", "urgent: disk /data"),
    ] {
        let service = Service::start("ntfy").await;
        let notify = Notify::start(&[&service]);
        assert!(notify.send(&message(&lists)).await);
        let received = service.take().remove(0);
        assert_eq!(received.headers["priority"], priority, "{lists}");
        assert!(received.text().contains(words), "{}", received.text());
        let title = received.headers["title"].to_str().unwrap().to_owned();
        assert_eq!(title.starts_with("Urgent: "), priority == "urgent", "{title}");
    }
}

// C8.16 C11.2
#[tokio::test]
async fn times_are_said_in_the_zone() {
    let service = Service::start("ntfy").await;
    let settings = HashMap::from([("TIME_ZONE", "America/New_York".to_owned())]);
    let notify = Notify::start_with(&entries(&[&service]), &settings);
    assert!(notify.send(&message(&json!({ "offline": [offline("web-1", "a")] }))).await);
    let said = service.take()[0].text();
    assert!(said.contains("since 05:30 EST (60 min)"), "{said}");
    assert!(said.ends_with("2026-01-18 06:30:00 EST"), "{said}");
    assert!(notify.send(&alarm("OK", "ALARM")).await);
    let said = service.take()[0].text();
    assert!(said.contains("since 2026-01-18 05:34 EST"), "{said}");
}

#[tokio::test]
async fn a_mixed_message_and_a_digest_begin_with_a_summary() {
    let silent = [offline("web-1", "a"), offline("web-2", "b")];
    let back = json!({ "server_id": "web-3", "offline_since": null });
    let mixed = message(&json!({ "offline": silent, "back": [back], "omitted": 3 }));
    let fleet = json!({ "servers": 3, "well": 1, "summary": "1 of 3 are well: 2 offline", "remarks": ["reboot required: web-3"] });
    let wrong =
        json!({ "digest": true, "fleet": fleet, "offline": silent, "problems": [], "omitted": 0 });
    let fleet =
        json!({ "servers": 3, "well": 3, "summary": "All 3 servers are well", "remarks": [] });
    let well =
        json!({ "digest": true, "fleet": fleet, "offline": [], "problems": [], "omitted": 0 });
    let mut chats = Vec::new();
    for message in [mixed, wrong, well] {
        chats.push(shown(None, &message.to_string()).await);
    }
    assert_snapshot!(chats.join("\n"));
}

#[tokio::test]
async fn an_alarm_of_cloudwatch_is_said_in_words() {
    let mut chats = Vec::new();
    for (subject, before, state) in
        [(Some("ALARM"), "OK", "ALARM"), (None, "ALARM", "OK"), (None, "OK", "INSUFFICIENT_DATA")]
    {
        chats.push(shown(subject, &alarm(before, state).to_string()).await);
    }
    assert_snapshot!(chats.join("\n"));
}

fn alarm(before: &str, state: &str) -> Value {
    json!({
        "AlarmName": "heartbeat-SweepAlarm-1", "AlarmDescription": "No sweep has succeeded.",
        "AWSAccountId": "123456789012", "NewStateValue": state, "NewStateReason": "Threshold Crossed",
        "StateChangeTime": "2026-01-18T10:34:00.000+0000", "Region": "US East (N. Virginia)",
        "OldStateValue": before, "Trigger": { "MetricName": "Errors" },
    })
}

// C11.2
#[tokio::test]
async fn an_alarm_is_over_only_if_it_has_sounded() {
    let services = [Service::start("ntfy").await, Service::start("json").await];
    let notify = Notify::start(&[&services[0], &services[1]]);
    let mut unknown = alarm("", "OK");
    unknown.as_object_mut().unwrap().remove("OldStateValue");
    for (alarm, expected) in [
        (alarm("INSUFFICIENT_DATA", "OK"), 0),
        (alarm("OK", "OK"), 0),
        (alarm("ALARM", "OK"), 1),
        (alarm("INSUFFICIENT_DATA", "ALARM"), 1),
        (alarm("ALARM", "INSUFFICIENT_DATA"), 1),
        (unknown, 1),
    ] {
        assert!(notify.send(&alarm).await);
        let received = [services[0].take().len(), services[1].take().len()];
        assert_eq!(received, [expected; 2], "{alarm}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_passed_on_as_text() {
    let mut chats = Vec::new();
    for text in
        ["Disk swap planned.\n\nOn Sunday.", r#"{"offline":"web-1"}"#, r#"{"planned":true}"#, "[1]"]
    {
        chats.push(shown(Some("From a colleague"), text).await);
    }
    chats.push(shown(Some("Test"), &json!({ "test": "It works." }).to_string()).await);
    assert_snapshot!(chats.join("\n"));
}

/// A service that failed, for this reason.
fn service(server_id: &str, hostname: Option<&str>, name: &str, reason: &str) -> Value {
    json!({
        "server_id": server_id, "hostname": hostname, "kind": "service", "name": name, "value": "failed",
        "limit": null, "since": null, "reason": reason,
    })
}

/// Texts that try to mention, to link, to format, and to start a new line.
const HOSTILE: [&str; 18] = [
    "@everyone",
    "@here",
    "<!channel>",
    "<@U123>",
    "<https://evil.example|bank>",
    "</code><b>x</b>",
    "[bank](https://evil.example)",
    "https://evil.example/x",
    "www.evil.example",
    "a\n🚨 db-1 is offline",
    "a\r\nb\u{2028}c",
    "`code` *b* _i_ ~s~ ||x|| ```",
    "\u{202e}gpj.exe",
    "&lt;",
    "\\",
    "**",
    "> quote",
    "# title",
];

// C9.8 C11.3
#[tokio::test]
async fn a_reason_does_nothing() {
    let problems: Vec<_> = (10..)
        .zip(HOSTILE)
        .map(|(number, reason)| service(&format!("web-{number}"), None, "postfix", reason))
        .collect();
    let message = message(&json!({ "problems": problems })).to_string();
    for (format, received) in sent(None, &message).await {
        if format == "json" {
            assert_eq!(received.body, message);
            continue;
        }
        let text = received.text();
        let titles = usize::from(format != "ntfy");
        assert_eq!(text.lines().count(), HOSTILE.len() + titles + 1, "{format}: {text}");
        for active in ["@everyone", "@here", "@U123", "\u{202e}", "\u{2028}", "\r"] {
            assert!(!text.contains(active), "{format}: {active} in {text}");
        }
        for line in text.lines().skip(titles).take(HOSTILE.len()) {
            let (before, reason) = line.split_once("failed: ").unwrap_or_else(|| panic!("{line}"));
            assert!(before.contains("service postfix "), "{format}: {line}");
            let reason =
                reason.strip_suffix(", since an unknown time").unwrap_or_else(|| panic!("{line}"));
            let is_harmless = if !["ntfy", "teams"].contains(&format) && reason.starts_with('`') {
                reason.ends_with('`') && reason.matches('`').count() == 2
            } else if reason.starts_with("<code>") {
                reason.ends_with("</code>") && reason.matches('<').count() == 2
            } else {
                !reason.contains("://") && !reason.contains("www.")
            };
            assert!(is_harmless, "{format}: {line}");
        }
    }
}

#[tokio::test]
async fn a_host_name_does_nothing() {
    let servers: Vec<_> = HOSTILE.iter().map(|name| offline("web-1", name)).collect();
    let received = sent(None, &message(&json!({ "offline": servers })).to_string()).await;
    for (format, received) in &received {
        if *format == "json" {
            continue;
        }
        let text = received.text();
        let titles = usize::from(*format != "ntfy");
        assert_eq!(text.lines().count(), HOSTILE.len() + titles + 1, "{format}: {text}");
        for active in ["@everyone", "@here", "@U123", "\u{202e}", "\u{2028}", "\r"] {
            assert!(!text.contains(active), "{format}: {active} in {text}");
        }
        for line in text.lines().skip(titles).take(HOSTILE.len()) {
            let end = line.replace('\\', "");
            let is_whole = line.starts_with("🚨 ") && end.ends_with("since 10:30 UTC (60 min)");
            assert!(is_whole, "{format}: {line}");
            // Everything is in one span of code, or there is no link.
            let said = line.trim_start_matches("🚨 ");
            let is_harmless = if said.starts_with('`') {
                said.matches('`').count() == 2
            } else if said.starts_with("<code>") {
                said.matches('<').count() == 2
            } else {
                !said.contains("://") && !said.contains("www.")
            };
            assert!(is_harmless, "{format}: {line}");
        }
    }
}

#[tokio::test]
async fn a_long_message_says_how_much_is_missing() {
    let hostname = "ä&<@".repeat(60);
    for count in [1, 7, 30, 400] {
        let servers: Vec<_> =
            (0..count).map(|number| offline(&format!("web-{number}"), &hostname)).collect();
        let lists = json!({ "offline": servers, "omitted": 5 });
        for (format, received) in sent(None, &message(&lists).to_string()).await {
            if format == "json" {
                continue;
            }
            let text = received.text();
            let shown = text.matches("is offline since").count();
            assert!(shown > 0, "{format}");
            let omitted = count - shown + 5;
            assert!(
                text.ends_with(&format!("… and {omitted} more\n2026-01-18 11:30:00 UTC")),
                "{format}: {text}"
            );
        }
    }
    // A single line that is too long is cut.
    for text in ["x".repeat(100_000), "<&@*é".repeat(20_000)] {
        for (format, received) in sent(None, &text).await {
            let is_cut = received.text().contains('…') || format == "json";
            assert!(is_cut, "{format}: {}", received.text());
        }
    }
}

// C11.3
#[tokio::test]
async fn a_text_shows_deaths_then_five_lines_of_each_server_in_natural_order() {
    let problem = |server_id: &str, name: &str| service(server_id, None, name, "gone");
    let many = (1..=12).map(|number| problem("web-2", &format!("job-{number}")));
    let solved = problem("web-10", "mail");
    let lists = json!({
        "offline": [offline("web-3", "c")],
        "problems": many.chain([problem("web-10", "nginx")]).collect::<Vec<_>>(),
        "solved": [solved],
    });
    for (format, received) in sent(None, &message(&lists).to_string()).await {
        if format == "json" {
            continue;
        }
        let shown = without_marks(&received);
        let lines: Vec<_> = shown.lines().skip(usize::from(format != "ntfy")).collect();
        let job =
            |number| format!("🚨 web-2: service job-{number} failed: gone, since an unknown time");
        let mut expected = vec!["🚨 web-3 (c) is offline since 10:30 UTC (60 min)".to_owned()];
        expected.extend((1..=5).map(job));
        let rest = [
            "… and 7 more of web-2",
            "🚨 web-10: service nginx failed: gone, since an unknown time",
            "✅ web-10: service mail is no longer failed or stopped; it began at an unknown time",
            "2026-01-18 11:30:00 UTC",
        ];
        expected.extend(rest.map(str::to_owned));
        assert_eq!(lines, expected, "{format}");
    }
}

/// What a person reads.
fn without_marks(received: &Received) -> String {
    let marks = ["`", "\\", "<code>", "</code>"];
    marks.iter().fold(received.text(), |text, mark| text.replace(mark, ""))
}

// C11.3
#[tokio::test]
async fn names_and_reasons_are_bounded_as_they_are_shown() {
    for (characters, length) in [(["x", "y", "z"], 1), (["É", "Ü", "Ø"], 1), (["&", "<", ">"], 5)]
    {
        let [hostname, name, reason] = characters.map(|character| character.repeat(255));
        let problem = service("web-1", Some(&hostname), &name, &reason);
        let message = message(&json!({ "problems": [problem] })).to_string();
        for (format, received) in sent(None, &message).await {
            let text = without_marks(&received);
            let text = text.lines().find(|line| line.contains("web-1")).unwrap_or_default();
            let Some((name, rest)) = text.split_once("): service ") else {
                assert_eq!(format, "json", "{text}");
                continue;
            };
            let hostname = name.split_once('(').unwrap().1;
            let (name, rest) = rest.split_once(" failed: ").unwrap();
            let reason = rest.split_once(", since").unwrap().0;
            for (shown, max) in [(hostname, 60), (name, 60), (reason, 80)] {
                let shown_length = shown.chars().count();
                let is_bounded = shown_length <= max && shown_length + 2 * length > max;
                assert!(is_bounded && shown.contains('…'), "{format}: {shown}");
            }
        }
    }
}

// C11.3: as long as names may be, in whatever characters, nobody is pushed out.
#[tokio::test]
async fn no_server_crowds_out_another() {
    let liar = "a".repeat(100);
    for character in ["x", "_", "&", "<", "@", "`", "\u{202e}", "/a", "www.", "🖥"] {
        let hostname = character.repeat(255 / character.len());
        let problems = (0..300).map(|number| {
            let name = format!("{number}{}", character.repeat(60 / character.len()));
            service(&liar, Some(&hostname), &name, &character.repeat(80 / character.len()))
        });
        let others = ["db-1", "db-2", "web-1"];
        let problems = problems.chain(others.map(|id| service(id, None, "nginx", "exit code 1")));
        let problems: Vec<_> = problems.collect();
        let lists = json!({ "offline": [offline("web-9", "nine")], "problems": problems });
        for (format, received) in sent(None, &message(&lists).to_string()).await {
            if format == "json" {
                continue;
            }
            let text = received.text();
            let lines: Vec<_> = text.lines().skip(usize::from(format != "ntfy")).collect();
            let about = |id: &str| {
                let is_about = |line: &&&str| line.starts_with("🚨") && line.contains(id);
                lines.iter().filter(is_about).count()
            };
            assert!(lines[0].contains("web-9"), "{format}: {text}");
            assert_eq!(others.map(about), [1; 3], "{format}: {text}");
            let shown = about(&liar);
            assert!((1..=5).contains(&shown), "{format}: {text}");
            let omitted: Vec<usize> = lines
                .iter()
                .filter_map(|line| line.strip_prefix("… and ")?.split(' ').next()?.parse().ok())
                .collect();
            assert_eq!(shown + omitted.iter().sum::<usize>(), 300, "{format}: {text}");
            // Server by server.
            let places = [&liar, "db-1", "db-2", "web-1"].map(|id| text.find(id));
            assert!(places.is_sorted() && places[0].is_some(), "{format}: {text}");
        }
    }
}
