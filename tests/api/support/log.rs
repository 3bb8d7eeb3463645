//! The log of one function under test, as JSON lines.

use crate::support::app::{DIGEST, KEY};
use dev::log::Lines;
use serde_json::Value;
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, Level};

/// What one function logs, from `DEBUG` on.
pub struct Log {
    lines: Lines,
    dispatch: Dispatch,
}

impl Default for Log {
    fn default() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = heartbeat::log::subscriber(Level::DEBUG, move || writer.clone());
        Self {
            lines,
            dispatch: subscriber.into(),
        }
    }
}

impl Log {
    // C2.6
    /// Answers an event, logged here. Fails where the key, its digest, or what the event carries is in the log.
    pub async fn of<T>(&self, event: &Value, answering: impl Future<Output = T>) -> T {
        let before = self.lines.text().len();
        let answer = self.during(answering).await;
        let log = &self.lines.text()[before..];
        let escaped = |text: &Value| text.to_string().trim_matches('"').to_owned();
        let key = escaped(&event["headers"]["x-api-key"]);
        let body = escaped(&event["body"]);
        for secret in [KEY, DIGEST, &key, &body] {
            let is_telling = secret.len() > 8;
            assert!(
                !is_telling || !log.contains(secret),
                "{secret:?} is in the log: {log}"
            );
        }
        answer
    }

    /// Keeps here what is logged meanwhile.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        work.with_subscriber(self.dispatch.clone()).await
    }

    /// Everything that was logged since the last time.
    pub fn take(&self) -> Vec<Value> {
        self.lines.take()
    }
}
