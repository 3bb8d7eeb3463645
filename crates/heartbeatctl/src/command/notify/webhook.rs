//! Whether a test, or anything, reaches the webhooks, as `notify` writes it into its item (C11.5).

use crate::aws::Aws;
use crate::target::SERVERS;
use announcement::words;
use aws_sdk_dynamodb::Client;
use page::explain_in;
use serde::Serialize;
use std::time::Duration;
use tables::server::{Delivery, Undelivered};
use tables::{Group, Zone};
use tokio::time::{Instant, sleep};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How long after its first write another may come. Where a delivery has failed before, and fails again, nothing changes.
const REST: Duration = Duration::from_secs(3);

/// The item of `notify`, and what it held before the test.
pub struct Webhooks {
    client: Client,
    table: String,
    before: Vec<Delivery>,
}

/// What became of the test, or of the last messages, at a webhook, as `--json` prints it.
#[derive(Debug, PartialEq, Serialize)]
pub struct Webhook {
    position: usize,
    format: String,
    /// Null if it is for everything.
    group: Option<String>,
    /// `delivered`, `failed` or `unknown`.
    pub state: &'static str,
    /// Why the last message that is known not to have arrived did not.
    reason: Option<String>,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    since: Option<Undelivered>,
}

impl Webhooks {
    /// Reads what is known before the test.
    pub async fn new(aws: &Aws<'_>) -> anyhow::Result<Self> {
        let table = aws.name(&SERVERS).await?;
        let (client, _) = aws.dynamodb().await?;
        let mut webhooks = Self { client, table, before: Vec::new() };
        webhooks.before = webhooks.read().await?;
        Ok(webhooks)
    }

    async fn read(&self) -> anyhow::Result<Vec<Delivery>> {
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let found = Delivery::find(get).send().await.map_err(explain_in(&self.table))?;
        Ok(found.item.as_ref().and_then(Delivery::all).unwrap_or_default())
    }

    /// Waits until `notify` has written what became of the test. What an older one does not write, nobody can wait for.
    pub async fn wait(&self, patience: Duration) -> anyhow::Result<Vec<Webhook>> {
        let started = Instant::now();
        let mut written_at = None;
        loop {
            let now = self.read().await?;
            let changed = now.iter().filter(|webhook| !self.before.contains(webhook)).count();
            if changed > 0 {
                written_at.get_or_insert_with(Instant::now);
            }
            let is_over = written_at.is_some_and(|at| at.elapsed() >= REST);
            if (changed > 0 && changed == now.len()) || is_over || started.elapsed() >= patience {
                return Ok(self.compare(now));
            }
            sleep(PAUSE).await;
        }
    }

    /// What is known without a test.
    pub fn known(self) -> Vec<Webhook> {
        let state = |webhook: &Delivery| match (&webhook.undelivered, webhook.delivered_at) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "delivered",
            (None, None) => "unknown",
        };
        self.before.into_iter().map(|webhook| Webhook::new(state(&webhook), webhook)).collect()
    }

    fn compare(&self, now: Vec<Delivery>) -> Vec<Webhook> {
        let is_new = |webhook: &Delivery| !self.before.contains(webhook);
        let is_written = now.iter().any(is_new);
        let state = |webhook: &Delivery| match &webhook.undelivered {
            Some(_) if is_written => "failed",
            None if is_new(webhook) => "delivered",
            _ => "unknown",
        };
        now.into_iter().map(|webhook| Webhook::new(state(&webhook), webhook)).collect()
    }
}

impl Webhook {
    fn new(state: &'static str, webhook: Delivery) -> Self {
        Self {
            state,
            reason: webhook.undelivered.as_ref().map(|undelivered| undelivered.reason.clone()),
            name: webhook.name(),
            position: webhook.position,
            format: webhook.format,
            group: webhook.group.as_ref().map(Group::to_string),
            since: webhook.undelivered,
        }
    }

    /// In words, with times in this zone: `webhook 2, slack: failed: 404, no_service`
    pub fn say(&self, zone: &Zone) -> String {
        let why = match (self.state, &self.since) {
            ("failed", Some(Undelivered { reason, .. })) => format!(": {reason}"),
            ("unknown", Some(Undelivered { since, reason })) => {
                let since = words::at(*since, None, zone);
                format!("; nothing has reached it since {since}: {reason}")
            }
            _ => String::new(),
        };
        format!("webhook {}, {}: {}{why}", self.position, self.name, self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dev::tables::{Tables, text};

    // C11.5
    #[tokio::test]
    async fn what_nobody_writes_is_unknown() {
        let tables = Tables::create().await;
        let webhooks = |before| Webhooks {
            client: tables.client.clone(),
            table: tables.servers.clone(),
            before,
        };
        let patience = Duration::from_millis(100);
        let nothing = webhooks(Vec::new()).wait(patience).await.expect("a table");
        assert_eq!(nothing, []);
        let failed = "2026-01-18T10:30:00.000000Z";
        let known = [
            ("format_1", text("slack")),
            ("format_2", text("ntfy")),
            ("failed_2", text(failed)),
            ("reason_2", text("429, quota")),
        ];
        tables.put_server("#notify", known).await;
        let before = webhooks(Vec::new()).read().await.expect("a table");
        let heard = webhooks(before).wait(patience).await.expect("a table");
        let said: Vec<_> = heard.iter().map(|webhook| webhook.say(&Zone::default())).collect();
        let since = "nothing has reached it since 2026-01-18 10:30 UTC: 429, quota";
        let expected =
            ["webhook 1, slack: unknown".to_owned(), format!("webhook 2, ntfy: unknown; {since}")];
        assert_eq!(said, expected);
    }
}
