//! As much of SNS as publishing needs: a topic that keeps the messages that it gets, and fails on request.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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

/// A topic that is served as long as the runtime.
pub struct Topic {
    pub url: String,
    behavior: Arc<Mutex<Behavior>>,
    published: tokio::sync::Mutex<UnboundedReceiver<Published>>,
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
    /// The groups of the servers in it.
    pub groups: Vec<String>,
}

impl Topic {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, published) = unbounded_channel();
        let behavior = Arc::<Mutex<Behavior>>::default();
        let routes = Router::new().fallback(publish).with_state((behavior.clone(), sender));
        tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
        Self { url, behavior, published: published.into() }
    }

    pub fn set_behavior(&self, behavior: Behavior) {
        *self.behavior.lock().unwrap() = behavior;
    }

    /// Waits for the next message.
    pub async fn next(&self) -> Published {
        self.published.lock().await.recv().await.unwrap()
    }

    /// All messages since the last call.
    pub fn take(&self) -> Vec<Published> {
        let mut published = self.published.try_lock().unwrap();
        std::iter::from_fn(|| published.try_recv().ok()).collect()
    }
}

async fn publish(
    State((behavior, published)): State<(Arc<Mutex<Behavior>>, UnboundedSender<Published>)>,
    body: String,
) -> Response {
    let behavior = *behavior.lock().unwrap();
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
    let message = Published {
        default: serde_json::from_str(message["default"].as_str().unwrap()).unwrap(),
        email: message["email"].as_str().unwrap().to_owned(),
        kinds: attribute(&parameters, "kinds").unwrap(),
        groups: attribute(&parameters, "groups").unwrap_or_default(),
        parameters,
    };
    // A test that has ended does not read it.
    let _ = published.send(message);
    match behavior {
        // An error that the SDK does not retry.
        Behavior::LosesAnswers => (StatusCode::BAD_REQUEST, "<Lost/>").into_response(),
        Behavior::AcceptsAndHangs => std::future::pending().await,
        _ => "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
            .into_response(),
    }
}

/// A message attribute, if there is one: SNS is not known to accept an empty list.
fn attribute(parameters: &HashMap<String, String>, name: &str) -> Option<Vec<String>> {
    let places = (1..).map(|place| format!("MessageAttributes.entry.{place}."));
    let mut places = places.take_while(|place| parameters.contains_key(&format!("{place}Name")));
    let place = places.find(|place| parameters[&format!("{place}Name")] == name)?;
    assert_eq!(parameters[&format!("{place}Value.DataType")], "String.Array");
    let strings: Vec<String> =
        serde_json::from_str(&parameters[&format!("{place}Value.StringValue")]).unwrap();
    assert!(!strings.is_empty(), "{name}");
    Some(strings)
}
