use crate::support::app::{DIGEST, KEY, SERVER, TestApp, event, with_header, with_key};
use serde_json::json;

/// SHA-256 of `second-key`.
const SECOND_DIGEST: &str = "f397f260a275cc4d42e7965c556167bf3f068aed491d35a8f5b38c8c2db96bb0";

// C2.1
#[tokio::test]
async fn white_space_around_the_key_is_ignored() {
    let app = TestApp::start().await;
    for key in [KEY.to_owned(), format!("  {KEY}"), format!("{KEY}\t ")] {
        assert_eq!(app.send(&with_key(&key)).await.status, 200, "{key:?}");
    }
}

// C2.1
#[tokio::test]
async fn an_agent_token_that_is_not_empty_precedes_the_api_key() {
    let app = TestApp::start().await;
    for (token, key, status) in [
        (KEY, None, 200),
        (KEY, Some("wrong"), 200),
        (KEY, Some(""), 200),
        (&format!(" {KEY}\t"), None, 200),
        ("wrong", Some(KEY), 401),
        ("", Some(KEY), 200),
        (" \t", Some(KEY), 200),
        ("", Some("wrong"), 401),
        ("", None, 401),
    ] {
        let mut event = with_header(event("missing-key"), "X-Agent-Token", token);
        event["headers"]["X-Server-GUID"] = "not a guid".into();
        if let Some(key) = key {
            event = with_header(event, "x-api-key", key);
        }
        assert_eq!(app.send(&event).await.status, status, "{token:?} {key:?}");
    }
}

// C2.1: payload 2.0 joins what was sent twice with a comma.
#[tokio::test]
async fn an_agent_token_is_sent_once() {
    let app = TestApp::start().await;
    let twice = with_header(event("heartbeat"), "x-agent-token", &format!("{KEY},{KEY}"));
    assert_eq!(app.send(&twice).await.status, 401);
}

// C2.1
#[tokio::test]
async fn the_key_is_checked_before_the_body_is_read() {
    let app = TestApp::start().await;
    for body in ["", "{", "[]", "{}", &"x".repeat(70_000)] {
        let mut event = event("wrong-key");
        event["body"] = body.into();
        assert_eq!(app.send(&event).await.status, 401);
    }
}

// C2.3
#[tokio::test]
async fn a_missing_empty_or_wrong_key_is_unauthorized() {
    let app = TestApp::start().await;
    let nearly = &KEY[1..];
    for event in [
        event("missing-key"),
        event("wrong-key"),
        with_key(""),
        with_key(" "),
        with_key(nearly),
        with_key(DIGEST),
    ] {
        let answer = app.send(&event).await;
        assert_eq!((answer.status, &answer.body["detail"]["code"]), (401, &json!("UNAUTHORIZED")));
        assert!(answer.body["detail"]["message"].is_string());
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    assert_eq!((app.servers().await, app.rows().await), (vec![], vec![]));
}

// C2.2
#[tokio::test]
async fn several_keys_are_accepted_at_once() {
    let digests = format!("{DIGEST}, {}", SECOND_DIGEST.to_uppercase());
    let app = TestApp::start_with(&[("API_KEY_SHA256", &digests)]).await;
    assert_eq!(app.send(&with_key(KEY)).await.status, 200);
    assert_eq!(app.send(&with_key("second-key")).await.status, 200);
    assert_eq!(app.send(&with_key("third-key")).await.status, 401);
}

// C2.5
#[tokio::test]
async fn a_bound_key_writes_only_for_its_own_server() {
    let digests = format!("{DIGEST}:another,{SECOND_DIGEST}:{SERVER}");
    let app = TestApp::start_with(&[("API_KEY_SHA256", &digests)]).await;
    let answer = app.send(&with_key(KEY)).await;
    assert_eq!((answer.status, &answer.body["detail"]["code"]), (403, &json!("FORBIDDEN")));
    assert!(answer.body["detail"]["message"].is_string());
    assert_eq!((app.servers().await, app.rows().await), (vec![], vec![]));

    assert_eq!(app.send(&with_key("second-key")).await.status, 200);
    assert!(app.server().await.is_some());
}

// C2.5: each entry of the list is independent of the others.
#[tokio::test]
async fn a_key_may_be_bound_to_several_servers() {
    let digests = format!("{DIGEST}:another,{DIGEST}:{SERVER}");
    let app = TestApp::start_with(&[("API_KEY_SHA256", &digests)]).await;
    assert_eq!(app.send(&with_key(KEY)).await.status, 200);
}

// C2.1 C2.5: the body is validated before the binding is checked, because it names the server.
#[tokio::test]
async fn a_bad_body_is_reported_before_the_binding_is_checked() {
    let app = TestApp::start_with(&[("API_KEY_SHA256", &format!("{DIGEST}:another"))]).await;
    assert_eq!(app.send(&event("malformed-json")).await.status, 422);
}
