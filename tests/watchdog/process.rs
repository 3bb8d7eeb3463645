//! The binary itself, as Lambda starts it.

use crate::support::{TestWatchdog, settings, state};
use dev::runtime_api::RuntimeApi;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::process::Command;

// C8.1 C8.10
#[tokio::test]
async fn the_binary_sweeps_at_the_time_of_its_event() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    let api = RuntimeApi::start().await.unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_watchdog"))
        .env_clear()
        .envs(settings(&watchdog.table, &watchdog.topic.url))
        .env("AWS_LAMBDA_RUNTIME_API", &api.address)
        .env("AWS_LAMBDA_FUNCTION_NAME", "watchdog")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for (time, status) in [
        ("2026-01-18T10:33:00Z", "online"),
        ("2026-01-18T10:33:01Z", "offline"),
    ] {
        let answer = api
            .invoke(json!({ "time": time }).to_string())
            .await
            .unwrap();
        assert!(
            answer.path.ends_with("/response"),
            "{}: {:?}",
            answer.path,
            answer.body
        );
        assert_eq!(watchdog.state("web-1").await[0].as_deref(), Some(status));
    }
    assert_eq!(
        watchdog.state("web-1").await,
        state("offline", Some(0), Some(0))
    );
    assert_eq!(watchdog.topic.take().len(), 1);

    // Without a time it is the function's clock, and that server has been back for a while.
    let now = chrono::Utc::now() - crate::support::at(0);
    watchdog.heartbeat("web-1", now.num_seconds()).await;
    api.invoke("{}").await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));

    process.start_kill().unwrap();
    let log = process.wait_with_output().await.unwrap().stdout;
    let log = String::from_utf8(log).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sweeps: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "sweep")
        .collect();
    assert_eq!(sweeps.len(), 3, "{log}");
    assert!(
        sweeps.iter().all(|line| line["request_id"].is_string()),
        "{log}"
    );
}
