//! What was announced (C12), one entry after the other.

use crate::explain::explain_in;
use crate::tables::Tables;
use announcement::{Entry, Message, Part};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tables::event::Event;

/// An entry of an announcement.
pub struct Announced {
    /// The time of the sweep.
    pub at: DateTime<Utc>,
    pub entry: Entry,
}

/// What was found, newest first.
pub struct Events {
    pub newest: Vec<Announced>,
    /// Whether there is more than was asked for.
    pub is_cut: bool,
}

impl Events {
    /// Reads what was announced in a period, about one server or all, at most so many entries.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn read(
        tables: &Tables,
        period: [DateTime<Utc>; 2],
        server: Option<&str>,
        max: usize,
    ) -> anyhow::Result<Self> {
        let query = tables.client.query().table_name(&tables.metrics);
        let query = Event::select(query, period).scan_index_forward(false);
        let mut pages = query.into_paginator().send();
        let mut newest = Vec::new();
        while newest.len() <= max
            && let Some(page) = pages.next().await
        {
            let page = page.map_err(explain_in(&tables.metrics))?;
            let events = page.items().iter();
            let events = events.filter_map(|item| Event::read(item, tables.clock.now()));
            let about = |entry: &Entry| server.is_none_or(|id| entry.server_id() == id);
            newest.extend(events.flat_map(entries).filter(|said| about(&said.entry)));
        }
        let is_cut = newest.len() > max;
        newest.truncate(max);
        Ok(Self { newest, is_cut })
    }

    /// The entries for programs.
    pub fn json(&self) -> String {
        let entries = self.newest.iter().map(Announced::json);
        Value::Array(entries.collect()).to_string()
    }
}

/// The entries of an event. Another version may write what this one cannot read.
fn entries(event: Event) -> impl Iterator<Item = Announced> {
    let at = event.recorded_at;
    let message = serde_json::from_str::<Message>(&event.said);
    let entries = message.map(|message| message.entries).unwrap_or_default();
    entries
        .into_iter()
        .map(move |entry| Announced { at, entry })
}

impl Announced {
    /// What follows the server's id in words.
    pub fn words(&self) -> String {
        let sentence = self.entry.say(Some(self.at));
        sentence.rest.iter().map(Part::text).collect()
    }

    fn json(&self) -> Value {
        json!({
            "time": tables::time::format(self.at),
            "server_id": self.entry.server_id(),
            "kind": self.entry.kind().key(),
            "words": format!("{}{}", self.entry.server_id(), self.words()),
        })
    }
}
