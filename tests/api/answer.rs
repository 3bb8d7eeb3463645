use crate::support::app::{TestApp, event, minimal, too_large};
use serde_json::json;

// C1.4
#[tokio::test]
async fn every_answer_is_json_and_never_cached() {
    let app = TestApp::start().await;
    let names = ["heartbeat", "missing-key", "malformed-json", "wrong-path", "wrong-method"];
    let named = names.map(|name| (name, event(name)));
    for (name, event) in named.into_iter().chain([("too large", too_large())]) {
        let answer = app.send(&event).await;
        assert_eq!(answer.headers["content-type"], "application/json", "{name}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{name}");
    }
}

// C6.3: the answer reveals nothing about the fault; `log.rs` shows that the log does.
#[tokio::test]
async fn a_missing_table_is_reported_as_an_internal_error() {
    let app = TestApp::start_with(&[("SERVERS_TABLE", "no-such-table")]).await;
    let answer = app.post(&minimal()).await;
    let body =
        json!({ "detail": { "code": "INTERNAL", "message": "The heartbeat could not be stored" } });
    assert_eq!((answer.status, answer.body), (500, body));
}

// C6.2
#[tokio::test]
async fn an_unreachable_dynamodb_is_reported_as_unavailable() {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let app =
        TestApp::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &format!("http://{closed}"))]).await;
    let answer = app.post(&minimal()).await;
    assert_eq!((answer.status, &answer.body["detail"]["code"]), (503, &json!("UNAVAILABLE")));
    assert!(answer.headers["retry-after"].parse::<u32>().unwrap() > 0);
}

// C6.2 C6.4: a database that accepts the request and never answers.
#[tokio::test]
async fn a_silent_dynamodb_is_reported_as_unavailable_within_the_operation_timeout() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let settings = [
        ("AWS_ENDPOINT_URL_DYNAMODB", url.as_str()),
        ("CONNECT_TIMEOUT_MS", "100"),
        ("ATTEMPT_TIMEOUT_MS", "100"),
        ("OPERATION_TIMEOUT_MS", "250"),
    ];
    let app = TestApp::start_with(&settings).await;
    let started = std::time::Instant::now();
    assert_eq!(app.post(&minimal()).await.status, 503);
    assert!(started.elapsed().as_millis() < 1_500, "the operation timeout was not applied");
}
