//! Shared by the tests: the function, and the messages that it gets.

use crate::service::Service;
use dev::log::Lines;
use heartbeat::log;
use heartbeat::notify::{Config, Dispatcher};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use tracing::instrument::WithSubscriber;

/// The formats of C11.1, as the contract describes them.
#[derive(Clone, Copy)]
pub struct Format {
    pub name: &'static str,
    /// With placeholders in angle brackets.
    pub url: &'static str,
    /// The field of a JSON body that holds the text; `None` if the text is the body.
    pub field: Option<&'static str>,
    /// The longest text, in `unit`; `None` if there is no limit.
    pub limit: Option<usize>,
    pub unit: &'static str,
}

impl Format {
    pub fn all() -> Vec<Self> {
        let contract = include_str!("../../docs/contract.md");
        let (_, table) = contract.split_once("| format | URL |").unwrap();
        let lines = table.lines().skip(2);
        let rows = lines.map_while(|line| line.trim().strip_prefix('|'));
        rows.map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let (limit, unit) = cells[3].split_once(' ').unwrap_or((cells[3], ""));
            let code = |cell: &'static str| cell.strip_prefix('`')?.strip_suffix('`');
            Self {
                name: code(cells[0]).unwrap(),
                url: code(cells[1]).unwrap(),
                field: code(cells[2]),
                limit: (limit != "any").then(|| limit.replace(',', "").parse().unwrap()),
                unit,
            }
        })
        .collect()
    }

    pub fn named(name: &str) -> Self {
        Self::all()
            .into_iter()
            .find(|format| format.name == name)
            .unwrap_or_else(|| panic!("C11.1 describes no format {name}"))
    }

    /// Its URL, with this for each placeholder.
    pub fn url(&self, secret: &str) -> String {
        let mut parts = self.url.split(['<', '>']);
        let mut url = parts.next().unwrap().to_owned();
        while let Some(_placeholder) = parts.next() {
            url += secret;
            url += parts.next().unwrap();
        }
        url
    }
}

/// The function in this process, so that a test can pause its clock: what waits for seconds then takes none, because time
/// goes on as soon as everything waits. The function and the services run in one thread, so no response is under way then.
pub struct Notify {
    dispatcher: Dispatcher,
    log: Lines,
}

impl Notify {
    /// Starts it with these services.
    pub fn start(services: &[&Service]) -> Self {
        Self::start_linking_to("", &entries(services))
    }

    /// Starts it with the URL of the page.
    pub fn start_linking_to(page_url: &str, urls: &str) -> Self {
        Self::start_with(urls, &HashMap::from([("PAGE_URL", page_url.to_owned())]))
    }

    /// Starts it with other settings. With a table, nothing may pause the clock: DynamoDB is in another thread.
    pub fn start_with(urls: &str, settings: &HashMap<&str, String>) -> Self {
        let config = Config::from_variables(|name| match name {
            "WEBHOOK_URLS" => Some(urls.to_owned()),
            name => settings.get(name).cloned(),
        });
        Self { dispatcher: Dispatcher::new(config.unwrap()).unwrap(), log: Lines::default() }
    }

    /// Delivers a message within this time; returns whether it reached every service.
    pub async fn send_within(&self, seconds: u64, subject: Option<&str>, message: &str) -> bool {
        self.try_send_within(seconds, subject, message).await.is_ok()
    }

    /// Delivers a message within this time.
    pub async fn try_send_within(
        &self,
        seconds: u64,
        subject: Option<&str>,
        message: &str,
    ) -> Result<(), String> {
        self.deliver_within(seconds, &event(subject, message)).await
    }

    /// Delivers an event within this time.
    pub async fn deliver_within(&self, seconds: u64, event: &str) -> Result<(), String> {
        let writer = self.log.clone();
        let subscriber = log::subscriber(tracing::Level::INFO, move || writer.clone());
        let event = serde_json::from_str(event).unwrap();
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let delivery = self.dispatcher.deliver(&event, deadline, "request-1");
        delivery.with_subscriber(subscriber).await.map_err(|error| error.to_string())
    }

    pub async fn send(&self, message: &Value) -> bool {
        self.send_within(60, Some("a subject"), &message.to_string()).await
    }

    /// Everything that was logged since the last call.
    pub fn log(&self) -> Vec<Value> {
        self.log.take()
    }
}

/// `WEBHOOK_URLS` with these services.
pub fn entries(services: &[&Service]) -> String {
    let entries: Vec<_> = services.iter().map(|service| service.entry()).collect();
    entries.join(" ")
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
    let mut message = json!({
        "time": "2026-01-18T11:30:00.000000Z", "offline": [], "back": [], "problems": [], "solved": [], "omitted": 0,
    });
    for (name, list) in lists.as_object().unwrap() {
        message[name] = list.clone();
    }
    message
}
