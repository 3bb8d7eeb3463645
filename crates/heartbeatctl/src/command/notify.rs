//! The alert topic: who is subscribed, and whether a message arrives.

use crate::aws::Aws;
use crate::target::{TOPIC, Target};
use crate::terminal::{print, print_json, printable};
use announcement::Message;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use page::explain;
use serde::Serialize;
use serde_json::json;

const SUBJECT: &str = "heartbeat: a test";
const TEXT: &str = "This is a test of heartbeat's announcements. Nothing is wrong.";

/// What SNS says instead of an ARN while a subscription waits for its confirmation, and after it was removed.
const PENDING: &str = "PendingConfirmation";
const DELETED: &str = "Deleted";

/// The topic for alarms and announcements.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat notify test")]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Publish a test message, and list the topic's subscriptions with their state.
    ///
    /// A subscription to email counts only once somebody has followed the link in the mail that SNS sends. It disappears if
    /// somebody follows the link at the end of an announcement. Fails if nobody receives the test.
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
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let Action::Test = self.action;
        let aws = Aws::new(target);
        let topic = aws.name(&TOPIC).await?;
        let sns = aws.sns().await?;
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
        let subscriptions = subscriptions(&sns, &topic).await?;
        if target.json {
            print_json(&subscriptions)?;
        } else {
            let mut table = Table::new();
            table.load_style(NOTHING);
            table.set_header(["PROTOCOL", "ENDPOINT", "STATE"]);
            for subscription in &subscriptions {
                let Subscription { protocol, endpoint, state } = subscription;
                table.add_row([&printable(protocol), &printable(endpoint), *state]);
            }
            print(&table.trim_fmt())?;
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
        Ok(())
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
