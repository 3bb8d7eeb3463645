//! Shared by the tests: a servers table, a topic, and a watchdog between them.

pub mod topic;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use dev::log::Lines;
use dev::{dynamodb, tables};
use heartbeat::config::WatchdogConfig;
use heartbeat::watchdog::{SweepError, Watchdog};
use heartbeat::{client, log};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use topic::Topic;
use tracing::instrument::WithSubscriber;

pub type Item = HashMap<String, AttributeValue>;

pub const TOPIC_ARN: &str = "arn:aws:sns:us-east-1:123456789012:alerts";

pub struct TestWatchdog {
    watchdog: Watchdog,
    pub dynamodb: Client,
    pub table: String,
    pub topic: Topic,
    log: Lines,
}

/// A time on the tests' own clock, in seconds after its start.
pub fn at(seconds: i64) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-01-18T10:30:00Z".parse().unwrap();
    start + TimeDelta::seconds(seconds)
}

/// The same time in the form in which it is stored.
pub fn stored(seconds: i64) -> String {
    at(seconds).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// The settings of a watchdog on this table and topic.
pub fn settings(table: &str, sns: &str) -> HashMap<String, String> {
    let settings = [
        ("SERVERS_TABLE", table),
        ("ALERT_TOPIC_ARN", TOPIC_ARN),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb::URL),
        ("AWS_ENDPOINT_URL_SNS", sns),
        ("ATTEMPT_TIMEOUT_MS", "20000"),
        ("OPERATION_TIMEOUT_MS", "40000"),
    ];
    let settings = settings.iter();
    settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub fn read(settings: &HashMap<String, String>) -> WatchdogConfig {
    WatchdogConfig::read(|name| settings.get(name).cloned()).unwrap()
}

impl TestWatchdog {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(changed: &[(&str, &str)]) -> Self {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let table = format!("watched-{}-{number}", std::process::id());
        let topic = Topic::start().await;
        let mut settings = settings(&table, &topic.url);
        for (name, value) in changed {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
        let dynamodb = dynamodb::client(&dynamodb::URL, &settings["AWS_REGION"]);
        tables::create(&dynamodb, "ServersTable", &table).await;
        let config = read(&settings);
        let client = client::dynamodb(&config.client).unwrap();
        let sns = client::sns(&config.client, config.sns_endpoint_url.as_deref()).unwrap();
        Self {
            watchdog: Watchdog::new(config, client, sns),
            dynamodb,
            table,
            topic,
            log: Lines::default(),
        }
    }

    /// Sweeps at this second, with plenty of time until the deadline.
    pub async fn sweep(&self, seconds: i64) -> Result<(), SweepError> {
        self.sweep_within(seconds, Duration::from_secs(100)).await
    }

    /// Sweeps at this second, with this much time until the deadline.
    pub async fn sweep_within(&self, seconds: i64, time: Duration) -> Result<(), SweepError> {
        let writer = self.log.clone();
        let subscriber = log::subscriber(tracing::Level::DEBUG, move || writer.clone());
        let deadline = Instant::now() + time;
        let sweep = self.watchdog.sweep(at(seconds), deadline, "request-1");
        sweep.with_subscriber(subscriber).await
    }

    /// Writes a heartbeat that is received at this second.
    pub async fn heartbeat(&self, server_id: &str, seconds: i64) {
        self.dynamodb
            .update_item()
            .table_name(&self.table)
            .key("server_id", text(server_id))
            .update_expression("SET #status = :online, last_seen = :now, hostname = :hostname")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":online", text("online"))
            .expression_attribute_values(":now", text(&stored(seconds)))
            .expression_attribute_values(":hostname", text(&format!("{server_id}.lan")))
            .send()
            .await
            .unwrap();
    }

    pub async fn put(&self, server_id: &str, attributes: &[(&str, AttributeValue)]) {
        let attributes = attributes.iter();
        let mut item: Item = attributes
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        item.insert("server_id".into(), text(server_id));
        let put = self.dynamodb.put_item().table_name(&self.table);
        put.set_item(Some(item)).send().await.unwrap();
    }

    /// Sets or removes one attribute.
    pub async fn set(&self, server_id: &str, name: &str, value: Option<&str>) {
        let update = self.dynamodb.update_item().table_name(&self.table);
        let update = update.key("server_id", text(server_id));
        let update = match value {
            Some(value) => update
                .update_expression(format!("SET {name} = :value"))
                .expression_attribute_values(":value", text(value)),
            None => update.update_expression(format!("REMOVE {name}")),
        };
        update.send().await.unwrap();
    }

    pub async fn item(&self, server_id: &str) -> Option<Item> {
        let get = self.dynamodb.get_item().table_name(&self.table);
        let get = get.key("server_id", text(server_id)).consistent_read(true);
        get.send().await.unwrap().item
    }

    /// `status`, `offline_since` and `announced` of a server.
    pub async fn state(&self, server_id: &str) -> [Option<String>; 3] {
        let item = self.item(server_id).await.unwrap();
        ["status", "offline_since", "announced"]
            .map(|name| item.get(name).map(|value| value.as_s().unwrap().clone()))
    }

    /// Everything that was logged since the last call.
    pub fn log(&self) -> Vec<Value> {
        self.log.take()
    }
}

/// A state as [`TestWatchdog::state`] returns it.
pub fn state(status: &str, since: Option<i64>, announced: Option<i64>) -> [Option<String>; 3] {
    [
        Some(status.to_owned()),
        since.map(stored),
        announced.map(stored),
    ]
}

/// The lines with this message.
pub fn lines<'a>(log: &'a [Value], message: &str) -> Vec<&'a Value> {
    log.iter()
        .filter(|line| line["message"] == message)
        .collect()
}
