//! The binary itself, as Lambda starts it.

use crate::support::topic::Behavior;
use crate::support::{TestWatchdog, at, lines, pending, settings, state};
use dev::dynamodb::URL;
use dev::process;
use dev::proxy::{Call, Proxy};
use dev::runtime_api::RuntimeApi;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};
use tokio::process::Child;
use tokio::time::sleep;

/// Starts the binary on the table and the topic of a watchdog.
fn start(watchdog: &TestWatchdog, api: &RuntimeApi, changed: &[(&str, &str)]) -> Child {
    let mut settings = settings(&watchdog.tables.servers, &watchdog.topic.url);
    // As `cargo lambda watch` sets it.
    let concurrency = [("AWS_LAMBDA_MAX_CONCURRENCY", "1")];
    let changed = concurrency.iter().chain(changed);
    settings.extend(changed.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    process::start(env!("CARGO_BIN_EXE_watchdog"), api, &settings)
}

/// Runs a sweep at this second; returns whether the invocation succeeded.
async fn sweep(api: &RuntimeApi, seconds: i64) -> bool {
    let event = json!({ "time": at(seconds).to_rfc3339() });
    let answer = api.invoke(event.to_string()).await.unwrap();
    answer.path.ends_with("/response")
}

// C8.1 C8.10
#[tokio::test]
async fn the_binary_sweeps_at_the_time_of_its_event() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    let api = RuntimeApi::start().await.unwrap();
    let process = start(&watchdog, &api, &[]);
    watchdog.set_own("swept_at", 120).await;
    for (seconds, status) in [(180, "online"), (181, "offline")] {
        assert!(sweep(&api, seconds).await);
        assert_eq!(watchdog.state("web-1").await[0].as_deref(), Some(status));
    }
    let is_announced = state("offline", Some(0), Some(0));
    assert_eq!(watchdog.state("web-1").await, is_announced);
    assert_eq!(watchdog.topic.take().len(), 1);

    // An event without a time means the function's own clock, by which the server has come back.
    let now = chrono::Utc::now() - at(0);
    watchdog.heartbeat("web-1", now.num_seconds()).await;
    api.invoke("{}").await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));

    let log = process::kill(process).await;
    let messages: Vec<_> = log.iter().map(|line| line["message"].as_str()).collect();
    let expected = [
        "started",
        "sweep",
        "server offline",
        "sweep",
        "sweeps are missing: the time since then does not count as silence",
        "server back",
        "sweep",
    ];
    assert_eq!(messages, expected.map(Some), "{log:?}");
    let has_request = |line: &Value| line["request_id"].is_string();
    assert!(log[1..].iter().all(has_request), "{log:?}");
}

// C8.8 C7: if a sweep fails, the invocation fails, and one line contains the reason.
#[tokio::test]
async fn a_failed_sweep_fails_the_invocation() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.topic.set_behavior(Behavior::Rejects);
    let api = RuntimeApi::start().await.unwrap();
    let process = start(&watchdog, &api, &[]);
    watchdog.set_own("swept_at", 121).await;
    assert!(!sweep(&api, 181).await);
    let log = process::kill(process).await;
    let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    let [line] = errors[..] else { panic!("{log:?}") };
    assert_eq!(line["message"], "sweep failed");
    assert!(line["request_id"].is_string(), "{line}");
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("AuthorizationError"), "{reason}");
}

// C8.8: a sweep keeps to Lambda's deadline.
#[tokio::test]
async fn a_sweep_fails_before_its_deadline() {
    let proxy = Proxy::start(&URL);
    let watchdog = TestWatchdog::start().await;
    let api = RuntimeApi::start().await.unwrap();
    let process = start(&watchdog, &api, &[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]);
    assert!(sweep(&api, 0).await);
    proxy.delay(Call::Scan, Duration::from_secs(60));
    api.set_deadline(SystemTime::now() + Duration::from_secs(3));
    let started = Instant::now();
    assert!(!sweep(&api, 60).await);
    assert!(started.elapsed() < Duration::from_secs(10), "the deadline was not applied");
    let log = process::kill(process).await;
    let [line] = lines(&log, "sweep failed")[..] else { panic!("{log:?}") };
    assert_eq!(line["reason"], "the scan took too long");
}

// C8.5: the watchdog publishes first, then records. If the function is killed in between, the next sweep publishes the
// same message again.
#[tokio::test]
async fn a_function_killed_after_publishing_publishes_again() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.topic.set_behavior(Behavior::AcceptsAndHangs);
    let api = RuntimeApi::start().await.unwrap();
    let mut process = start(&watchdog, &api, &[]);
    watchdog.set_own("swept_at", 121).await;
    let published = async {
        loop {
            if let Some(message) = watchdog.topic.take().pop() {
                return message;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let first = tokio::select! {
        message = published => message,
        _ = sweep(&api, 181) => panic!("the sweep ended, although the topic never answers"),
    };
    process.kill().await.unwrap();
    assert_eq!(watchdog.state("web-1").await, pending("offline", 0));

    watchdog.topic.set_behavior(Behavior::Accepts);
    let api = RuntimeApi::start().await.unwrap();
    let _process = start(&watchdog, &api, &[]);
    assert!(sweep(&api, 241).await);
    let second = watchdog.topic.take().pop().unwrap();
    assert_eq!(first.default["offline"], second.default["offline"]);
    let is_announced = state("offline", Some(0), Some(0));
    assert_eq!(watchdog.state("web-1").await, is_announced);
}

// `cargo lambda watch` sends a deadline that has long passed.
#[tokio::test]
async fn a_deadline_in_the_past_is_ignored() {
    let watchdog = TestWatchdog::start().await;
    let api = RuntimeApi::start().await.unwrap();
    api.set_deadline(SystemTime::UNIX_EPOCH + Duration::from_secs(600));
    let process = start(&watchdog, &api, &[]);
    assert!(sweep(&api, 0).await);
    let log = process::kill(process).await;
    assert_eq!(lines(&log, "sweep").len(), 1, "{log:?}");
}
