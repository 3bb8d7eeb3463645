//! The log of one function under test, as JSON lines.

use crate::support::app::{DIGEST, KEY};
use dev::log::Lines;
use serde_json::Value;
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, Level};

/// The log of one function, at level `DEBUG`.
pub struct Log {
    lines: Lines,
    dispatch: Dispatch,
}

impl Default for Log {
    fn default() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = heartbeat::log::subscriber(Level::DEBUG, move || writer.clone());
        Self { lines, dispatch: subscriber.into() }
    }
}

impl Log {
    // C2.6
    /// Captures the log of answering an event. Panics if it contains the key, its digest, or the key or the body of the
    /// event.
    pub async fn of<T>(&self, event: &Value, answering: impl Future<Output = T>) -> T {
        let before = self.lines.text().len();
        let answer = self.during(answering).await;
        let log = &self.lines.text()[before..];
        let escaped = |text: &Value| text.to_string().trim_matches('"').to_owned();
        let key = escaped(&event["headers"]["x-api-key"]);
        let token = escaped(&event["headers"]["x-agent-token"]);
        let body = escaped(&event["body"]);
        for secret in [KEY, DIGEST, &key, &token, &body] {
            // A short text may be in the log by chance.
            let is_short = secret.len() <= 8;
            assert!(is_short || !log.contains(secret), "{secret:?} is in the log: {log}");
        }
        answer
    }

    /// Captures what is logged during `work`.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        work.with_subscriber(self.dispatch.clone()).await
    }

    /// Everything that was logged since the last call.
    pub fn take(&self) -> Vec<Value> {
        self.lines.take()
    }
}
