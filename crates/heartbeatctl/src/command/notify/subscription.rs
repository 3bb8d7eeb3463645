//! The subscriptions of the topic, and of which groups each hears (C14.4).

use super::webhook::Webhook;
use crate::terminal::{print, printable};
use anyhow::Context;
use aws_sdk_sns::Client;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use page::explain;
use serde::Serialize;
use serde_json::{Value, json};
use std::io;
use tables::Group;

/// What SNS says instead of an ARN while a subscription waits for its confirmation, and after it was removed.
const PENDING: &str = "PendingConfirmation";
const DELETED: &str = "Deleted";

/// The same in the answer to whoever subscribes.
const TO_BE_CONFIRMED: &str = "pending confirmation";

/// The attribute of a subscription by which SNS chooses its messages, and the attribute of a message that names its groups.
const FILTER: &str = "FilterPolicy";
pub const GROUPS: &str = "groups";

/// A subscription, as `--json` prints it.
#[derive(Serialize)]
pub struct Subscription {
    pub protocol: String,
    endpoint: String,
    /// `confirmed`, `unconfirmed` or `deleted`.
    pub state: &'static str,
    /// Those by which it filters; null if it does not, or that is not known.
    pub groups: Option<Vec<String>>,
    /// Those that the function `notify` serves, if this is its subscription.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
}

impl Subscription {
    /// Reads those of a topic.
    pub async fn all(sns: &Client, topic: &str) -> anyhow::Result<Vec<Self>> {
        let mut pages = sns.list_subscriptions_by_topic().topic_arn(topic).into_paginator().send();
        let mut subscriptions = Vec::new();
        let mut unknown = None;
        while let Some(page) = pages.next().await {
            let page = page.map_err(explain).context("the subscriptions cannot be listed")?;
            for subscription in page.subscriptions() {
                let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                let (state, groups) = match subscription.subscription_arn() {
                    Some(PENDING) | None => ("unconfirmed", None),
                    Some(DELETED) => ("deleted", None),
                    Some(arn) => {
                        let groups = groups(sns, arn).await;
                        (
                            "confirmed",
                            groups.unwrap_or_else(|error| {
                                unknown = Some(error);
                                None
                            }),
                        )
                    }
                };
                subscriptions.push(Self {
                    protocol: text(subscription.protocol()),
                    endpoint: text(subscription.endpoint()),
                    state,
                    groups,
                    webhooks: Vec::new(),
                });
            }
        }
        if let Some(error) = unknown {
            let reason = printable(&format!("{error:#}"));
            eprintln!("Of some subscriptions, the groups are not known: {reason}");
        }
        Ok(subscriptions)
    }

    /// Subscribes a mail address to a topic: to everything, or only to messages with entries of these groups.
    pub async fn add(
        sns: &Client,
        topic: &str,
        address: &str,
        groups: &[Group],
    ) -> anyhow::Result<Self> {
        let names: Vec<_> = groups.iter().map(Group::to_string).collect();
        let groups = (!names.is_empty()).then_some(names);
        let filter = groups.iter().map(|groups| (FILTER.to_owned(), json!({ GROUPS: groups })));
        let filter = filter.map(|(name, policy)| (name, policy.to_string())).collect();
        let subscribe = sns.subscribe().topic_arn(topic).protocol("email").endpoint(address);
        let added = subscribe.set_attributes(Some(filter)).send().await.map_err(explain);
        let added = added.with_context(|| format!("{address} cannot be subscribed"))?;
        Ok(Self {
            protocol: "email".to_owned(),
            endpoint: address.to_owned(),
            state: match added.subscription_arn() {
                Some(TO_BE_CONFIRMED) | None => "unconfirmed",
                Some(_) => "confirmed",
            },
            groups,
            webhooks: Vec::new(),
        })
    }
}

/// Those by which a subscription filters, if it does.
async fn groups(sns: &Client, arn: &str) -> anyhow::Result<Option<Vec<String>>> {
    let read = sns.get_subscription_attributes().subscription_arn(arn).send();
    let attributes = read.await.map_err(explain)?.attributes.unwrap_or_default();
    let policy = attributes.get(FILTER).and_then(|policy| serde_json::from_str(policy).ok());
    let policy: Value = policy.unwrap_or_default();
    let names = policy.get(GROUPS).and_then(Value::as_array);
    Ok(names.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
}

pub fn print_table(subscriptions: &[Subscription]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["PROTOCOL", "ENDPOINT", "STATE", "GROUPS"]);
    for Subscription { protocol, endpoint, state, groups, .. } in subscriptions {
        let groups = groups.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        table.add_row([&printable(protocol), &printable(endpoint), *state, &printable(&groups)]);
    }
    print(&table.trim_fmt())
}
