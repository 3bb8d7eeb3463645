//! What was announced (C12).

use crate::explain::explain_in;
use crate::tables::Tables;
use announcement::{Announcement, Message, Part};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tables::event::{Event, Subject};
use tables::{Zone, printable_json};

/// An announcement of an announcement.
pub struct Announced {
    /// The time of the sweep.
    pub at: DateTime<Utc>,
    pub announcement: Announcement,
}

/// What was found, newest first.
#[derive(Default)]
pub struct Events {
    pub newest: Vec<Announced>,
    /// Whether there is more than was asked for.
    pub is_cut: bool,
    /// How much of the time a server was there, on its page.
    pub uptime: Option<String>,
}

impl Events {
    /// Reads what was announced in a period about a subject, at most so many announcements.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn query(
        tables: &Tables,
        period: [DateTime<Utc>; 2],
        subject: Subject<'_>,
        max: usize,
    ) -> anyhow::Result<Self> {
        let mut newest = Vec::new();
        for part in subject.parts(period).iter().rev() {
            let query = tables.client.query().table_name(&tables.metrics);
            // An item has at least one announcement that is asked for, unless it is of all servers.
            let is_about_it = matches!(subject, Subject::Fleet) || part.is_of_one_server();
            let limit = i32::try_from(max.saturating_add(1)).ok().filter(|_| is_about_it);
            let newest_first = part.select(query).scan_index_forward(false).set_limit(limit);
            let mut pages = newest_first.into_paginator().send();
            while newest.len() <= max
                && let Some(page) = pages.next().await
            {
                let page = page.map_err(explain_in(&tables.metrics))?;
                let now = tables.clock.now();
                let events = page.items().iter().filter_map(|item| Event::from_item(item, now));
                newest.extend(events.flat_map(|event| announcements(&event, subject)));
            }
        }
        let is_cut = newest.len() > max;
        newest.truncate(max);
        Ok(Self { newest, is_cut, uptime: None })
    }

    /// The announcements for programs.
    pub fn json(&self) -> String {
        let announcements = self.newest.iter().map(Announced::json);
        printable_json(&Value::Array(announcements.collect()).to_string())
    }
}

/// The message of an event, as far as it is about the subject; `None` if that is nothing. Another version may have written what
/// this one cannot read.
#[must_use]
pub fn message(event: &Event, subject: Subject<'_>) -> Option<Message> {
    let mut message: Message = serde_json::from_str(&event.said).ok()?;
    let time = || tables::time::format(event.recorded_at);
    message.time.get_or_insert_with(time);
    if let Subject::Server { id, .. } = subject {
        message.announcements.retain(|announcement| announcement.server_id() == id.as_str());
    }
    (!message.announcements.is_empty()).then_some(message)
}

fn announcements(event: &Event, subject: Subject<'_>) -> Vec<Announced> {
    let at = event.recorded_at;
    let message = message(event, subject);
    let announcements = message.into_iter().flat_map(|message| message.announcements);
    announcements.map(|announcement| Announced { at, announcement }).collect()
}

impl Announced {
    /// What follows the server's id in words, with times in this zone.
    pub fn words(&self, zone: &Zone) -> String {
        self.announcement.say(Some(self.at), zone).rest.iter().map(Part::text).collect()
    }

    fn json(&self) -> Value {
        json!({
            "time": tables::time::format(self.at),
            "server_id": self.announcement.server_id(),
            "kind": self.announcement.kind().key(),
            "words": format!("{}{}", self.announcement.server_id(), self.words(&Zone::default())),
        })
    }
}
