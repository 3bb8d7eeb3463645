//! Copies lost items back from a table that has been restored beside the one in use.

use crate::aws::Aws;
use crate::key::Listed;
use crate::target::{KEYS, SERVERS, Target};
use crate::terminal::{print, print_json, printable};
use announcement::words::Natural;
use anyhow::{bail, ensure};
use aws_sdk_dynamodb::Client;
use clap::{Args, ValueEnum};
use comfy_table::Table as Rows;
use comfy_table::presets::NOTHING;
use futures_util::{StreamExt, stream};
use page::explain_in;
use serde::Serialize;
use std::collections::HashMap;
use tables::Item;
use tables::key::StoredKey;
use tables::restore::{Restoration, Table};

/// The maximum number of concurrent updates.
const CONCURRENCY: usize = 8;

/// Show what can be copied back from a restored table, and copy it.
///
/// An item keeps its current attributes and gets back those that it lacks. A server gets the registration of the restored
/// table. Deleted items come back, a server as online: the watchdog marks it as offline if it is late. Absences and high
/// metrics are not copied, so that nothing that has been announced since then is undone.
///
/// Without --copy, nothing is changed. Look for what should stay deleted: a key that has been revoked since then would be
/// accepted again.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat restore servers heartbeat-restored
  heartbeatctl --stack heartbeat restore keys heartbeat-restored --without 4c88089b --copy")]
pub struct Command {
    /// Which table has lost items.
    what: What,
    /// The name of the restored table.
    restored: String,
    /// Leave out this server, or the key whose digest starts like this; may be repeated.
    #[arg(long, value_name = "ID")]
    without: Vec<String>,
    /// Copy, instead of only showing what would be copied.
    #[arg(long)]
    copy: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Servers,
    Keys,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    /// Whether the item comes back.
    deleted: bool,
    attributes: Vec<&'a str>,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let (table, name) = match self.what {
            What::Servers => (Table::Servers, &SERVERS),
            What::Keys => (Table::Keys, &KEYS),
        };
        let aws = Aws::new(target);
        let in_use = aws.name(name).await?;
        let (client, _) = aws.dynamodb().await?;
        let (restored, current) = tokio::try_join!(
            items(&client, table, &self.restored),
            items(&client, table, &in_use)
        )?;
        let mut copies: Vec<_> = restored
            .iter()
            .filter_map(|(id, item)| table.restoration(item, current.get(id)))
            .collect();
        copies.sort_by_cached_key(|copy| Natural::of(&copy.id));
        for id in &self.without {
            ensure!(
                restored.keys().any(|known| self.what.is_named(known, id)),
                "{} has no {id} that could be left out",
                self.restored
            );
            copies.retain(|copy| !self.what.is_named(&copy.id, id));
        }
        if target.json {
            print_json(&shown(&copies))?;
        } else if !copies.is_empty() {
            print(&self.what.paint(&copies, &restored))?;
        }
        let count = copies.len();
        if !self.copy {
            eprintln!("{count} would be copied to {in_use}. With --copy they are.");
            return Ok(());
        }
        copy(&client, &in_use, &copies).await?;
        eprintln!("{count} copied to {in_use}.");
        Ok(())
    }
}

impl What {
    /// Whether `--without` means this id.
    fn is_named(self, id: &str, without: &str) -> bool {
        match self {
            Self::Servers => id == without,
            Self::Keys => id.starts_with(&without.to_ascii_lowercase()),
        }
    }

    /// A line for each item.
    fn paint(self, copies: &[Restoration], restored: &HashMap<String, Item>) -> String {
        let mut rows = Rows::new();
        rows.load_style(NOTHING);
        let holder = match self {
            Self::Servers => "SERVER",
            Self::Keys => "KEY",
        };
        rows.set_header([holder, "DELETED", "COPIED"]);
        for copy in copies {
            let id = match (self, restored.get(&copy.id)) {
                (Self::Keys, Some(item)) => Listed(StoredKey::from_item(item)).describe(),
                _ => copy.id.clone(),
            };
            let deleted = if copy.is_deleted { "yes" } else { "" };
            let attributes: Vec<_> = copy.attributes().collect();
            rows.add_row([&id, deleted, &printable(&attributes.join(", "))]);
        }
        for column in rows.column_iter_mut() {
            column.set_padding((0, 2));
        }
        rows.trim_fmt()
    }
}

fn shown(copies: &[Restoration]) -> Vec<Shown<'_>> {
    let shown = copies.iter().map(|copy| Shown {
        id: &copy.id,
        deleted: copy.is_deleted,
        attributes: copy.attributes().collect(),
    });
    shown.collect()
}

/// All items of a table, by their ids.
async fn items(client: &Client, table: Table, name: &str) -> anyhow::Result<HashMap<String, Item>> {
    let scan = client.scan().table_name(name).consistent_read(true);
    let mut found = scan.into_paginator().items().send();
    let mut items = HashMap::new();
    while let Some(item) = found.try_next().await.map_err(explain_in(name))? {
        if let Some(id) = table.id(&item) {
            items.insert(id, item);
        }
    }
    Ok(items)
}

/// Copies each item with one update. Heartbeats go on at the same time.
async fn copy(client: &Client, table: &str, copies: &[Restoration]) -> anyhow::Result<()> {
    let updates = copies.iter().map(async |copy| {
        let sent = copy.apply(client.update_item().table_name(table)).send().await;
        sent.map_err(|error| format!("{}: {:#}", copy.id, explain_in(table)(error)))
    });
    let failures: Vec<_> = stream::iter(updates)
        .buffer_unordered(CONCURRENCY)
        .filter_map(async |sent| sent.err())
        .collect()
        .await;
    let Some(first) = failures.first() else {
        return Ok(());
    };
    let (failed, all) = (failures.len(), copies.len());
    bail!("{failed} of {all} could not be copied; run it again. {first}")
}
