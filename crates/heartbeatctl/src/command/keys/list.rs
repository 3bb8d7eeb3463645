//! `keys list`

use crate::key::KeysTable;
use crate::terminal::{print, printable};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use syntax::duration::rounded;
use tables::time::parse;
use tables::{Group, printable_json};

/// List all keys with server, label, age, expiry and group. The keys themselves are never shown.
///
/// An item that the endpoint cannot read is shown as malformed. Its key is rejected.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat keys list")]
pub struct List {}

impl List {
    pub async fn run(self, table: &KeysTable, json: bool) -> anyhow::Result<()> {
        let keys = table.all().await?;
        if json {
            return Ok(print(&printable_json(&serde_json::to_string_pretty(&keys)?))?);
        }
        let now = table.now().await?;
        let mut rows = Table::new();
        rows.load_style(NOTHING);
        rows.set_header(["SERVER", "LABEL", "AGE", "EXPIRES", "DIGEST", "GROUP"]);
        for key in &keys {
            let created = key.created_at.as_deref().and_then(parse);
            rows.add_row([
                key.server(),
                printable(key.label.as_deref().unwrap_or("–")),
                created.map_or("–".to_owned(), |time| rounded(now - time)),
                key.expiry(now),
                key.short_digest(),
                key.group.as_ref().map_or("–".to_owned(), Group::to_string),
            ]);
        }
        for column in rows.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Ok(print(&rows.trim_fmt())?)
    }
}
