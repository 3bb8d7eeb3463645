//! The item of one server, which no command ever creates.

use crate::aws::Aws;
use crate::target::{SERVERS, Target};
use anyhow::anyhow;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException as NotDeleted;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException as NotUpdated;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use page::explain_in;
use tables::ServerId;
use tables::server;

/// The item of a server in its table.
pub struct ServerItem<'a> {
    id: &'a ServerId,
    table: String,
    client: Client,
}

impl<'a> ServerItem<'a> {
    pub async fn new(target: &Target, id: &'a ServerId) -> anyhow::Result<Self> {
        let aws = Aws::new(target);
        Ok(Self {
            id,
            table: aws.name(&SERVERS).await?,
            client: aws.dynamodb().await,
        })
    }

    /// Reads it.
    pub async fn read(&self) -> anyhow::Result<server::Server> {
        let get = self.client.get_item().table_name(&self.table);
        let found = server::find(get, self.id)
            .consistent_read(true)
            .send()
            .await
            .map_err(explain_in(&self.table))?;
        let stored = found.item.as_ref().and_then(server::Server::read);
        stored.ok_or_else(|| self.missing())
    }

    /// Reads the watchdog's rules, which stand in an item of its own; `None` if it has not written them.
    pub async fn rules(&self) -> anyhow::Result<Option<server::Rules>> {
        let get = self.client.get_item().table_name(&self.table);
        let found = server::Memory::find(get)
            .send()
            .await
            .map_err(explain_in(&self.table))?;
        let memory = found.item.as_ref().and_then(server::Memory::read);
        Ok(memory.and_then(|memory| memory.rules))
    }

    /// Sends an update, whose condition is that the item exists.
    pub async fn update(
        &self,
        change: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> anyhow::Result<()> {
        let update = self.client.update_item().table_name(&self.table);
        let sent = change(update).send().await;
        sent.map_err(|error| match error.as_service_error() {
            Some(NotUpdated(_)) => self.missing(),
            _ => explain_in(&self.table)(error),
        })?;
        Ok(())
    }

    /// Deletes it.
    pub async fn forget(&self) -> anyhow::Result<()> {
        let delete = self.client.delete_item().table_name(&self.table);
        let sent = server::forget(delete, self.id).send().await;
        sent.map_err(|error| match error.as_service_error() {
            Some(NotDeleted(_)) => self.missing(),
            _ => explain_in(&self.table)(error),
        })?;
        Ok(())
    }

    fn missing(&self) -> anyhow::Error {
        anyhow!("there is no server {}", self.id)
    }
}
