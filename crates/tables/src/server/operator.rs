//! What operators read and write with `heartbeatctl`.

use super::Server;
use super::attribute::{
    Attribute, GROUP, LAST_SEEN, LIMITS, OFFLINE_AFTER, QUIET, SERVER_ID, SILENCED_UNTIL,
};
use super::memory::WATCHDOG;
use super::update::Update;
use crate::{Group, Limits, Quiet, ServerId, time};
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use chrono::{DateTime, TimeDelta, Utc};

/// Reads one server.
#[must_use]
pub fn find(get: GetItemFluentBuilder, server_id: &ServerId) -> GetItemFluentBuilder {
    get.key(SERVER_ID.name(), S(server_id.to_string()))
}

/// Deletes a server, on condition that it exists.
#[must_use]
pub fn forget(delete: DeleteItemFluentBuilder, server_id: &ServerId) -> DeleteItemFluentBuilder {
    delete
        .key(SERVER_ID.name(), S(server_id.to_string()))
        .condition_expression("attribute_exists(server_id)")
}

/// Deletes a server, on condition that it was not heard since it was read.
#[must_use]
pub fn forget_unheard(delete: DeleteItemFluentBuilder, server: &Server) -> DeleteItemFluentBuilder {
    let last_seen = server.last_seen.as_ref().map(|seen| S(seen.text.clone()));
    delete
        .key(SERVER_ID.name(), S(server.server_id.clone()))
        .condition_expression(format!("{} = :seen", LAST_SEEN.name()))
        .set_expression_attribute_values(last_seen.map(|seen| [(":seen".to_owned(), seen)].into()))
}

/// Whose item is changed.
#[derive(Debug, Clone, Copy)]
pub enum ItemOf<'a> {
    Server(&'a ServerId),
    /// What it says holds for all servers.
    Watchdog,
}

impl ItemOf<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Server(server_id) => server_id.as_str(),
            Self::Watchdog => WATCHDOG,
        }
    }
}

/// Silences a server or all until a time, or ends that, on condition that the item exists.
#[must_use]
pub fn silence(
    update: UpdateItemFluentBuilder,
    item: ItemOf<'_>,
    until: Option<DateTime<Utc>>,
) -> UpdateItemFluentBuilder {
    put(update, item.id(), SILENCED_UNTIL, until.map(|until| S(time::format(until))))
}

/// Sets the quiet times of a server or all, or ends that, on condition that the item exists.
#[must_use]
pub fn quiet(
    update: UpdateItemFluentBuilder,
    item: ItemOf<'_>,
    quiet: Option<&Quiet>,
) -> UpdateItemFluentBuilder {
    put(update, item.id(), QUIET, quiet.map(|quiet| S(quiet.to_string())))
}

/// Sets the threshold after which a server is late (zero means never), or returns to the watchdog's setting, on condition
/// that the server exists.
#[must_use]
pub fn expect(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    offline_after: Option<TimeDelta>,
) -> UpdateItemFluentBuilder {
    let value = offline_after.map(|within| N(within.num_seconds().to_string()));
    put(update, server_id.as_str(), OFFLINE_AFTER, value)
}

/// Sets the limits of a server's own, or returns to those of the watchdog, on condition that the server exists.
#[must_use]
pub fn limit(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    limits: Option<&Limits>,
) -> UpdateItemFluentBuilder {
    put(update, server_id.as_str(), LIMITS, limits.map(|limits| S(limits.to_string())))
}

/// Puts a server into a group, or into none for good, on condition that it exists.
#[must_use]
pub fn group(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    group: Option<&Group>,
) -> UpdateItemFluentBuilder {
    let name = group.map_or(Group::NONE, Group::as_str);
    put(update, server_id.as_str(), GROUP, Some(S(name.to_owned())))
}

fn put(
    update: UpdateItemFluentBuilder,
    item_id: &str,
    attribute: Attribute,
    value: Option<AttributeValue>,
) -> UpdateItemFluentBuilder {
    Update::of(item_id).put(attribute, value).if_exists().apply(update)
}
