//! The items of servers, which no command ever creates.

use crate::aws::Aws;
use crate::target::{SERVERS, Target};
use anyhow::{anyhow, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use chrono::{DateTime, Utc};
use page::{Clock, explain_in};
use tables::server::{self, GroupRules, Groups, ItemOf, Memory};
use tables::{Group, Item, ServerId, Zone, condition_failed};

/// The version of the contract from which on a watchdog heeds groups.
pub const GROUPS_SINCE: u32 = 2;

/// The servers table.
pub struct Servers {
    table: String,
    client: Client,
    /// Set by whatever was read.
    pub clock: Clock,
}

impl Servers {
    pub async fn new(aws: &Aws<'_>) -> anyhow::Result<Self> {
        let (client, clock) = aws.dynamodb().await?;
        Ok(Self { table: aws.name(&SERVERS).await?, client, clock })
    }

    /// Reads a server, if there is one.
    pub async fn find(&self, id: &ServerId) -> anyhow::Result<Option<server::Server>> {
        Ok(self.find_with_sender(id).await?.map(|(server, _)| server))
    }

    /// Reads a server, and the fingerprint of its last heartbeat.
    pub async fn find_with_sender(
        &self,
        id: &ServerId,
    ) -> anyhow::Result<Option<(server::Server, Option<String>)>> {
        let get = self.client.get_item().table_name(&self.table);
        let found = server::find(get, id)
            .consistent_read(true)
            .send()
            .await
            .map_err(explain_in(&self.table))?;
        let server = found
            .item
            .as_ref()
            .and_then(|item| Some((server::Server::from_item(item)?, server::last_sender(item))));
        Ok(server)
    }

    /// Reads every server.
    pub async fn all(&self) -> anyhow::Result<Vec<server::Server>> {
        let scan = self.client.scan().table_name(&self.table);
        let mut items = server::scan(scan).into_paginator().items().send();
        let mut servers = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(explain_in(&self.table))?;
            servers.extend(server::Server::from_item(&item));
        }
        Ok(servers)
    }

    /// Reads what the watchdog has written into an item of its own.
    pub async fn memory(&self) -> anyhow::Result<Option<Memory>> {
        let get = self.client.get_item().table_name(&self.table);
        let found = Memory::find(get).send().await.map_err(explain_in(&self.table))?;
        Ok(found.item.as_ref().and_then(Memory::from_item))
    }

    /// Rejects what a watchdog before this version of the contract would ignore.
    pub async fn check_version(&self, heeded_since: u32) -> anyhow::Result<()> {
        check_version(self.memory().await?.as_ref(), heeded_since)
    }

    /// The time, for what is to be written.
    pub async fn now(&self) -> anyhow::Result<DateTime<Utc>> {
        self.clock.ask(&self.client, &self.table).await
    }

    /// Reads the rules of all groups.
    pub async fn groups(&self) -> anyhow::Result<Groups> {
        Ok(Groups::from_item(self.groups_item().await?.as_ref()))
    }

    async fn groups_item(&self) -> anyhow::Result<Option<Item>> {
        let get = self.client.get_item().table_name(&self.table);
        let found = Groups::find(get).consistent_read(true).send().await;
        Ok(found.map_err(explain_in(&self.table))?.item)
    }

    /// Changes the rules of a group.
    pub async fn change_group(
        &self,
        group: &Group,
        change: impl FnOnce(&mut GroupRules),
    ) -> anyhow::Result<()> {
        self.check_version(GROUPS_SINCE).await?;
        let item = self.groups_item().await?;
        let known = Groups::from_item(item.as_ref());
        let mut rules = known.of(group).cloned().unwrap_or_default();
        change(&mut rules);
        let update = self.client.update_item().table_name(&self.table);
        let sent = Groups::replace(update, item.as_ref(), group, &rules).send().await;
        sent.map_err(|error| match condition_failed(&error) {
            true => {
                anyhow!(
                    "the rules of the group {group} were changed at the same time: run it again"
                )
            }
            false => explain_in(&self.table)(error),
        })?;
        Ok(())
    }

    /// Sends an update, whose condition is that the item exists. A watchdog heeds it from this version of the contract on; 0
    /// is every watchdog, which is not asked.
    pub async fn update(
        &self,
        item: ItemOf<'_>,
        heeded_since: u32,
        change: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> anyhow::Result<()> {
        if heeded_since > 0 {
            self.check_version(heeded_since).await?;
        }
        let update = self.client.update_item().table_name(&self.table);
        change(update).send().await.map_err(|error| match item {
            _ if !condition_failed(&error) => explain_in(&self.table)(error),
            ItemOf::Server(id) => missing(id),
            ItemOf::Watchdog => anyhow!("no watchdog has swept yet"),
        })?;
        Ok(())
    }

    /// The watchdog's zone. Times say theirs, so UTC will do if it cannot be read.
    pub async fn zone(&self) -> Zone {
        let memory = self.memory().await.ok().flatten();
        memory.and_then(|memory| memory.rules).unwrap_or_default().zone
    }

    /// Deletes a server.
    pub async fn forget(&self, id: &ServerId) -> anyhow::Result<()> {
        let delete = self.client.delete_item().table_name(&self.table);
        let sent = server::forget(delete, id).send().await;
        sent.map_err(|error| match condition_failed(&error) {
            true => missing(id),
            false => explain_in(&self.table)(error),
        })?;
        Ok(())
    }

    /// Deletes a server that was not heard since it was read; returns whether it did.
    pub async fn forget_unheard(&self, server: &server::Server) -> anyhow::Result<bool> {
        let delete = self.client.delete_item().table_name(&self.table);
        match server::forget_unheard(delete, server).send().await {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(explain_in(&self.table)(error)),
        }
    }
}

fn missing(id: &ServerId) -> anyhow::Error {
    anyhow!("there is no server {id}")
}

/// The item of a server in its table.
pub struct ServerItem<'a> {
    pub id: &'a ServerId,
    pub servers: Servers,
}

impl<'a> ServerItem<'a> {
    pub async fn new(target: &Target, id: &'a ServerId) -> anyhow::Result<Self> {
        Ok(Self { id, servers: Servers::new(&Aws::new(target)).await? })
    }

    /// Reads it.
    pub async fn fetch(&self) -> anyhow::Result<server::Server> {
        self.servers.find(self.id).await?.ok_or_else(|| missing(self.id))
    }

    /// [`Servers::update`] of it.
    pub async fn update(
        &self,
        heeded_since: u32,
        change: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> anyhow::Result<()> {
        self.servers.update(ItemOf::Server(self.id), heeded_since, change).await
    }

    /// Deletes it.
    pub async fn forget(&self) -> anyhow::Result<()> {
        self.servers.forget(self.id).await
    }
}

/// Rejects what this watchdog would ignore. One that has never swept is of the version that is being deployed.
fn check_version(watchdog: Option<&Memory>, heeded_since: u32) -> anyhow::Result<()> {
    let is_older = watchdog.is_some_and(|watchdog| watchdog.version < heeded_since);
    ensure!(!is_older, "the stack is older: make deploy");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // C8.12
    #[test]
    fn what_an_older_watchdog_would_ignore_is_rejected() {
        for (version, heeded_since, is_rejected) in [
            (None, 2, false),
            (Some(0), 0, false),
            (Some(0), 1, true),
            (Some(1), 2, true),
            (Some(2), 2, false),
            (Some(3), 2, false),
        ] {
            let watchdog = version.map(|version| Memory { version, ..Memory::default() });
            let checked = check_version(watchdog.as_ref(), heeded_since);
            let rejection = checked.err().map(|error| error.to_string());
            let expected = is_rejected.then(|| "the stack is older: make deploy".to_owned());
            assert_eq!(rejection, expected, "{version:?} {heeded_since}");
        }
    }
}
