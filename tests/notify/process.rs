//! The binary itself, as Lambda starts it.

use crate::service::{Fault, SECRET, Service};
use crate::support::{entries, event};
use dev::process;
use dev::runtime_api::RuntimeApi;
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn the_binary_delivers_and_a_delivery_that_fails_fails_the_invocation() {
    let service = Service::start("json").await;
    // More time than is left until the deadline, which the binary keeps to: it does not wait.
    service.fail([Fault::Status(400), Fault::RetryAfter(vec!["30".to_owned()], String::new())]);
    let api = RuntimeApi::start().await.unwrap();
    let process = process::start(
        env!("CARGO_BIN_EXE_notify"),
        &api,
        [("WEBHOOK_URLS", entries(&[&service]))],
    );
    api.set_deadline(SystemTime::now() + Duration::from_secs(20));
    for is_delivered in [false, false, true] {
        let answer = api.invoke(event(None, "Disk swap planned.")).await.unwrap();
        assert_eq!(answer.path.ends_with("/response"), is_delivered, "{}", answer.path);
        assert_eq!(service.take()[0].body, "Disk swap planned.");
    }
    let log = process::kill(process).await;
    let messages: Vec<_> = log.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["started", "delivery failed", "delivery failed", "delivered"]);
    assert!(log[1..].iter().all(|line| line["request_id"].is_string()), "{log:?}");
}

#[tokio::test]
async fn the_binary_does_not_start_and_keeps_the_secret() {
    let api = RuntimeApi::start().await.unwrap();
    let settings = [("WEBHOOK_URLS", "slack:http://example.com/T0K3N-8x")];
    let output =
        process::command(env!("CARGO_BIN_EXE_notify"), &api, settings).output().await.unwrap();
    assert!(!output.status.success());
    let log =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("WEBHOOK_URLS: entry 1: http is for this machine only"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains("example.com"), "{log}");
}
