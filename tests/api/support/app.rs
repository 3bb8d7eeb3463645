//! The whole function on tables of its own.

use crate::support::log::Log;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::prelude::{BASE64_STANDARD, Engine};
use dev::{dynamodb, tables};
use heartbeat::client;
use heartbeat::config::Config;
use heartbeat::handler::{App, disarm, handle};
use heartbeat::store::Store;
use lambda_http::lambda_runtime::Context;
use lambda_http::{Request, RequestExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

pub type Item = HashMap<String, AttributeValue>;

/// The key that the events carry.
pub const KEY: &str = "local-development-key";
/// Its digest.
pub const DIGEST: &str = "4c88089bdf15cb0dffde5c179461a2f99fa7cfb0bed250a8d87f8aa1d80eaa11";
/// The server in the events.
pub const SERVER: &str = "omv-mediaserver";

pub struct TestApp {
    pub app: App,
    pub log: Log,
    pub dynamodb: Client,
    pub servers_table: String,
    pub metrics_table: String,
}

/// What comes back for an event.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Value,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with settings other than the usual ones.
    pub async fn start_with(settings: &[(&'static str, &str)]) -> Self {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let suffix = format!(
            "{}-{}",
            std::process::id(),
            STARTED.fetch_add(1, Ordering::Relaxed)
        );
        let servers_table = format!("servers-{suffix}");
        let metrics_table = format!("metrics-{suffix}");

        let mut engine = settings_for(&servers_table, &metrics_table);
        // DynamoDB Local keeps the tables of each region apart.
        if let Some((name, region)) = settings.iter().find(|(name, _)| *name == "AWS_REGION") {
            engine.insert(name, (*region).to_owned());
        }
        let (dynamodb, _) = client::connect(&config(&engine).client).unwrap();
        tables::create(&dynamodb, "ServersTable", &servers_table).await;
        tables::create(&dynamodb, "MetricsTable", &metrics_table).await;

        let mut settings_in_force = engine;
        settings_in_force.extend(
            settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let config = config(&settings_in_force);
        let (client, _) = client::connect(&config.client).unwrap();
        let store = Store::new(
            client,
            config.servers_table,
            config.metrics_table,
            config.retention,
        );
        Self {
            app: App {
                keys: config.keys,
                store,
            },
            log: Log::default(),
            dynamodb,
            servers_table,
            metrics_table,
        }
    }

    /// Sends an event, under a request id of its own. Whatever is in it, no secret of it is logged (C2.6).
    pub async fn send(&self, event: &Value) -> Answer {
        static SENT: AtomicU64 = AtomicU64::new(0);
        let mut context = Context::default();
        context.request_id = format!("request-{}", SENT.fetch_add(1, Ordering::Relaxed));
        let event_read = serde_json::from_str(&event.to_string()).unwrap();
        let request = Request::from(disarm(event_read)).with_lambda_context(context);
        let response = self.log.of(event, handle(&self.app, request)).await;
        let header = |(name, value): (
            &lambda_http::http::HeaderName,
            &lambda_http::http::HeaderValue,
        )| { (name.to_string(), value.to_str().unwrap().to_owned()) };
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(header).collect(),
            body: serde_json::from_slice(response.body()).unwrap(),
        }
    }

    /// Posts a body.
    pub async fn post(&self, body: &Value) -> Answer {
        self.send(&posting(body.to_string())).await
    }

    /// The item of the events' server.
    pub async fn server(&self) -> Option<Item> {
        let key = AttributeValue::S(SERVER.into());
        let get = self
            .dynamodb
            .get_item()
            .table_name(&self.servers_table)
            .key("server_id", key);
        get.consistent_read(true).send().await.unwrap().item
    }

    /// Every row of metrics there is, oldest first.
    pub async fn rows(&self) -> Vec<Item> {
        self.items(&self.metrics_table).await
    }

    /// Every server there is.
    pub async fn servers(&self) -> Vec<Item> {
        self.items(&self.servers_table).await
    }

    async fn items(&self, table: &str) -> Vec<Item> {
        let scan = self.dynamodb.scan().table_name(table).consistent_read(true);
        let mut items = scan
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .unwrap();
        items.sort_by_key(|item| item.get("recorded_at").map(text));
        items
    }
}

/// Reads settings as the function does.
pub fn config(settings: &HashMap<&'static str, String>) -> Config {
    Config::read(|name| settings.get(name).cloned()).unwrap()
}

/// The settings of a function on these tables.
pub fn settings_for(servers_table: &str, metrics_table: &str) -> HashMap<&'static str, String> {
    HashMap::from([
        ("API_KEY_SHA256", DIGEST.to_owned()),
        ("SERVERS_TABLE", servers_table.to_owned()),
        ("METRICS_TABLE", metrics_table.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb::URL.clone()),
        // Patience: many tests share one database, and its first answers take long.
        ("ATTEMPT_TIMEOUT_MS", "20000".to_owned()),
        ("OPERATION_TIMEOUT_MS", "40000".to_owned()),
    ])
}

/// The event in `events/` of this name.
pub fn event(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// An event that posts a body.
pub fn posting(body: String) -> Value {
    let mut event = event("heartbeat");
    event["body"] = body.into();
    event
}

/// An event that posts a body in base64, as API Gateway passes on what is not text.
pub fn posting_in_base64(body: &[u8]) -> Value {
    let mut event = posting(BASE64_STANDARD.encode(body));
    event["isBase64Encoded"] = true.into();
    event
}

/// A heartbeat of the events' server, with its three required fields.
pub fn minimal() -> Value {
    json!({ "server_id": SERVER, "hostname": "omv", "timestamp": "2026-01-18T10:30:00Z" })
}

/// A heartbeat with something in it.
pub fn with(field: &str, value: Value) -> Value {
    let mut body = minimal();
    body[field] = value;
    body
}

pub fn text(attribute: &AttributeValue) -> String {
    attribute
        .as_s()
        .or_else(|_| attribute.as_n())
        .unwrap()
        .clone()
}
