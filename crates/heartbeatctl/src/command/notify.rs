//! The alert topic: who is subscribed, and whether a message arrives.

mod webhook;

use self::webhook::{Webhook, Webhooks};
use crate::aws::Aws;
use crate::server::Servers;
use crate::target::{TOPIC, Target};
use crate::terminal::{print, print_json, printable};
use announcement::{Message, words};
use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use page::explain;
use serde::Serialize;
use serde_json::json;
use std::io;
use std::time::Duration;

const SUBJECT: &str = "heartbeat: a test";
const TEXT: &str = "This is a test of heartbeat's announcements. Nothing is wrong.";

/// What SNS says instead of an ARN while a subscription waits for its confirmation, and after it was removed.
const PENDING: &str = "PendingConfirmation";
const DELETED: &str = "Deleted";

/// How long `notify` may take to write what became of the test. One that retries takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The topic for alarms and announcements.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat notify test")]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Publish a test message, and list the topic's subscriptions with their state, and whether it reached each webhook.
    ///
    /// A subscription to email counts only once somebody has followed the link in the mail that SNS sends. It disappears if
    /// somebody follows the link at the end of an announcement. Fails if nobody receives the test, or a webhook did not get it.
    #[command(after_help = "Example:\n  heartbeatctl --stack heartbeat notify test")]
    Test,
}

/// A subscription, as `--json` prints it.
#[derive(Serialize)]
struct Subscription {
    protocol: String,
    endpoint: String,
    /// `confirmed`, `unconfirmed` or `deleted`.
    state: &'static str,
    /// Those that the function `notify` serves, if this is its subscription.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    webhooks: Vec<Webhook>,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let Action::Test = self.action;
        let aws = Aws::new(target);
        let topic = aws.name(&TOPIC).await?;
        let sns = aws.sns().await?;
        let known = Webhooks::new(&aws).await;
        let default = json!(Message::test(TEXT.to_owned())).to_string();
        let message = json!({ "default": default, "email": TEXT, "sms": TEXT });
        let publish = sns
            .publish()
            .topic_arn(&topic)
            .subject(SUBJECT)
            .message_structure("json")
            .message(message.to_string());
        let published = publish.send().await.map_err(explain);
        published.with_context(|| format!("cannot publish to {topic}"))?;
        let mut subscriptions = subscriptions(&sns, &topic).await?;
        if !target.json {
            print_table(&subscriptions)?;
        }
        let mut confirmed = subscriptions.iter_mut().filter(|it| it.state == "confirmed");
        if let Some(notify) = confirmed.find(|subscription| subscription.protocol == "lambda") {
            notify.webhooks = wait(known).await;
        }
        let webhooks = || subscriptions.iter().flat_map(|subscription| &subscription.webhooks);
        if target.json {
            print_json(&subscriptions)?;
        } else if let Ok(servers) = Servers::new(&aws).await {
            // Without a servers table, nothing is known of webhooks.
            let memory = servers.memory().await.ok().flatten();
            let zone = memory.and_then(|memory| memory.rules).unwrap_or_default().zone;
            webhooks().try_for_each(|webhook| print(&printable(&webhook.say(&zone))))?;
        }
        let confirmed =
            subscriptions.iter().filter(|subscription| subscription.state == "confirmed").count();
        if confirmed == 0 {
            bail!("the test is published, but nobody receives it: no subscription is confirmed");
        }
        eprintln!(
            "The test is published to those that are confirmed: {confirmed} of {}.",
            subscriptions.len()
        );
        let failed = webhooks().filter(|webhook| webhook.state == "failed").count();
        ensure!(failed == 0, "the test did not reach {}", words::plural(failed, "webhook"));
        Ok(())
    }
}

fn print_table(subscriptions: &[Subscription]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["PROTOCOL", "ENDPOINT", "STATE"]);
    for Subscription { protocol, endpoint, state, .. } in subscriptions {
        table.add_row([&printable(protocol), &printable(endpoint), *state]);
    }
    print(&table.trim_fmt())
}

/// What became of the test at each webhook, as far as it is known. If it is not, this says why.
async fn wait(webhooks: anyhow::Result<Webhooks>) -> Vec<Webhook> {
    eprintln!("Waiting until it is known which webhook gets it, for a minute at most.");
    let waiting = async { webhooks?.wait(PATIENCE).await };
    match waiting.await {
        Ok(heard) => {
            if heard.iter().all(|webhook| webhook.state == "unknown") {
                eprintln!(
                    "Which webhook got the test is not known: `notify` has written nothing for a minute. It still retries, or it \
                     is older than this program (make deploy)."
                );
            }
            heard
        }
        Err(error) => {
            eprintln!(
                "Which webhook got the test is not known: {}",
                printable(&format!("{error:#}"))
            );
            Vec::new()
        }
    }
}

async fn subscriptions(
    sns: &aws_sdk_sns::Client,
    topic: &str,
) -> anyhow::Result<Vec<Subscription>> {
    let mut pages = sns.list_subscriptions_by_topic().topic_arn(topic).into_paginator().send();
    let mut subscriptions = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(explain).context("the subscriptions cannot be listed")?;
        subscriptions.extend(page.subscriptions().iter().map(|subscription| {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            Subscription {
                protocol: text(subscription.protocol()),
                endpoint: text(subscription.endpoint()),
                webhooks: Vec::new(),
                state: match subscription.subscription_arn() {
                    Some(PENDING) | None => "unconfirmed",
                    Some(DELETED) => "deleted",
                    Some(_) => "confirmed",
                },
            }
        }));
    }
    Ok(subscriptions)
}
