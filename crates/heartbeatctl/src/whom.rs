//! Whom a rule is for: one server, or a group.

use clap::Args;
use serde_json::{Value, json};
use std::fmt;
use tables::{Group, ServerId};

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// The server.
    pub server: Option<ServerId>,
    /// All servers of this group, also those that join it later.
    #[arg(long, value_name = "NAME")]
    pub group: Option<Group>,
}

impl Whom {
    /// With this, as `--json` prints it.
    pub fn told(&self, rule: &str, value: Value) -> Value {
        match (&self.server, &self.group) {
            (Some(server), _) => json!({ "server_id": server.as_str(), rule: value }),
            (None, group) => json!({ "group": group.as_ref().map(Group::as_str), rule: value }),
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.server, &self.group) {
            (Some(server), _) => server.fmt(f),
            (None, Some(group)) => write!(f, "group {group}"),
            (None, None) => Ok(()),
        }
    }
}
