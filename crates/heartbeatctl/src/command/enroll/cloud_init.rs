//! User data for cloud-init, with which every instance of an autoscaling group installs the agent.

use super::{Command, agent};
use crate::command::keys::{New, check_prefix};
use crate::key::KeysTable;
use crate::remote::UserData;
use crate::server::Servers;
use anyhow::ensure;
use serde_json::json;
use tables::key::{Prefix, Scope};

/// What EC2 takes, bytes.
const MAX_USER_DATA: usize = 16_384;

/// Makes a key for the prefix, and prints the user data that holds it.
pub async fn print(
    command: &Command,
    prefix: Prefix,
    url: &str,
    keys: &KeysTable,
    servers: &Servers,
    json: bool,
) -> anyhow::Result<()> {
    let digests = match &command.from {
        Some(_) => agent::digests(command.agent.as_deref())?,
        None => String::new(),
    };
    if !command.force {
        check_prefix(&prefix, command.group.as_ref(), servers, keys).await?;
    }
    let label = Some("cloud-init".to_owned());
    let scope = Some(Scope::Prefix(prefix.clone()));
    let key = New::make(scope, command.group.clone(), label, None, keys.now().await?)?;
    let user_data = UserData {
        prefix: &prefix,
        secret: key.secret(),
        url,
        from: command.from.as_deref().unwrap_or_default().trim_end_matches('/'),
        digests: &digests,
    };
    let script = user_data.script();
    ensure!(script.len() <= MAX_USER_DATA, "the URLs are too long: EC2 takes 16 KB");
    keys.put(&key.stored).await?;
    let text = match json {
        false => script.trim_end().to_owned(),
        true => {
            let mut printed = json!(key.stored);
            printed["user_data"] = script.into();
            printed.to_string()
        }
    };
    key.print_with(&text)?;
    eprintln!(
        "It holds the key of {}*, which is shown only once: whoever reads it can send for these servers.",
        prefix.as_str()
    );
    if command.from.is_none() {
        eprintln!(
            "The image has to have the agent: its package, for example. With --from, it is downloaded."
        );
    }
    Ok(())
}
