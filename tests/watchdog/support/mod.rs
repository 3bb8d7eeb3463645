//! Shared by the tests: a servers table, a topic, and a watchdog between them.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use dev::log::Lines;
use dev::tables::Tables;
use heartbeat::watchdog::{Config, SweepError, Watchdog};
use heartbeat::{aws, log};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use topic::Topic;
use tracing::instrument::WithSubscriber;

pub use dev::tables::{Item, text};
pub use dev::topic;

pub const TOPIC_ARN: &str = "arn:aws:sns:us-east-1:123456789012:alerts";

/// Stands for the name of a test's own table of metrics, as the value of a setting.
pub const OWN_METRICS: &str = "{metrics}";

pub struct TestWatchdog {
    watchdog: Watchdog,
    pub tables: Tables,
    pub topic: Topic,
    log: Lines,
}

/// 2026-01-18T10:30:00Z
const START: DateTime<Utc> = DateTime::from_timestamp(1_768_732_200, 0).unwrap();

/// A time on the tests' own clock, in seconds after its start.
pub fn at(seconds: i64) -> DateTime<Utc> {
    START + TimeDelta::seconds(seconds)
}

/// The same time in the form in which it is stored.
pub fn stored(seconds: i64) -> String {
    dev::tables::stored(at(seconds))
}

/// The settings of a watchdog on this table and this topic.
pub fn settings(servers: &str, sns: &str) -> HashMap<String, String> {
    let own = [
        ("ALERT_TOPIC_ARN", TOPIC_ARN),
        ("AWS_ENDPOINT_URL_SNS", sns),
        // Most tests are not about how long a return has to last.
        ("BACK_AFTER_SECONDS", "0"),
    ];
    let settings = dev::tables::settings(servers, "").into_iter();
    settings
        .chain(own.map(|(name, value)| (name, value.to_owned())))
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

pub fn config(settings: &HashMap<String, String>) -> Config {
    Config::from_variables(|name| settings.get(name).cloned()).unwrap()
}

impl TestWatchdog {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// One that knew the times of its digest before.
    pub async fn scheduled(changed: &[(&str, &str)]) -> Self {
        let watchdog = Self::start_with(changed).await;
        let digest_at = changed.iter().find(|(name, _)| *name == "DIGEST_AT");
        watchdog.set("#watchdog", "digest_times", digest_at.map(|(_, at)| *at)).await;
        watchdog
    }

    pub async fn start_with(changed: &[(&str, &str)]) -> Self {
        let region = changed.iter().find(|(name, _)| *name == "AWS_REGION");
        let tables = Tables::create_in(region.map_or("us-east-1", |(_, region)| region)).await;
        let topic = Topic::start().await;
        let mut settings = settings(&tables.servers, &topic.url);
        for (name, value) in changed {
            // The table has a name of its own for each test.
            let value = if *value == OWN_METRICS { &tables.metrics } else { *value };
            settings.insert((*name).to_owned(), value.to_owned());
        }
        let config = config(&settings);
        let client = aws::dynamodb(&config.aws).unwrap();
        let sns = aws::sns(&config.aws, config.sns_endpoint_url.as_deref()).unwrap();
        Self {
            watchdog: Watchdog::new(config, client, sns).unwrap(),
            tables,
            topic,
            log: Lines::default(),
        }
    }

    /// Sweeps at this second, a minute after the last sweep, with plenty of time until the deadline.
    pub async fn sweep(&self, seconds: i64) -> Result<(), SweepError> {
        self.set_own("swept_at", seconds - 60).await;
        self.sweep_as_it_is(seconds).await
    }

    /// Sweeps at this second, whenever the last sweep was.
    pub async fn sweep_as_it_is(&self, seconds: i64) -> Result<(), SweepError> {
        self.sweep_within(seconds, Duration::from_secs(100)).await
    }

    /// Sets a time in the watchdog's own item.
    pub async fn set_own(&self, name: &str, seconds: i64) {
        self.set("#watchdog", name, Some(&stored(seconds))).await;
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
        self.tables
            .client
            .update_item()
            .table_name(&self.tables.servers)
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
        let attributes = attributes.iter().cloned();
        self.tables.put_server(server_id, attributes).await;
    }

    /// Sets or removes one attribute.
    pub async fn set(&self, server_id: &str, name: &str, value: Option<&str>) {
        self.set_or_remove(server_id, name, value.map(text)).await;
    }

    /// Sets one attribute of any type.
    pub async fn set_value(&self, server_id: &str, name: &str, value: AttributeValue) {
        self.set_or_remove(server_id, name, Some(value)).await;
    }

    async fn set_or_remove(&self, server_id: &str, name: &str, value: Option<AttributeValue>) {
        let update = self.tables.client.update_item().table_name(&self.tables.servers);
        let update =
            update.key("server_id", text(server_id)).expression_attribute_names("#name", name);
        let update = match value {
            Some(value) => update
                .update_expression("SET #name = :value")
                .expression_attribute_values(":value", value),
            None => update.update_expression("REMOVE #name"),
        };
        update.send().await.unwrap();
    }

    pub async fn item(&self, server_id: &str) -> Option<Item> {
        self.tables.server(server_id).await
    }

    /// A time in the watchdog's own item.
    pub async fn own(&self, name: &str) -> Option<String> {
        let item = self.item("#watchdog").await?;
        item.get(name).map(|time| time.as_s().unwrap().clone())
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
    [Some(status.to_owned()), since.map(stored), announced.map(stored)]
}

/// The state of a server about whose absence something may have been published.
pub fn pending(status: &str, since: i64) -> [Option<String>; 3] {
    let [status, since, _] = state(status, Some(since), None);
    [status, since, Some("pending".to_owned())]
}

/// The lines with this message.
pub fn lines<'a>(log: &'a [Value], message: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line["message"] == message).collect()
}
