//! The whole function, on tables of its own.

use crate::support::log::Log;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::prelude::{BASE64_STANDARD, Engine};
use dev::tables::Tables;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use heartbeat::aws;
use heartbeat::endpoint::{self, Config};
use heartbeat::event::Event;
use lambda_http::{Context, LambdaEvent, Service};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

pub use dev::tables::Item;

/// The key that the events carry.
pub const KEY: &str = "local-development-key";
/// Its digest.
pub const DIGEST: &str = "4c88089bdf15cb0dffde5c179461a2f99fa7cfb0bed250a8d87f8aa1d80eaa11";
/// The server in the events.
pub const SERVER: &str = "omv-mediaserver";

/// Calls the function with an event, and returns what Lambda would pass on.
type Function = Box<dyn Fn(LambdaEvent<Event>) -> BoxFuture<'static, Value>>;

pub struct TestApp {
    function: Function,
    pub log: Log,
    pub tables: Tables,
}

/// The answer to an event.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Value,
}

impl Answer {
    /// Reads it as API Gateway does: single headers from payload 2.0, lists of them from payload 1.0.
    fn from_json(answer: &Value) -> Self {
        let single = answer["headers"].as_object().unwrap().iter();
        let lists = answer["multiValueHeaders"].as_object().unwrap().iter();
        let header = |(name, value): (&String, &Value)| {
            let value = value.as_str().or_else(|| value[0].as_str());
            (name.clone(), value.unwrap().to_owned())
        };
        Self {
            status: answer["statusCode"].as_u64().unwrap().try_into().unwrap(),
            headers: single.chain(lists).map(header).collect(),
            body: serde_json::from_str(answer["body"].as_str().unwrap()).unwrap(),
        }
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with a keys table and further settings.
    pub async fn start_with_keys_table(settings: &[(&'static str, &str)]) -> Self {
        Self::start_on(true, settings).await
    }

    /// Starts with settings that differ from the usual ones.
    pub async fn start_with(settings: &[(&'static str, &str)]) -> Self {
        Self::start_on(false, settings).await
    }

    async fn start_on(has_keys_table: bool, settings: &[(&'static str, &str)]) -> Self {
        let region = settings.iter().find(|(name, _)| *name == "AWS_REGION");
        let tables = Tables::create_in(region.map_or("us-east-1", |(_, region)| region)).await;
        let mut effective = settings_for(&tables.servers, &tables.metrics);
        if has_keys_table {
            effective.insert("KEYS_TABLE", tables.keys.clone());
        }
        let changed = settings.iter();
        effective.extend(changed.map(|(name, value)| (*name, (*value).to_owned())));
        let config = config(&effective);
        let log = Log::default();
        let (clients, warm_up) = aws::clients(&config.aws).unwrap();
        log.during(warm_up.run()).await;
        let function = endpoint::function(config, clients);
        Self {
            function: Box::new(move |event| {
                let answer = function.clone().call(event);
                async { serde_json::to_value(answer.await.unwrap()).unwrap() }.boxed()
            }),
            log,
            tables,
        }
    }

    /// Sends an event under a request id of its own, and checks that no secret of it is logged (C2.6).
    pub async fn send(&self, event: &Value) -> Answer {
        static SENT: AtomicU64 = AtomicU64::new(0);
        let mut context = Context::default();
        context.request_id = format!("request-{}", SENT.fetch_add(1, Ordering::Relaxed));
        let event = &through_front(event.clone());
        let payload = serde_json::from_str(&event.to_string()).unwrap();
        let answer = (self.function)(LambdaEvent::new(payload, context));
        Answer::from_json(&self.log.of(event, answer).await)
    }

    /// Posts a body.
    pub async fn post(&self, body: &Value) -> Answer {
        self.send(&posting(body.to_string())).await
    }

    /// The item of the events' server.
    pub async fn server(&self) -> Option<Item> {
        self.tables.server(SERVER).await
    }

    /// All rows of metrics, oldest first.
    pub async fn rows(&self) -> Vec<Item> {
        self.tables.items(&self.tables.metrics).await
    }

    /// The items of all servers.
    pub async fn servers(&self) -> Vec<Item> {
        self.tables.items(&self.tables.servers).await
    }
}

/// The event as the front makes it that the variable `FRONT` names: of the HTTP API's route, with `FRONT=url` that of a function
/// URL, which has no routes. A path with the prefix of an API mapping is the API's alone.
fn through_front(mut event: Value) -> Value {
    let is_url = std::env::var_os("FRONT").is_some_and(|front| front == "url");
    let is_mapped = event["rawPath"] != "/api/v1/agents/heartbeat";
    if is_url && event["routeKey"] == "POST /api/v1/agents/heartbeat" && !is_mapped {
        let host = "abc123.lambda-url.us-east-1.on.aws";
        event["routeKey"] = "$default".into();
        event["requestContext"]["routeKey"] = "$default".into();
        event["requestContext"]["domainName"] = host.into();
        event["requestContext"]["authentication"] = Value::Null;
        event["headers"]["host"] = host.into();
    }
    event
}

/// Reads settings as the function does.
pub fn config(settings: &HashMap<&'static str, String>) -> Config {
    Config::from_variables(|name| settings.get(name).cloned()).unwrap()
}

/// The settings of a function on tables with these names.
pub fn settings_for(servers: &str, metrics: &str) -> HashMap<&'static str, String> {
    let mut settings = dev::tables::settings(servers, metrics);
    settings.insert("API_KEY_SHA256", DIGEST.to_owned());
    settings
}

/// The event in `events/` of this name.
pub fn event(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The event with this header, which replaces one of the same name.
pub fn with_header(mut event: Value, name: &str, value: &str) -> Value {
    event["headers"][name] = value.into();
    event
}

/// A heartbeat with this key.
pub fn with_key(key: &str) -> Value {
    with_header(event("heartbeat"), "x-api-key", key)
}

/// An event that posts a body.
pub fn posting(body: String) -> Value {
    let mut event = event("heartbeat");
    event["body"] = body.into();
    event
}

/// An event that posts a body in base64, which is how API Gateway passes on bodies that are not text.
pub fn posting_in_base64(body: &[u8]) -> Value {
    let mut event = posting(BASE64_STANDARD.encode(body));
    event["isBase64Encoded"] = true.into();
    event
}

/// A heartbeat of this many bytes.
pub fn of_size(bytes: usize) -> Value {
    let body = minimal().to_string();
    let padding = " ".repeat(bytes - body.len());
    posting(body + &padding)
}

/// A heartbeat that is one byte too large.
pub fn too_large() -> Value {
    of_size(1024 * 1024 + 1)
}

/// A heartbeat of the events' server, with its three required fields.
pub fn minimal() -> Value {
    json!({ "server_id": SERVER, "hostname": "omv", "timestamp": "2026-01-18T10:30:00Z" })
}

/// A minimal heartbeat with one more field.
pub fn with(field: &str, value: Value) -> Value {
    let mut body = minimal();
    body[field] = value;
    body
}

pub fn text(attribute: &AttributeValue) -> String {
    attribute.as_s().or_else(|_| attribute.as_n()).unwrap().clone()
}

/// The size of an item, as DynamoDB bills it: names and strings in UTF-8, a number one byte for two digits and one more, a
/// map three bytes and one for each entry.
pub fn size(item: &Item) -> usize {
    fn value(attribute: &AttributeValue) -> usize {
        match attribute {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(number) => {
                let digits = number.bytes().filter(u8::is_ascii_digit).count();
                digits.div_ceil(2) + 1 + usize::from(number.starts_with('-'))
            }
            AttributeValue::Bool(_) => 1,
            AttributeValue::M(map) => 3 + map.len() + size(map),
            AttributeValue::L(list) => 3 + list.len() + list.iter().map(value).sum::<usize>(),
            other => panic!("{other:?}"),
        }
    }
    item.iter().map(|(name, attribute)| name.len() + value(attribute)).sum()
}
