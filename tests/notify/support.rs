//! Shared by the tests: the binary, and the messages that it gets.

use crate::service::Service;
use dev::process;
use dev::runtime_api::RuntimeApi;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tokio::process::Child;

pub const FORMATS: [&str; 5] = ["slack", "discord", "telegram", "ntfy", "json"];

/// The binary, behind a Runtime API.
pub struct Notify {
    api: RuntimeApi,
    process: Child,
}

impl Notify {
    /// Starts it with these services.
    pub async fn start(services: &[&Service]) -> Self {
        let entries: Vec<_> = services.iter().map(|service| service.entry()).collect();
        Self::start_with(&entries.join(" ")).await
    }

    pub async fn start_with(urls: &str) -> Self {
        let api = RuntimeApi::start().await.unwrap();
        let settings = [("WEBHOOK_URLS", urls), ("AWS_LAMBDA_MAX_CONCURRENCY", "1")];
        let process = process::start(env!("CARGO_BIN_EXE_notify"), &api, settings);
        Self { api, process }
    }

    /// Sets the time that each invocation has.
    pub async fn send_within(&self, seconds: u64, subject: Option<&str>, message: &str) -> bool {
        let deadline = SystemTime::now() + Duration::from_secs(seconds);
        self.api.set_deadline(deadline);
        let answer = self.api.invoke(event(subject, message)).await.unwrap();
        answer.path.ends_with("/response")
    }

    /// Returns whether the invocation succeeded.
    pub async fn send(&self, message: &Value) -> bool {
        self.send_within(60, Some("a subject"), &message.to_string())
            .await
    }

    /// The log so far.
    pub async fn stop(self) -> Vec<Value> {
        process::kill(self.process).await
    }
}

/// The event with which SNS invokes a function.
pub fn event(subject: Option<&str>, message: &str) -> String {
    let sns = json!({
        "Type": "Notification",
        "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:alerts",
        "Subject": subject,
        "Message": message,
        "Timestamp": "2026-01-18T10:34:00.000Z",
        "SignatureVersion": "1",
        "MessageAttributes": { "kinds": { "Type": "String.Array", "Value": "[\"offline\"]" } },
    });
    let record = json!({ "EventVersion": "1.0", "EventSource": "aws:sns", "Sns": sns });
    json!({ "Records": [record] }).to_string()
}

/// A server that went offline.
pub fn offline(server_id: &str, hostname: &str) -> Value {
    json!({ "server_id": server_id, "hostname": hostname, "last_seen": "2026-01-18T10:30:00.000000Z" })
}

/// A message of the watchdog's.
pub fn message(lists: &Value) -> Value {
    let mut message = json!({ "offline": [], "back": [], "high": [], "normal": [], "omitted": 0 });
    for (name, list) in lists.as_object().unwrap() {
        message[name] = list.clone();
    }
    message
}
