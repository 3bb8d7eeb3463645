//! A topic that keeps what is published to it, and fails when it is told to.

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
pub enum Mood {
    #[default]
    Takes,
    /// Rejects it for good.
    Rejects,
    /// Never answers.
    Hangs,
    /// Takes it, and the answer is lost.
    LosesAnswers,
    /// Takes it, and never answers.
    TakesAndHangs,
}

pub struct Topic {
    pub url: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    mood: Mood,
    published: Vec<Published>,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    pub parameters: HashMap<String, String>,
    /// What programs get.
    pub default: Value,
    /// What people get.
    pub email: String,
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

    pub fn is(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    /// Every message since the last time.
    pub fn take(&self) -> Vec<Published> {
        std::mem::take(&mut self.shared.lock().unwrap().published)
    }
}

async fn publish(State(shared): State<Arc<Mutex<Shared>>>, body: String) -> Response {
    let mood = shared.lock().unwrap().mood;
    match mood {
        Mood::Rejects => {
            let error = "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code>\
                         <Message>no</Message></Error></ErrorResponse>";
            return (StatusCode::FORBIDDEN, error).into_response();
        }
        Mood::Hangs => std::future::pending().await,
        Mood::Takes | Mood::LosesAnswers | Mood::TakesAndHangs => {}
    }
    let parameters: HashMap<String, String> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let message: Value = serde_json::from_str(&parameters["Message"]).unwrap();
    shared.lock().unwrap().published.push(Published {
        default: serde_json::from_str(message["default"].as_str().unwrap()).unwrap(),
        email: message["email"].as_str().unwrap().to_owned(),
        parameters,
    });
    match mood {
        // Not an error that the SDK would retry.
        Mood::LosesAnswers => (StatusCode::BAD_REQUEST, "<Lost/>").into_response(),
        Mood::TakesAndHangs => std::future::pending().await,
        _ => "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
            .into_response(),
    }
}
