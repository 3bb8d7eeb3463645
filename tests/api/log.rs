use crate::support::app::{TestApp, event, minimal, posting, too_large};
use serde_json::Value;

/// What the function logs while it answers events.
async fn log_of(app: &TestApp, events: &[Value]) -> Vec<Value> {
    app.log.take();
    for event in events {
        app.send(event).await;
    }
    app.log.take()
}

fn assert_line(line: &Value, level: &str, message: &str) {
    assert_eq!((&line["level"], &line["message"]), (&level.into(), &message.into()), "{line}");
    assert!(chrono::DateTime::parse_from_rfc3339(line["timestamp"].as_str().unwrap()).is_ok());
    assert!(line["request_id"].as_str().unwrap().starts_with("request-"));
}

// C7
#[tokio::test]
async fn each_heartbeat_is_logged_and_the_registration_once() {
    let app = TestApp::start().await;
    let log = log_of(&app, &[event("heartbeat"), event("heartbeat")]).await;
    let [received, registered, again] = log.as_slice() else { panic!("{log:?}") };
    assert_line(received, "DEBUG", "heartbeat received");
    assert_line(registered, "INFO", "server registered");
    assert_eq!(registered["server_id"], "omv-mediaserver");
    assert_line(again, "DEBUG", "heartbeat received");
}

// C7 C2.6
#[tokio::test]
async fn a_rejection_is_logged_with_status_and_reason() {
    let app = TestApp::start().await;
    let named = [
        ("missing-key", 401, "missing or unknown API key"),
        ("wrong-path", 404, "unknown path"),
        ("wrong-method", 405, "wrong method"),
        ("malformed-json", 422, "body: json_invalid"),
        (
            "bad-fields",
            422,
            "body.server_id: string_pattern_mismatch, body.timestamp: datetime_from_date_parsing, \
         body.metrics.cpu_percent: less_than_equal, body.metrics.memory_total_mb: greater_than_equal",
        ),
    ];
    let named = named.map(|(name, status, reason)| (event(name), status, reason));
    let large = (too_large(), 413, "body above the limit");
    for (event, status, reason) in named.into_iter().chain([large]) {
        let log = log_of(&app, &[event]).await;
        let [line] = log.as_slice() else { panic!("{log:?}") };
        assert_line(line, "WARN", "rejected");
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()));
    }
}

// C7 C6.3
#[tokio::test]
async fn a_storage_fault_is_logged_with_its_chain_of_causes() {
    let app = TestApp::start_with(&[("METRICS_TABLE", "no-such-table")]).await;
    let log = log_of(&app, &[event("heartbeat")]).await;
    let [_, fault] = log.as_slice() else { panic!("{log:?}") };
    assert_line(fault, "ERROR", "storage fault");
    assert_eq!(fault["status"], 500);
    assert!(fault["reason"].as_str().unwrap().contains("ResourceNotFoundException"), "{fault}");
}

// C2.6 C7: what a caller sends is logged as part of one escaped line, or not at all.
#[tokio::test]
async fn a_heartbeat_cannot_break_a_log_line() {
    let app = TestApp::start().await;
    let mut body = minimal();
    body["hostname"] = "a\n{\"level\":\"ERROR\"}\u{1b}[31m".into();
    let mut event = posting(body.to_string());
    event["headers"]["user-agent"] = "\u{9}{\"level\":\"ERROR\"}".into();
    let log = log_of(&app, &[event]).await;
    assert_eq!(log.len(), 2, "{log:?}");
}
