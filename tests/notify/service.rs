//! A service per format: it answers like the real one, and rejects what its documentation forbids.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// A secret part of every URL.
pub const SECRET: &str = "T0K3N";

/// How a service fails.
#[derive(Debug, Clone)]
pub enum Fault {
    Status(u16),
    /// 429 with a header, a number of seconds.
    RetryAfter(u64),
    /// 429 as Telegram sends it.
    TelegramRetryAfter(u64),
    Hang,
    Redirect(String),
}

/// What a service received.
#[derive(Debug, Clone)]
pub struct Received {
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
        let Ok(json) = serde_json::from_str::<Value>(&self.body) else {
            return self.body.clone();
        };
        let text = [&json["text"], &json["content"]];
        let text = text.iter().find_map(|text| text.as_str());
        text.unwrap_or(&self.body).to_owned()
    }
}

pub struct Service {
    format: &'static str,
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    format: &'static str,
    faults: VecDeque<Fault>,
    /// Connections to reset before one is served.
    resets: usize,
    received: Vec<Received>,
}

impl Service {
    pub async fn start(format: &'static str) -> Self {
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
        Self {
            format,
            port,
            shared,
        }
    }

    /// Its entry of `WEBHOOK_URLS`.
    pub fn entry(&self) -> String {
        let path = match self.format {
            "telegram" => format!("bot{SECRET}/sendMessage?chat_id=-100"),
            _ => SECRET.to_owned(),
        };
        format!("{}:http://127.0.0.1:{}/{path}", self.format, self.port)
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
    let received = Received {
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        at: Instant::now(),
    };
    let (format, fault) = {
        let mut shared = shared.lock().unwrap();
        shared.received.push(received.clone());
        (shared.format, shared.faults.pop_front())
    };
    match fault {
        None => {}
        Some(Fault::Status(status)) => {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        Some(Fault::RetryAfter(seconds)) => {
            let header = [("retry-after", seconds.to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, header).into_response();
        }
        Some(Fault::TelegramRetryAfter(seconds)) => {
            let answer =
                json!({ "ok": false, "error_code": 429, "parameters": { "retry_after": seconds } });
            return (StatusCode::TOO_MANY_REQUESTS, answer.to_string()).into_response();
        }
        Some(Fault::Hang) => {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Some(Fault::Redirect(to)) => {
            return (StatusCode::FOUND, [("location", to)]).into_response();
        }
    }
    match check(format, &uri, &received) {
        Ok(answer) => answer.into_response(),
        Err(reason) => panic!("{format} rejects this: {reason}: {received:?}"),
    }
}

/// What the documentation of each service demands.
fn check(format: &str, uri: &Uri, received: &Received) -> Result<&'static str, String> {
    let demand = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
    let header = |name: &str| {
        received
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap())
    };
    demand(uri.path().contains(SECRET), "the path")?;
    let is_json = header("content-type") == Some("application/json");
    let fields = |allowed: &[&str]| {
        let json = received.json();
        let fields = json.as_object().unwrap().keys();
        let unknown: Vec<_> = fields
            .filter(|name| !allowed.contains(&name.as_str()))
            .collect();
        demand(unknown.is_empty(), &format!("unknown fields {unknown:?}"))
    };
    let utf_16 = received.text().encode_utf16().count();
    match format {
        // https://api.slack.com/messaging/webhooks, https://api.slack.com/reference/surfaces/formatting#escaping
        "slack" => {
            demand(is_json, "content type")?;
            fields(&["text", "unfurl_links", "unfurl_media"])?;
            demand((1..=4_000).contains(&utf_16), "length")?;
            let text = received.text();
            demand(!text.contains(['<', '>']), "raw < or >")?;
            let entities = ["&amp;", "&lt;", "&gt;"];
            let rest = entities
                .iter()
                .fold(text, |text, entity| text.replace(entity, ""));
            demand(!rest.contains('&'), "raw &")?;
            Ok("ok")
        }
        // https://discord.com/developers/docs/resources/webhook#execute-webhook
        "discord" => {
            demand(is_json, "content type")?;
            fields(&["content", "allowed_mentions", "flags"])?;
            demand((1..=2_000).contains(&utf_16), "length")?;
            let mentions = &received.json()["allowed_mentions"]["parse"];
            demand(mentions == &json!([]), "mentions")?;
            Ok("")
        }
        // https://core.telegram.org/bots/api#sendmessage, #html-style
        "telegram" => {
            demand(is_json, "content type")?;
            demand(uri.path().ends_with("/sendMessage"), "method")?;
            demand(uri.query() == Some("chat_id=-100"), "chat_id")?;
            fields(&["text", "parse_mode", "link_preview_options"])?;
            demand(received.json()["parse_mode"] == "HTML", "parse_mode")?;
            demand((1..=4_096).contains(&utf_16), "length")?;
            let rest = received.text().replace("<code>", "").replace("</code>", "");
            demand(!rest.contains(['<', '>']), "a tag")?;
            Ok(r#"{"ok":true,"result":{"message_id":1}}"#)
        }
        // https://docs.ntfy.sh/publish/: a longer message becomes an attachment.
        "ntfy" => {
            demand((1..=4_096).contains(&received.body.len()), "length")?;
            demand(
                header("title").is_some_and(|title| !title.is_empty()),
                "title",
            )?;
            let priorities = ["min", "low", "default", "high", "max"];
            demand(
                header("priority").is_some_and(|is| priorities.contains(&is)),
                "priority",
            )?;
            demand(header("tags").is_some(), "tags")?;
            Ok(r#"{"event":"message"}"#)
        }
        "json" => Ok(""),
        _ => Err("an unknown format".to_owned()),
    }
}
