//! What the tests share: tables of their own, and the tool as a process.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use dev::{dynamodb, tables};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

pub type Item = HashMap<String, AttributeValue>;

/// What a run of the tool has left.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }
}

pub struct Place {
    pub dynamodb: Client,
    pub servers: String,
    pub metrics: String,
    pub keys: String,
}

/// The tool, with nothing of this machine's in its environment.
pub fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heartbeatctl"));
    command
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Run {
    Run::from(command.output().unwrap())
}

/// Runs the tool with this on its standard input.
pub fn run_with_input(command: &mut Command, input: &str) -> Run {
    let command = command.stdin(Stdio::piped());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    Run::from(child.wait_with_output().unwrap())
}

pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

impl Place {
    pub async fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |what: &str| format!("cli-{what}-{}-{number}", std::process::id());
        let place = Self {
            dynamodb: dynamodb::client(&dynamodb::URL, "us-east-1"),
            servers: name("servers"),
            metrics: name("metrics"),
            keys: name("keys"),
        };
        for (logical_id, name) in [
            ("ServersTable", &place.servers),
            ("MetricsTable", &place.metrics),
            ("KeysTable", &place.keys),
        ] {
            tables::create(&place.dynamodb, logical_id, name).await;
        }
        place
    }

    pub fn tool(&self) -> Command {
        let mut command = tool();
        command
            .env("AWS_ENDPOINT_URL_DYNAMODB", &*dynamodb::URL)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("SERVERS_TABLE", &self.servers)
            .env("METRICS_TABLE", &self.metrics)
            .env("KEYS_TABLE", &self.keys);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        run(self.tool().args(arguments))
    }

    pub async fn put(&self, table: &str, attributes: &[(&str, AttributeValue)]) {
        let attributes = attributes.iter();
        let item = attributes.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let put = self.dynamodb.put_item().table_name(table);
        put.set_item(Some(item.collect())).send().await.unwrap();
    }

    pub async fn items(&self, table: &str) -> Vec<Item> {
        let scan = self.dynamodb.scan().table_name(table).consistent_read(true);
        scan.send().await.unwrap().items.unwrap_or_default()
    }
}
