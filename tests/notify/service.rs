//! A service for each format: it answers like the real one, and rejects what C11.1 or its documentation forbids.

use crate::support::Format;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// A secret part of every URL, of as many characters as a secret has at least.
pub const SECRET: &str = "T0K3N-8x";

/// How a service fails.
#[derive(Debug, Clone)]
pub enum Fault {
    Status(u16),
    /// A status with a body.
    Answer(u16, String),
    /// 429 with these headers, and a body.
    RetryAfter(Vec<String>, String),
    /// A status with everything that was sent, and with this.
    Echo(u16, &'static str),
    /// Takes the message, and answers after so many seconds.
    Slow(u64),
    /// The head of an answer with this status, and no more.
    HeadOnly(u16),
    Hang,
    Redirect(String),
}

/// What a service received.
#[derive(Clone)]
pub struct Received {
    format: Format,
    pub headers: HeaderMap,
    pub body: String,
    pub at: Instant,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// What a person reads.
    pub fn text(&self) -> String {
        match self.format.field {
            Some(field) => self.json()[field].as_str().unwrap().to_owned(),
            None if self.format.name == "teams" => {
                let json = self.json();
                let lines = json["attachments"][0]["content"]["body"].as_array().unwrap().iter();
                let lines = lines.map(|line| line["inlines"][0]["text"].as_str().unwrap());
                lines.collect::<Vec<_>>().join("\n")
            }
            None => self.body.clone(),
        }
    }
}

pub struct Service {
    format: Format,
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    format: Format,
    faults: VecDeque<Fault>,
    /// Connections to reset before one is served.
    resets: usize,
    received: Vec<Received>,
}

impl Service {
    pub async fn start(name: &str) -> Self {
        let format = Format::named(name);
        let shared = Arc::new(Mutex::new(Shared {
            format,
            faults: VecDeque::new(),
            resets: 0,
            received: Vec::new(),
        }));
        let inner = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let inner_address = inner.local_addr().unwrap();
        let routes = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async { axum::serve(inner, routes).await.unwrap() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = shared.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let is_reset = {
                    let mut shared = state.lock().unwrap();
                    let is_reset = shared.resets > 0;
                    shared.resets = shared.resets.saturating_sub(1);
                    is_reset
                };
                if is_reset {
                    client.set_zero_linger().unwrap();
                    continue;
                }
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(inner_address).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { format, port, shared }
    }

    /// Its entry of `WEBHOOK_URLS`.
    pub fn entry(&self) -> String {
        format!("{}:http://127.0.0.1:{}{}", self.format.name, self.port, path(self.format))
    }

    /// Its entry for a group.
    pub fn entry_of(&self, group: &str) -> String {
        self.entry().replacen(':', &format!("@{group}:"), 1)
    }

    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().unwrap().faults.extend(faults);
    }

    pub fn reset(&self, connections: usize) {
        self.shared.lock().unwrap().resets = connections;
    }

    /// Everything since the last call, failed attempts included.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.shared.lock().unwrap().received)
    }
}

async fn receive(
    State(shared): State<Arc<Mutex<Shared>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (received, fault) = {
        let mut shared = shared.lock().unwrap();
        let received = Received {
            format: shared.format,
            headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
            at: Instant::now(),
        };
        shared.received.push(received.clone());
        (received, shared.faults.pop_front())
    };
    match fault {
        None => {}
        Some(Fault::Status(status)) => {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        Some(Fault::Answer(status, body)) => {
            return (StatusCode::from_u16(status).unwrap(), body).into_response();
        }
        Some(Fault::RetryAfter(headers, body)) => {
            let mut response = (StatusCode::TOO_MANY_REQUESTS, body).into_response();
            for header in headers {
                response.headers_mut().append("retry-after", header.parse().unwrap());
            }
            return response;
        }
        Some(Fault::Echo(status, more)) => {
            let echo = format!("{more} POST {uri} {:?} {}", received.headers, received.body);
            return (StatusCode::from_u16(status).unwrap(), echo).into_response();
        }
        Some(Fault::Slow(seconds)) => sleep(Duration::from_secs(seconds)).await,
        Some(Fault::HeadOnly(status)) => {
            let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
            return (StatusCode::from_u16(status).unwrap(), body).into_response();
        }
        Some(Fault::Hang) => {
            sleep(Duration::from_secs(600)).await;
        }
        Some(Fault::Redirect(to)) => {
            return (StatusCode::FOUND, [("location", to)]).into_response();
        }
    }
    match check(&uri, &received) {
        // A workflow accepts a message, and posts it later.
        Ok(answer) if received.format.name == "teams" => {
            (StatusCode::ACCEPTED, answer).into_response()
        }
        Ok(answer) => answer.into_response(),
        Err(reason) => panic!("{} rejects this: {reason}: {}", received.format.name, received.body),
    }
}

/// The path and the query of a format's URL.
fn path(format: Format) -> String {
    let url: Uri = format.url(SECRET).parse().unwrap();
    url.path_and_query().unwrap().to_string()
}

/// What C11.1 says of every service, and what the documentation of some demands.
fn check(uri: &Uri, received: &Received) -> Result<&'static str, String> {
    let demand = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
    let header = |name: &str| received.headers.get(name).map(|value| value.to_str().unwrap());
    let format = received.format;
    demand(uri.to_string() == path(format), "the path")?;
    let is_json = header("content-type") == Some("application/json");
    demand(is_json || format.field.is_none(), "content type")?;
    let text = received.text();
    let length = match format.unit {
        "characters" => text.encode_utf16().count(),
        "bytes" if format.field.is_none() => received.body.len(),
        "bytes" => text.len(),
        _ => 1,
    };
    let limit = format.limit.unwrap_or(usize::MAX);
    demand((1..=limit).contains(&length), "length")?;
    let fields = |allowed: &[&str]| {
        let json = received.json();
        let fields = json.as_object().unwrap().keys();
        let unknown: Vec<_> = fields.filter(|name| !allowed.contains(&name.as_str())).collect();
        demand(unknown.is_empty(), &format!("unknown fields {unknown:?}"))
    };
    match format.name {
        // https://api.slack.com/messaging/webhooks, https://api.slack.com/reference/surfaces/formatting#escaping
        "slack" => {
            fields(&["text", "unfurl_links", "unfurl_media"])?;
            demand(!text.contains(['<', '>']), "raw < or >")?;
            let entities = ["&amp;", "&lt;", "&gt;"];
            let rest = entities.iter().fold(text, |text, entity| text.replace(entity, ""));
            demand(!rest.contains('&'), "raw &")?;
            Ok("ok")
        }
        // https://discord.com/developers/docs/resources/webhook#execute-webhook
        "discord" => {
            fields(&["content", "allowed_mentions", "flags"])?;
            let mentions = &received.json()["allowed_mentions"]["parse"];
            demand(mentions == &json!([]), "mentions")?;
            Ok("")
        }
        // https://core.telegram.org/bots/api#sendmessage, #html-style
        "telegram" => {
            fields(&["text", "parse_mode", "link_preview_options"])?;
            demand(received.json()["parse_mode"] == "HTML", "parse_mode")?;
            let rest = text.replace("<code>", "").replace("</code>", "");
            demand(!rest.contains(['<', '>']), "a tag")?;
            Ok(r#"{"ok":true,"result":{"message_id":1}}"#)
        }
        // https://adaptivecards.io/explorer/: a run of text has no Markdown, and no mention without an entity.
        "teams" => {
            fields(&["type", "attachments"])?;
            let json = received.json();
            let attachments = json["attachments"].as_array().map(Vec::as_slice);
            let Some([attachment]) = attachments else { return Err("attachments".to_owned()) };
            let content_type = &attachment["contentType"];
            demand(content_type == "application/vnd.microsoft.card.adaptive", "card")?;
            let card = &attachment["content"];
            demand(card["type"] == "AdaptiveCard" && card["version"] == "1.4", "card")?;
            demand(card["msteams"]["entities"] == Value::Null, "entities")?;
            let blocks = card["body"].as_array().unwrap();
            let is_text = |block: &Value| {
                let inlines = block["inlines"].as_array().unwrap();
                block["type"] == "RichTextBlock"
                    && inlines.len() == 1
                    && inlines[0]["type"] == "TextRun"
            };
            demand(blocks.iter().all(is_text), "a block")?;
            Ok("")
        }
        // https://docs.ntfy.sh/publish/: a longer message becomes an attachment.
        "ntfy" => {
            demand(header("title").is_some_and(|title| !title.is_empty()), "title")?;
            let priorities = ["min", "low", "default", "high", "max", "urgent"];
            demand(header("priority").is_some_and(|is| priorities.contains(&is)), "priority")?;
            demand(header("tags").is_some(), "tags")?;
            Ok(r#"{"event":"message"}"#)
        }
        _ => Ok(""),
    }
}
