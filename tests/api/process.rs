use crate::support::app::{KEY, TestApp, event, posting, settings_for};
use dev::dynamodb::URL;
use dev::process;
use dev::proxy::{Call, Fault, Proxy};
use dev::runtime_api::RuntimeApi;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::process::Child;

/// Starts the binary on the tables of an app.
fn start(app: &TestApp, api: &RuntimeApi, changed: &[(&'static str, &str)]) -> Child {
    let mut settings = settings_for(&app.tables.servers, &app.tables.metrics);
    let changed = changed.iter();
    settings.extend(changed.map(|(name, value)| (*name, (*value).to_owned())));
    process::start(env!("CARGO_BIN_EXE_heartbeat"), api, &settings)
}

async fn status(api: &RuntimeApi, event: &Value) -> Value {
    let answer = api.invoke(event.to_string()).await.unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["statusCode"].clone()
}

// C1.3 C6.1 C7
#[tokio::test]
async fn the_binary_answers_both_payload_formats() {
    let app = TestApp::start().await;
    let api = RuntimeApi::start().await.unwrap();
    let process = start(&app, &api, &[]);
    for name in ["heartbeat", "payload-1.0"] {
        assert_eq!(status(&api, &event(name)).await, json!(200), "{name}");
    }
    assert_eq!(status(&api, &event("wrong-key")).await, json!(401));
    assert_eq!(app.rows().await.len(), 2);
    let log = process::kill(process).await;
    let messages: Vec<_> = log.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["started", "server registered", "rejected"]);
    assert!(!json!(log).to_string().contains(KEY));
}

// C6.1: if Lambda runs several heartbeats in one environment, none waits for another. The first four updates get no
// answer. If the heartbeats ran one after another, these would include all three attempts of the first heartbeat.
#[tokio::test]
async fn four_heartbeats_are_in_flight_at_once() {
    let app = TestApp::start().await;
    let proxy = Proxy::start(&URL);
    let mut swallowed = 0;
    proxy.rule(move |write| {
        let is_swallowed = write == Call::Server && swallowed < 4;
        swallowed += usize::from(is_swallowed);
        is_swallowed.then_some(Fault::NoResponse)
    });
    let api = RuntimeApi::start().await.unwrap();
    let settings = [
        ("AWS_LAMBDA_MAX_CONCURRENCY", "4"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url),
        ("ATTEMPT_TIMEOUT_MS", "2000"),
        ("CONNECT_TIMEOUT_MS", "2000"),
    ];
    let process = start(&app, &api, &settings);
    for _ in 0..4 {
        api.next().await.unwrap();
    }
    let body =
        |number| json!({ "server_id": format!("web-{number}"), "hostname": "web", "timestamp": 0 });
    let events = [0, 1, 2, 3].map(|number| posting(body(number).to_string()));
    let statuses = join_all(events.iter().map(|event| status(&api, event))).await;
    assert_eq!(statuses, [200; 4].map(Value::from));
    assert_eq!(app.servers().await.len(), 4);
    let log = process::kill(process).await;
    let mut request_ids: Vec<_> = log
        .iter()
        .filter(|line| line["message"] == "server registered")
        .map(|line| line["request_id"].as_str().unwrap())
        .collect();
    request_ids.sort_unstable();
    request_ids.dedup();
    assert_eq!(request_ids.len(), 4, "{log:?}");
    assert!(log.iter().all(|line| line["level"] == "INFO"), "{log:?}");
}

// The disk of the log is full, or nobody reads it any more. The function could not have started anyway, and says so by its
// exit code; it is not ended by a signal.
#[test]
fn a_log_that_cannot_be_written_ends_no_function() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for program in [
        env!("CARGO_BIN_EXE_heartbeat"),
        env!("CARGO_BIN_EXE_notify"),
        env!("CARGO_BIN_EXE_watchdog"),
    ] {
        let mut function = std::process::Command::new(program);
        function.env_clear().stdout(full()).stderr(full());
        let status = function.status().unwrap();
        assert_eq!(status.code(), Some(1), "{program}: {status}");
    }
}

#[tokio::test]
async fn an_invalid_setting_stops_the_start_and_is_named() {
    let app = TestApp::start().await;
    let api = RuntimeApi::start().await.unwrap();
    for (name, value) in
        [("AWS_LAMBDA_LOG_LEVEL", "LOUD"), ("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000")]
    {
        let output = start(&app, &api, &[(name, value)]).wait_with_output().await;
        let output = output.unwrap();
        assert!(!output.status.success(), "{name}");
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert!(line["reason"].as_str().unwrap().starts_with(name), "{line}");
        assert!(!line.to_string().contains(value), "{line}");
    }
}
