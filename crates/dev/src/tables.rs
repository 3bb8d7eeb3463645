//! The fixture of every test: fresh tables as `template.yaml` defines them, in the DynamoDB for tests.

use crate::dynamodb::{self, URL};
use crate::template;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// An item of a table.
pub type Item = HashMap<String, AttributeValue>;

/// Three empty tables, and a client for them.
pub struct Tables {
    pub client: Client,
    pub servers: String,
    pub metrics: String,
    pub keys: String,
}

impl Tables {
    /// Creates tables of its own for one test.
    pub async fn create() -> Self {
        Self::create_in("us-east-1").await
    }

    /// Creates tables in a region: DynamoDB Local keeps those of each region apart.
    pub async fn create_in(region: &str) -> Self {
        static CREATED: AtomicU64 = AtomicU64::new(0);
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = |what: &str| format!("{what}-{}-{number}", std::process::id());
        let tables = Self {
            client: dynamodb::client(&URL, region),
            servers: name("servers"),
            metrics: name("metrics"),
            keys: name("keys"),
        };
        for (logical_id, name) in [
            ("ServersTable", &tables.servers),
            ("MetricsTable", &tables.metrics),
            ("KeysTable", &tables.keys),
        ] {
            template::create(&tables.client, logical_id, name).await;
        }
        tables
    }

    /// The settings of a program on these tables, without a key.
    pub fn settings(&self) -> HashMap<&'static str, String> {
        settings(&self.servers, &self.metrics)
    }

    /// The item of a server.
    pub async fn server(&self, server_id: &str) -> Option<Item> {
        let get = self.client.get_item().table_name(&self.servers);
        let get = get.key("server_id", text(server_id)).consistent_read(true);
        get.send().await.unwrap().item
    }

    /// Stores a server with these attributes.
    pub async fn put_server(
        &self,
        server_id: &str,
        attributes: impl IntoIterator<Item = (impl Into<String>, AttributeValue)>,
    ) {
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value));
        let key = ("server_id".to_owned(), text(server_id));
        self.put(&self.servers, attributes.chain([key])).await;
    }

    /// Stores an item.
    pub async fn put(
        &self,
        table: &str,
        attributes: impl IntoIterator<Item = (impl Into<String>, AttributeValue)>,
    ) {
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value));
        let put = self.client.put_item().table_name(table);
        let put = put.set_item(Some(attributes.collect()));
        put.send().await.unwrap();
    }

    /// Deletes every server and every row of metrics.
    pub async fn clear(&self) {
        for (table, key) in
            [(&self.servers, &["server_id"][..]), (&self.metrics, &["server_id", "recorded_at"])]
        {
            for item in self.items(table).await {
                let key = key.iter().map(|name| ((*name).to_owned(), item[*name].clone()));
                let delete = self.client.delete_item().table_name(table);
                let delete = delete.set_key(Some(key.collect()));
                delete.send().await.unwrap();
            }
        }
    }

    /// All items of a table, rows of metrics from the oldest on.
    pub async fn items(&self, table: &str) -> Vec<Item> {
        let scan = self.client.scan().table_name(table).consistent_read(true);
        let pages = scan.into_paginator().items().send();
        let mut items = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
        items.sort_by_key(|item| item.get("recorded_at").map(|key| key.as_s().unwrap().clone()));
        items
    }
}

/// The settings of a program on tables with these names.
pub fn settings(servers: &str, metrics: &str) -> HashMap<&'static str, String> {
    let settings = [
        ("SERVERS_TABLE", servers),
        ("METRICS_TABLE", metrics),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &URL),
        // Long timeouts: many tests share one database, which is slow at first.
        ("ATTEMPT_TIMEOUT_MS", "20000"),
        ("OPERATION_TIMEOUT_MS", "40000"),
    ];
    settings.map(|(name, value)| (name, value.to_owned())).into()
}

/// A string attribute.
pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// A time as the tables hold it.
pub fn stored(time: DateTime<Utc>) -> String {
    tables::time::format(time)
}
