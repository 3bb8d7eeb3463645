//! What `notify` writes of its deliveries, into an item of its own.

use super::attribute::{Attribute, SERVER_ID, WEBHOOKS, Webhook};
use super::update::Update;
use crate::{Group, Item, time};
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::S;
use chrono::{DateTime, Utc};
use std::iter;

/// The id of the item. No agent can send it.
const NOTIFY: &str = "#notify";

/// What is known of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in `WEBHOOK_URLS`, from 1 on.
    pub position: usize,
    pub format: String,
    /// The group of whose servers it hears, if it is for one.
    pub group: Option<Group>,
    /// When the last message that is known to have arrived did.
    pub delivered_at: Option<DateTime<Utc>>,
    /// `None` if nothing has failed since then.
    pub undelivered: Option<Undelivered>,
}

/// Messages that did not arrive, and none has arrived since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// When the first of them came.
    pub since: DateTime<Utc>,
    /// Why the last of them failed.
    pub reason: String,
}

/// What became of a message, for each webhook in the order of `WEBHOOK_URLS`.
#[derive(Debug)]
pub struct Report {
    pub came_at: DateTime<Utc>,
    pub webhooks: Vec<Reported>,
}

/// What became of a message at a webhook.
#[derive(Debug)]
pub struct Reported {
    pub format: &'static str,
    pub group: Option<Group>,
    pub outcome: Outcome,
}

/// How a delivery ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered(DateTime<Utc>),
    Failed(String),
    /// There was nothing for its group in it.
    NotSent,
}

impl Delivery {
    /// Reads the item.
    #[must_use]
    pub fn find(get: GetItemFluentBuilder) -> GetItemFluentBuilder {
        get.key(SERVER_ID.name(), S(NOTIFY.to_owned()))
    }

    /// What is known of each webhook; `None` if this is another item.
    #[must_use]
    pub fn all(item: &Item) -> Option<Vec<Self>> {
        if SERVER_ID.of(item)?.as_s().ok()? != NOTIFY {
            return None;
        }
        let read = |(index, webhook): (usize, &Webhook)| {
            let failed = webhook.failed.text(item).and_then(|text| time::parse(&text));
            Some(Self {
                position: index + 1,
                format: webhook.format.text(item)?,
                group: webhook.group.text(item).and_then(|name| Group::new(&name)),
                delivered_at: webhook.delivered.text(item).and_then(|text| time::parse(&text)),
                undelivered: failed.map(|since| Undelivered {
                    since,
                    reason: webhook.reason.text(item).unwrap_or_default(),
                }),
            })
        };
        Some(WEBHOOKS.iter().enumerate().filter_map(read).collect())
    }

    /// How its entry of `WEBHOOK_URLS` begins: `slack`, or `slack@db`.
    #[must_use]
    pub fn name(&self) -> String {
        webhook_name(&self.format, self.group.as_ref())
    }
}

impl Report {
    /// Writes every format and what was delivered, and removes what the item holds of other positions: on condition that nothing
    /// later is known of the webhooks to which it was delivered, because two messages may be on their way at the same time.
    #[must_use]
    pub fn together(&self) -> Update {
        self.delivered().fold(self.formats(), |update, (webhook, at)| {
            let update = update.set(webhook.delivered, S(time::format(at)));
            let update = update.remove(webhook.failed).remove(webhook.reason);
            unless_later(unless_later(update, webhook, webhook.delivered), webhook, webhook.failed)
        })
    }

    /// The same in parts, each on its own condition.
    pub fn apart(&self) -> impl Iterator<Item = Update> {
        let delivered = self.delivered().flat_map(|(webhook, at)| {
            let update = Update::of(NOTIFY).set(webhook.delivered, S(time::format(at)));
            let end = Update::of(NOTIFY).remove(webhook.failed).remove(webhook.reason);
            let end = end.value(&placeholder(webhook.delivered), S(time::format(at)));
            [
                unless_later(update, webhook, webhook.delivered),
                unless_later(end, webhook, webhook.failed),
            ]
        });
        iter::once(self.formats()).chain(delivered)
    }

    /// Writes where it was not delivered, each on condition that nothing has arrived there since it came.
    pub fn failures(&self) -> impl Iterator<Item = Update> {
        self.webhooks().filter_map(|(webhook, reported)| {
            let Outcome::Failed(reason) = &reported.outcome else { return None };
            let update = Update::of(NOTIFY)
                .set_if_absent(webhook.failed, S(time::format(self.came_at)))
                .set(webhook.reason, S(reason.clone()));
            let (delivered, came) = (webhook.delivered.name(), placeholder(webhook.failed));
            Some(update.if_holds(&format!("NOT {delivered} >= {came}")))
        })
    }

    fn formats(&self) -> Update {
        let formats = self.webhooks().fold(Update::of(NOTIFY), |update, (webhook, reported)| {
            let update = update.set(webhook.format, S(reported.format.to_owned()));
            match &reported.group {
                Some(group) => update.set(webhook.group, S(group.to_string())),
                None => update.remove(webhook.group),
            }
        });
        let gone = WEBHOOKS.iter().skip(self.webhooks.len());
        let gone = gone.flat_map(Webhook::all);
        gone.fold(formats, Update::remove)
    }

    fn delivered(&self) -> impl Iterator<Item = (&'static Webhook, DateTime<Utc>)> {
        self.webhooks().filter_map(|(webhook, reported)| match reported.outcome {
            Outcome::Delivered(at) => Some((webhook, at)),
            Outcome::Failed(_) | Outcome::NotSent => None,
        })
    }

    fn webhooks(&self) -> impl Iterator<Item = (&'static Webhook, &Reported)> {
        WEBHOOKS.iter().zip(&self.webhooks)
    }
}

/// How the entry of `WEBHOOK_URLS` begins that is of this format, and for this group: `slack`, or `slack@db`.
#[must_use]
pub fn webhook_name(format: &str, group: Option<&Group>) -> String {
    group.map_or_else(|| format.to_owned(), |group| format!("{format}@{group}"))
}

/// On condition that this time is not after that of the delivery. A comparison with what is absent never holds.
fn unless_later(update: Update, webhook: &Webhook, time: Attribute) -> Update {
    update.if_holds(&format!("NOT {} > {}", time.name(), placeholder(webhook.delivered)))
}

fn placeholder(attribute: Attribute) -> String {
    format!(":{}", attribute.name())
}
