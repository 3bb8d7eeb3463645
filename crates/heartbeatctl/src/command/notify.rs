//! The alert topic: who is subscribed, and whether a message arrives.

mod subscription;
mod webhook;

use self::subscription::{GROUPS, Subscription, print_table};
use self::webhook::{Webhook, Webhooks};
use crate::aws::Aws;
use crate::server::{GROUPS_SINCE, Servers};
use crate::target::{TOPIC, Target};
use crate::terminal::{print, print_json, printable};
use announcement::{Message, words};
use anyhow::{Context, bail, ensure};
use aws_sdk_sns::types::MessageAttributeValue;
use clap::{Args, Subcommand};
use page::explain;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use tables::Group;

const SUBJECT: &str = "heartbeat: a test";
const TEXT: &str = "This is a test of heartbeat's announcements. Nothing is wrong.";

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
    /// somebody follows the link at the end of an announcement. Groups make no difference to a test. Fails if nobody receives
    /// it, or a webhook did not get it.
    #[command(after_help = "Example:\n  heartbeatctl --stack heartbeat notify test")]
    Test,
    /// List the topic's subscriptions and the webhooks, with their groups, and whether messages arrive.
    #[command(after_help = "Example:\n  heartbeatctl --stack heartbeat notify list")]
    List,
    /// Subscribe a mail address to announcements and alarms, or only to what is announced of groups.
    ///
    /// With --group, every message that says something of one of these groups comes as a whole, and nothing else does: no alarm,
    /// and no digest.
    #[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat notify add ops@example.org
  heartbeatctl --stack heartbeat notify add dba@example.org --group db")]
    Add {
        /// The mail address.
        #[arg(value_parser = address)]
        address: String,
        /// Only what is announced of this group, or of several.
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<Group>,
    },
}

fn address(text: &str) -> Result<String, &'static str> {
    let is_address = text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace)
    });
    is_address.then(|| text.to_owned()).ok_or("it is not a mail address")
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let topic = aws.name(&TOPIC).await?;
        let sns = aws.sns().await?;
        match self.action {
            Action::Test => test(target, &aws, &sns, &topic).await,
            Action::List => list(target, &aws, &sns, &topic).await,
            Action::Add { address, groups } => {
                if !groups.is_empty() {
                    // An older watchdog names no groups, so nothing would ever arrive.
                    Servers::new(&aws).await?.check_version(GROUPS_SINCE).await?;
                }
                let added = Subscription::add(&sns, &topic, &address, &groups).await?;
                if target.json {
                    print_json(&added)?;
                } else if added.state == "confirmed" {
                    eprintln!("{address} is subscribed already.");
                } else {
                    eprintln!(
                        "{address} gets a mail. Before somebody follows its link, it gets no other."
                    );
                }
                Ok(())
            }
        }
    }
}

/// Publishes a test, and says who gets it.
async fn test(
    target: &Target,
    aws: &Aws<'_>,
    sns: &aws_sdk_sns::Client,
    topic: &str,
) -> anyhow::Result<()> {
    let known = Webhooks::new(aws).await;
    let mut subscriptions = Subscription::all(sns, topic).await?;
    let default = json!(Message::test(TEXT.to_owned())).to_string();
    let message = json!({ "default": default, "email": TEXT, "sms": TEXT });
    let publish = sns
        .publish()
        .topic_arn(topic)
        .subject(SUBJECT)
        .message_structure("json")
        .message(message.to_string());
    // What a subscription filters by is in the message, so it gets it.
    let groups: BTreeSet<_> = subscriptions.iter().flat_map(|it| &it.groups).flatten().collect();
    let publish = if groups.is_empty() {
        publish
    } else {
        let value = MessageAttributeValue::builder().data_type("String.Array");
        publish.message_attributes(GROUPS, value.string_value(json!(groups).to_string()).build()?)
    };
    let published = publish.send().await.map_err(explain);
    published.with_context(|| format!("cannot publish to {topic}"))?;
    if !target.json {
        print_table(&subscriptions)?;
    }
    if let Some(notify) = served_by_notify(&mut subscriptions) {
        notify.webhooks = wait(known).await;
    }
    print_webhooks(target, aws, &subscriptions).await?;
    let confirmed = subscriptions.iter().filter(|it| it.state == "confirmed").count();
    if confirmed == 0 {
        bail!("the test is published, but nobody receives it: no subscription is confirmed");
    }
    eprintln!(
        "The test is published to those that are confirmed: {confirmed} of {}.",
        subscriptions.len()
    );
    let webhooks = subscriptions.iter().flat_map(|subscription| &subscription.webhooks);
    let failed = webhooks.filter(|webhook| webhook.state == "failed").count();
    ensure!(failed == 0, "the test did not reach {}", words::plural(failed, "webhook"));
    Ok(())
}

/// Says who is subscribed, and what is known of the webhooks.
async fn list(
    target: &Target,
    aws: &Aws<'_>,
    sns: &aws_sdk_sns::Client,
    topic: &str,
) -> anyhow::Result<()> {
    let mut subscriptions = Subscription::all(sns, topic).await?;
    if let Some(notify) = served_by_notify(&mut subscriptions) {
        notify.webhooks = Webhooks::new(aws).await?.known();
    }
    if !target.json {
        print_table(&subscriptions)?;
    }
    print_webhooks(target, aws, &subscriptions).await
}

/// The subscription of the function `notify`, if there is one.
fn served_by_notify(subscriptions: &mut [Subscription]) -> Option<&mut Subscription> {
    let mut confirmed = subscriptions.iter_mut().filter(|it| it.state == "confirmed");
    confirmed.find(|subscription| subscription.protocol == "lambda")
}

/// Prints them below the table, or everything as JSON.
async fn print_webhooks(
    target: &Target,
    aws: &Aws<'_>,
    subscriptions: &[Subscription],
) -> anyhow::Result<()> {
    if target.json {
        return Ok(print_json(&subscriptions)?);
    }
    let webhooks: Vec<_> = subscriptions.iter().flat_map(|it| &it.webhooks).collect();
    if webhooks.is_empty() {
        return Ok(());
    }
    let zone = Servers::new(aws).await?.zone().await;
    webhooks.iter().try_for_each(|webhook| print(&printable(&webhook.say(&zone))))?;
    Ok(())
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
