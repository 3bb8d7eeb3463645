//! A fake topic that records the messages that it gets, and fails on request.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What the topic does with a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Behavior {
    #[default]
    Accepts,
    /// Rejects it permanently.
    Rejects,
    /// Never answers.
    Hangs,
    /// Accepts it, but its answer is lost.
    LosesAnswers,
    /// Accepts it, but never answers.
    AcceptsAndHangs,
}

pub struct Topic {
    pub url: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    behavior: Behavior,
    published: Vec<Published>,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    pub parameters: HashMap<String, String>,
    /// The message for programs.
    pub default: Value,
    /// The message for people.
    pub email: String,
    /// What it is about.
    pub kinds: Vec<String>,
}

impl Topic {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<Mutex<Shared>>::default();
        let routes = Router::new().fallback(publish).with_state(shared.clone());
        tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
        Self { url, shared }
    }

    pub fn set_behavior(&self, behavior: Behavior) {
        self.shared.lock().unwrap().behavior = behavior;
    }

    /// All messages since the last call.
    pub fn take(&self) -> Vec<Published> {
        std::mem::take(&mut self.shared.lock().unwrap().published)
    }
}

async fn publish(State(shared): State<Arc<Mutex<Shared>>>, body: String) -> Response {
    let behavior = shared.lock().unwrap().behavior;
    match behavior {
        Behavior::Rejects => {
            let error = "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code>\
                         <Message>no</Message></Error></ErrorResponse>";
            return (StatusCode::FORBIDDEN, error).into_response();
        }
        Behavior::Hangs => std::future::pending().await,
        Behavior::Accepts | Behavior::LosesAnswers | Behavior::AcceptsAndHangs => {}
    }
    let parameters: HashMap<String, String> =
        form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let message: Value = serde_json::from_str(&parameters["Message"]).unwrap();
    shared.lock().unwrap().published.push(Published {
        default: serde_json::from_str(message["default"].as_str().unwrap()).unwrap(),
        email: message["email"].as_str().unwrap().to_owned(),
        kinds: kinds(&parameters),
        parameters,
    });
    match behavior {
        // An error that the SDK does not retry.
        Behavior::LosesAnswers => (StatusCode::BAD_REQUEST, "<Lost/>").into_response(),
        Behavior::AcceptsAndHangs => std::future::pending().await,
        _ => "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
            .into_response(),
    }
}

/// The message attribute `kinds`.
fn kinds(parameters: &HashMap<String, String>) -> Vec<String> {
    let attribute = |part: &str| &*parameters[&format!("MessageAttributes.entry.1.{part}")];
    assert_eq!(attribute("Name"), "kinds");
    assert_eq!(attribute("Value.DataType"), "String.Array");
    serde_json::from_str(attribute("Value.StringValue")).unwrap()
}
