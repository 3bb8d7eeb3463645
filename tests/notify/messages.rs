//! C11.2 and C11.3: every kind of message, in words, in every format.

use crate::service::{Received, Service};
use crate::support::{Format, Notify, entries, message, offline};
use serde_json::{Value, json};

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

/// What the service of a format received.
fn by<'a>(format: &str, received: &'a [(&str, Received)]) -> &'a Received {
    let mut services = received.iter();
    let (_, received) = services.find(|(name, _)| *name == format).unwrap();
    received
}

/// The texts of the chats, without their markup.
fn plain(received: &[(&str, Received)]) -> Vec<(String, String)> {
    let chats = received.iter().filter(|(format, _)| *format != "json");
    let plain = chats.map(|(format, received)| {
        let marked = received.text();
        let text = match *format {
            "telegram" => marked.replace("<code>", "").replace("</code>", ""),
            "ntfy" => marked,
            "discord" => marked.replace(['`', '\\'], ""),
            _ => marked.replace('`', ""),
        };
        ((*format).to_owned(), text)
    });
    plain.collect()
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
    let silent = offline("web-1", "web-1.example.com");
    for (lists, line, is_bad) in [
        (
            json!({ "offline": [silent] }),
            "🚨 web-1 (web-1.example.com) is offline: silent since 2026-01-18 10:30:00 UTC",
            true,
        ),
        (
            json!({ "back": [back] }),
            "✅ web-2 is back: was silent since 2026-01-18 10:00:00 UTC, away for at most 1 h 5 min",
            false,
        ),
        (
            json!({ "problems": [problem("limit", "cpu_percent", json!(93.456), json!(90), "")] }),
            "🚨 db-1 (db): cpu 93.46 %, limit 90 %, since 2026-01-18 10:00:00 UTC",
            true,
        ),
        (
            json!({ "problems": [disk(json!(93.1), "")] }),
            "🚨 db-1 (db): disk /data 93.1 %, limit 90 %, since 2026-01-18 10:00:00 UTC",
            true,
        ),
        (
            json!({ "problems": [service("nginx", "")] }),
            "🚨 db-1 (db): service nginx failed, since 2026-01-18 10:00:00 UTC",
            true,
        ),
        (
            json!({ "problems": [duplicate("")] }),
            "🚨 db-1 (db): two senders use the name db-1, since 2026-01-18 10:00:00 UTC",
            true,
        ),
        (
            json!({ "solved": [disk(json!(70), "solved")] }),
            "✅ db-1 (db): disk /data 70 %, limit 90 %, solved; it began 2026-01-18 10:00:00 UTC",
            false,
        ),
        (
            json!({ "solved": [disk(Value::Null, "gone")] }),
            "✅ db-1 (db): disk /data is no longer reported; it began 2026-01-18 10:00:00 UTC",
            false,
        ),
        (
            json!({ "solved": [service("nginx", "unwatched")] }),
            "✅ db-1 (db): service nginx is no longer watched; it began 2026-01-18 10:00:00 UTC",
            false,
        ),
        (
            json!({ "solved": [duplicate("solved")] }),
            "✅ db-1 (db): only one sender uses the name db-1 now, db; the other may have died; it began \
             2026-01-18 10:00:00 UTC",
            false,
        ),
    ] {
        let message = message(&lists).to_string();
        let received = sent(Some("a subject"), &message).await;
        for (format, text) in plain(&received) {
            // The time of the sweep, since the order of messages cannot be promised.
            let expected = format!("{line}\n2026-01-18 11:30:00 UTC");
            assert_eq!(text.replace('\u{200b}', ""), expected, "{format}");
        }
        for (format, received) in &received {
            match *format {
                "ntfy" => {
                    let header = |name| received.headers[name].to_str().unwrap();
                    let expected = if is_bad {
                        ("high", "rotating_light")
                    } else {
                        ("default", "white_check_mark")
                    };
                    assert_eq!((header("priority"), header("tags")), expected, "{line}");
                }
                "json" => assert_eq!(received.body, message),
                _ => {}
            }
        }
    }
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

#[tokio::test]
async fn a_mixed_message_and_a_digest_begin_with_a_summary() {
    let silent = [offline("web-1", "a"), offline("web-2", "b")];
    let back = json!({ "server_id": "web-3", "offline_since": null });
    let mixed = message(&json!({ "offline": silent, "back": [back], "omitted": 3 }));
    for (format, text) in plain(&sent(None, &mixed.to_string()).await) {
        let mut lines: Vec<_> = text.lines().collect();
        if format != "ntfy" {
            assert_eq!(lines.remove(0), "🚨 2 servers offline, 1 server back", "{format}");
        }
        assert!(lines[0].starts_with("🚨 web-1 (a) is offline"), "{text}");
        assert_eq!(lines[2], "✅ web-3 is back: was silent since an unknown time");
        assert_eq!(lines[3..], ["… and 3 more", "2026-01-18 11:30:00 UTC"]);
    }
    let fleet = json!({ "servers": 3, "well": 1, "summary": "1 of 3 are well: 2 offline", "remarks": ["reboot required: web-3"] });
    let digest =
        json!({ "digest": true, "fleet": fleet, "offline": silent, "problems": [], "omitted": 0 });
    let received = sent(None, &digest.to_string()).await;
    let ntfy = by("ntfy", &received);
    assert_eq!(ntfy.headers["title"], "Still wrong: 2 servers offline");
    for (format, text) in plain(&received) {
        let begins = text.starts_with("🚨 Still wrong: 2 servers offline\n");
        assert!(begins || format == "ntfy", "{format}: {text}");
        let ends = text.ends_with("\n1 of 3 are well: 2 offline\nreboot required: web-3");
        assert!(ends, "{format}: {text}");
    }
    let well =
        json!({ "servers": 3, "well": 3, "summary": "All 3 servers are well", "remarks": [] });
    let digest =
        json!({ "digest": true, "fleet": well, "offline": [], "problems": [], "omitted": 0 });
    let received = sent(None, &digest.to_string()).await;
    assert_eq!(by("ntfy", &received).headers["title"], "All 3 servers are well");
    assert_eq!(by("ntfy", &received).text(), "All 3 servers are well");
    assert_eq!(by("slack", &received).text(), "✅ All 3 servers are well");
}

#[tokio::test]
async fn an_alarm_of_cloudwatch_is_said_in_words() {
    let alarm = |state: &str| {
        json!({
            "AlarmName": "heartbeat-SweepAlarm-1", "AlarmDescription": "No sweep has succeeded.",
            "AWSAccountId": "123456789012", "NewStateValue": state, "NewStateReason": "Threshold Crossed",
            "StateChangeTime": "2026-01-18T10:34:00.000+0000", "Region": "US East (N. Virginia)",
            "OldStateValue": "OK", "Trigger": { "MetricName": "Errors" },
        })
    };
    let received = sent(Some("ALARM"), &alarm("ALARM").to_string()).await;
    let ntfy = by("ntfy", &received);
    assert_eq!(ntfy.headers["title"], "ALARM: heartbeat-SweepAlarm-1");
    assert_eq!(ntfy.headers["priority"], "high");
    for (format, text) in plain(&received) {
        let title = "🚨 ALARM: heartbeat-SweepAlarm-1\n";
        assert!(text.starts_with(title) || format == "ntfy", "{format}: {text}");
        let rest = "No sweep has succeeded.\nThreshold Crossed\nsince 2026-01-18T10:34:00Z";
        assert!(text.ends_with(rest), "{format}: {text}");
    }
    for (state, emoji) in [("OK", "✅"), ("INSUFFICIENT_DATA", "ℹ️")] {
        for (format, text) in plain(&sent(None, &alarm(state).to_string()).await) {
            assert!(text.starts_with(emoji) || format == "ntfy", "{format}: {text}");
            assert!(!text.contains("No sweep"), "{format}: {text}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_passed_on_as_text() {
    for text in
        ["Disk swap planned.\n\nOn Sunday.", r#"{"offline":"web-1"}"#, r#"{"planned":true}"#, "[1]"]
    {
        let received = sent(Some("From a colleague"), text).await;
        for (format, shown) in plain(&received) {
            let summary = "ℹ️ From a colleague\n";
            assert!(shown.starts_with(summary) || format == "ntfy", "{format}: {shown}");
            let last = text.lines().last().unwrap();
            let last = if format == "discord" { last.replace('\\', "") } else { last.to_owned() };
            assert!(shown.ends_with(&last), "{format}: {shown}");
        }
        let json = by("json", &received);
        assert_eq!(json.body, text);
        let is_json = serde_json::from_str::<Value>(text).is_ok();
        let content_type = json.headers["content-type"].to_str().unwrap();
        assert_eq!(content_type == "application/json", is_json, "{text}");
    }
    let test = json!({ "test": "It works." });
    for (format, text) in plain(&sent(Some("Test"), &test.to_string()).await) {
        assert!(text.ends_with("It works."), "{format}: {text}");
    }
}

/// Names that try to mention, to link, to format, and to start a new line.
#[tokio::test]
async fn a_host_name_does_nothing() {
    let hostile = [
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
    let servers: Vec<_> = hostile.iter().map(|name| offline("web-1", name)).collect();
    let received = sent(None, &message(&json!({ "offline": servers })).to_string()).await;
    for (format, received) in &received {
        if *format == "json" {
            continue;
        }
        let text = received.text();
        let titles = usize::from(*format != "ntfy");
        assert_eq!(text.lines().count(), hostile.len() + titles + 1, "{format}: {text}");
        for active in ["@everyone", "@here", "@U123", "\u{202e}", "\u{2028}", "\r"] {
            assert!(!text.contains(active), "{format}: {active} in {text}");
        }
        for line in text.lines().skip(titles).take(hostile.len()) {
            let is_whole = line.starts_with("🚨 ") && line.ends_with("10:30:00 UTC");
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
            let shown = text.matches("is offline: silent since").count();
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
