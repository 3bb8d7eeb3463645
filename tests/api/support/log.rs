//! The log of one function under test, as JSON lines.

use crate::support::app::{DIGEST, KEY};
use serde_json::Value;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, Level};

/// What one function logs, from `DEBUG` on.
pub struct Log {
    lines: Lines,
    dispatch: Dispatch,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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
        let before = self.lines.0.lock().unwrap().len();
        let answer = self.during(answering).await;
        let log = String::from_utf8(self.lines.0.lock().unwrap()[before..].to_vec()).unwrap();
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
        let bytes = std::mem::take(&mut *self.lines.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}
