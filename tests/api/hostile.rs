use crate::support::app::{
    Answer, DIGEST, KEY, SERVER, TestApp, event, minimal, posting, posting_in_base64, text, with,
    with_header,
};
use serde_json::json;

/// A heartbeat of exactly `bytes` bytes, padded with an unknown field.
fn of_size(bytes: usize) -> String {
    let body = with("padding", json!("")).to_string();
    let padding = format!(r#""padding":"{}""#, "x".repeat(bytes - body.len()));
    body.replace(r#""padding":"""#, &padding)
}

/// The type and the path of each error.
fn codes(answer: &Answer) -> Vec<(&str, String)> {
    let errors = answer.body["detail"].as_array().unwrap().iter();
    errors
        .map(|error| {
            let path = error["loc"].as_array().unwrap().iter();
            let path: Vec<_> = path.map(|name| name.as_str().unwrap()).collect();
            (error["type"].as_str().unwrap(), path.join("."))
        })
        .collect()
}

// C2.3: these are larger than any gateway allows, and harmless here.
#[tokio::test]
async fn large_headers_and_keys_are_harmless() {
    let app = TestApp::start().await;
    let large = with_header(event("heartbeat"), "x-padding", &"x".repeat(8 * 1024));
    assert_eq!(app.send(&large).await.status, 200);
    let huge_key = with_header(event("heartbeat"), "x-api-key", &"x".repeat(1024 * 1024));
    assert_eq!(app.send(&huge_key).await.status, 401);
}

// C2.2
#[tokio::test]
async fn a_key_may_be_any_text() {
    // SHA-256 of `clé-🔑`.
    const DIGEST: &str = "26253e5f26eabf0b67ccfade68b830ef32a1cc9b1f4df6a2fddf59506276ad50";
    let app = TestApp::start_with(&[("API_KEY_SHA256", DIGEST)]).await;
    for (key, status) in [("clé-🔑", 200), ("cle-🔑", 401), ("cl\u{301}e-🔑", 401), ("é", 401)]
    {
        assert_eq!(
            app.send(&with_header(event("heartbeat"), "x-api-key", key)).await.status,
            status,
            "{key}"
        );
    }
}

// C2.3: payload 2.0 joins repeated headers with a comma. The result is not a key, even if each of its parts is.
// Payload 1.0 passes on each header, and the last one counts.
#[tokio::test]
async fn two_keys_are_not_two_attempts() {
    let app = TestApp::start().await;
    for other in [KEY, "another"] {
        let joined = with_header(event("heartbeat"), "x-api-key", &format!("{KEY},{other}"));
        assert_eq!(app.send(&joined).await.status, 401);
    }
    for (first, last, status) in [(KEY, "another", 401), ("another", KEY, 200)] {
        let mut both = event("payload-1.0");
        both["headers"]["X-API-Key"] = last.into();
        both["multiValueHeaders"]["X-API-Key"] = json!([first, last]);
        assert_eq!(app.send(&both).await.status, status, "{first}, {last}");
    }
}

// C2.1: header names are case-insensitive.
#[tokio::test]
async fn the_name_of_the_key_header_may_be_in_any_case() {
    let app = TestApp::start().await;
    for name in ["X-API-KEY", "X-Api-Key", "x-aPI-kEy"] {
        let mut event = event("missing-key");
        event["headers"][name] = KEY.into();
        assert_eq!(app.send(&event).await.status, 200, "{name}");
    }
}

// C3.1: `body.rs` pads a body with white space; here every byte belongs to the object.
#[tokio::test]
async fn the_size_limit_of_a_body_is_the_same_raw_and_in_base64() {
    let app = TestApp::start().await;
    for (size, status) in [(1_048_576, 200), (1_048_577, 413)] {
        let body = of_size(size);
        assert_eq!(body.len(), size);
        assert_eq!(app.send(&posting(body.clone())).await.status, status);
        assert_eq!(app.send(&posting_in_base64(body.as_bytes())).await.status, status);
    }
}

// C3.1 C3.4
#[tokio::test]
async fn an_object_may_have_as_many_keys_as_fit_into_a_body() {
    let app = TestApp::start().await;
    let crowded = |keys: usize| {
        let keys = (0..keys).map(|key| format!(r#""{key}":0,"#));
        minimal().to_string().replacen('{', &format!("{{{}", keys.collect::<String>()), 1)
    };
    assert_eq!(app.send(&posting(crowded(90_000))).await.status, 200);
    assert_eq!(app.send(&posting(crowded(110_000))).await.status, 413);
}

// C4.4 C4.5: nesting costs no stack, wherever it is.
#[tokio::test]
async fn deep_nesting_is_harmless() {
    let app = TestApp::start().await;
    let arrays = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for nested in [arrays, objects] {
        for (name, error) in [
            ("other", None),
            ("services", None),
            ("hostname", Some("string_type")),
            ("backlog", Some("bool_type")),
        ] {
            let body = minimal().to_string();
            let body = body.replacen('}', &format!(r#","{name}":{nested}}}"#), 1);
            let answer = app.send(&posting(body)).await;
            let expected = error.map(|error| (error, format!("body.{name}")));
            match expected {
                None => assert_eq!(answer.status, 200, "{name}"),
                Some(expected) => assert_eq!(codes(&answer), [expected]),
            }
        }
    }
    for body in ["[".repeat(1_048_576), r#"{"a":"#.repeat(200_000)] {
        let answer = app.send(&posting(body)).await;
        assert_eq!(codes(&answer), [("json_invalid", "body".to_owned())]);
    }
}

// C3.3 C4.4
#[tokio::test]
async fn numbers_of_60_kb_are_harmless() {
    let app = TestApp::start().await;
    let nines = "9".repeat(60_000);
    for (field, number, code) in [
        ("load_1m", nines.clone(), Some(("json_invalid", "body"))),
        ("uptime_seconds", nines.clone(), Some(("json_invalid", "body"))),
        ("load_1m", format!("0.{nines}"), None),
        ("load_1m", format!("\"0.{nines}\""), None),
        ("load_1m", format!("\"{nines}\""), Some(("less_than_equal", "body.metrics.load_1m"))),
        (
            "uptime_seconds",
            format!("\"{nines}\""),
            Some(("less_than_equal", "body.metrics.uptime_seconds")),
        ),
    ] {
        let metrics = format!(r#"{{"metrics":{{"{field}":{number}}},"#);
        let answer = app.send(&posting(minimal().to_string().replacen('{', &metrics, 1))).await;
        match code {
            None => assert_eq!(answer.status, 200, "{field}"),
            Some((code, path)) => assert_eq!(codes(&answer), [(code, path.to_owned())]),
        }
    }
}

// C3.4: at every level, and for the `server_id` that a key is bound to.
#[tokio::test]
async fn the_last_of_duplicate_keys_counts() {
    let app = TestApp::start_with(&[("API_KEY_SHA256", &format!("{DIGEST}:{SERVER}"))]).await;
    let body = |first: &str, last: &str| {
        posting(format!(
            r#"{{"server_id":"{first}","hostname":"a","hostname":"b","timestamp":0,"metrics":{{"load_1m":-1,"load_1m":1}},"server_id":"{last}"}}"#
        ))
    };
    assert_eq!(app.send(&body(SERVER, "another")).await.status, 403);
    assert_eq!(app.send(&body("another", SERVER)).await.status, 200);
    assert_eq!(text(&app.server().await.unwrap()["hostname"]), "b");
    assert_eq!(text(&app.rows().await[0]["load_1m"]), "1");
}

// C3.3: a pattern's `$` is the end of the string, not of a line.
#[tokio::test]
async fn a_server_id_has_no_other_characters() {
    let app = TestApp::start().await;
    for server_id in
        ["web\n", "\nweb", "web\r\n", "web\0", "we b", "wéb", "ｗｅｂ", "web#", "../web"]
    {
        let answer = app.post(&with("server_id", json!(server_id))).await;
        let expected = [("string_pattern_mismatch", "body.server_id".to_owned())];
        assert_eq!(codes(&answer), expected, "{server_id:?}");
    }
    assert_eq!(app.servers().await, []);
}

// C2.6 C7: the only text in the log that comes from a caller is the server's name; the request id comes from Lambda.
// Each entry is one line, whatever was sent.
#[tokio::test]
async fn callers_cannot_forge_log_lines() {
    const FORGED: &str = "\r\n\u{1b}[2K{\"level\":\"ERROR\",\"message\":\"forged\"}\u{2028}";
    let app = TestApp::start().await;
    let visible: String = FORGED.chars().filter(|letter| !letter.is_control()).collect();
    for name in ["hostname", "server_id", "timestamp"] {
        app.post(&with(name, json!(FORGED))).await;
    }
    app.post(&json!({ FORGED: FORGED })).await;
    app.send(&posting(FORGED.to_owned())).await;
    for header in ["user-agent", "x-api-key", "idempotency-key", "x-amzn-trace-id", "content-type"]
    {
        app.send(&with_header(event("heartbeat"), header, &visible)).await;
    }
    let log = app.log.take();
    assert_eq!(log.len(), 11, "{log:#?}");
    for line in &log {
        let line = line.to_string();
        assert!(!line.contains("forged") && !line.contains('\u{1b}'), "{line}");
    }
}

// C1.5: in either payload format.
#[tokio::test]
async fn a_control_byte_in_a_header_fails_no_invocation() {
    let app = TestApp::start().await;
    let bytes = ["\0", "\r\n", "\u{1b}", "\u{7f}"];
    for (header, sent, status) in [
        ("x-api-key", KEY, 401),
        ("x-agent-token", KEY, 401),
        ("x-agent-token", "", 401),
        ("idempotency-key", "5f2b9a01", 422),
        ("user-agent", "curl", 200),
        ("content-encoding", "identity", 200),
        ("content-encoding", "gzip", 200),
    ] {
        for byte in bytes {
            let value = format!("{sent}{byte}");
            let answer = app.send(&with_header(event("heartbeat"), header, &value)).await;
            assert_eq!(answer.status, status, "{header}: {value:?}");

            let mut event = event("payload-1.0");
            for (holder, odd) in [("headers", json!(value)), ("multiValueHeaders", json!([value]))]
            {
                let headers = event[holder].as_object_mut().unwrap();
                headers.retain(|name, _| !name.eq_ignore_ascii_case(header));
                headers.insert(header.to_owned(), odd);
            }
            assert_eq!(app.send(&event).await.status, status, "1.0: {header}: {value:?}");
        }
    }
}

// C2.6: neither the answer nor the log repeats the path or the method.
#[tokio::test]
async fn a_rejected_path_or_method_is_not_echoed() {
    let app = TestApp::start().await;
    let mut path = event("heartbeat");
    path["rawPath"] = "/forged".into();
    let mut method = event("heartbeat");
    method["requestContext"]["http"]["method"] = "FORGED".into();
    for event in [path, method] {
        let answer = app.send(&event).await;
        let output = format!("{}{:?}", answer.body, app.log.take()).to_lowercase();
        assert!(!output.contains("forged"), "{output}");
    }
}

// C1.3: parts that the function does not use cannot make it fail, in either payload format.
#[tokio::test]
async fn odd_query_strings_and_hosts_are_harmless() {
    let app = TestApp::start().await;
    for query in ["a=\"<>\\^`{|}", "a b", "é", "%", "#", "\u{1}"] {
        let mut event = event("heartbeat");
        event["rawQueryString"] = query.into();
        assert_eq!(app.send(&event).await.status, 200, "{query:?}");

        let mut event = crate::support::app::event("payload-1.0");
        event["queryStringParameters"] = json!({ query: query });
        event["multiValueQueryStringParameters"] = json!({ query: [query] });
        assert_eq!(app.send(&event).await.status, 200, "1.0: {query:?}");
    }
    for (name, value) in [
        ("host", "a b"),
        ("host", "<>"),
        ("host", ""),
        ("x-forwarded-proto", "1 2"),
        ("x-forwarded-proto", ""),
    ] {
        let mut event = event("heartbeat");
        event["headers"][name] = value.into();
        assert_eq!(app.send(&event).await.status, 200, "{name}: {value:?}");

        for (single, list) in [(true, false), (false, true), (true, true)] {
            let mut event = crate::support::app::event("payload-1.0");
            for (holder, is_odd, odd) in
                [("headers", single, json!(value)), ("multiValueHeaders", list, json!([value]))]
            {
                let headers = event[holder].as_object_mut().unwrap();
                headers.retain(|header, _| !header.eq_ignore_ascii_case(name));
                if is_odd {
                    headers.insert(name.to_owned(), odd);
                }
            }
            assert_eq!(app.send(&event).await.status, 200, "1.0: {name}: {value:?}");
        }
    }
}
