//! Scans of the table, and the keys between which they read: of each item, no more than its reader needs.

use super::attribute::{
    ATTRIBUTES, Attribute, GROUP, READING, Readers, SERVER_ID, WEBHOOKS, Webhook,
};
use super::item::JUDGED;
use crate::{Group, Item, Metric, ServerId};
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

/// Reads what [`Server::from_item`](super::Server::from_item), [`Memory::from_item`](super::Memory::from_item) and
/// [`Delivery::all`](super::Delivery::all) read, for the fleet.
#[must_use]
pub fn scan(scan: ScanFluentBuilder) -> ScanFluentBuilder {
    let read = ATTRIBUTES.iter().filter(|known| known.readers != Readers::Heartbeats);
    project(scan, read.copied().chain(of_webhooks()), [])
}

/// The same without what a sweep does not need: of a reading, metrics that are not among these; and without a digest, what is known
/// of deliveries. Most of a sweep's time goes into what it reads.
#[must_use]
pub fn scan_for_watchdog(
    scan: ScanFluentBuilder,
    is_digest_due: bool,
    metrics: &[&Metric],
) -> ScanFluentBuilder {
    let read = ATTRIBUTES.iter().filter(|known| known.readers == Readers::Everyone);
    let read = read.copied().filter(|known| *known != READING);
    let metrics = metrics.iter().map(|metric| metric.name);
    project(
        scan,
        read.chain(of_webhooks().filter(|_| is_digest_due)),
        JUDGED.into_iter().chain(metrics),
    )
}

/// Leaves only the servers of a group in a scan, and the items that are no servers.
#[must_use]
pub fn scan_group(scan: ScanFluentBuilder, group: &Group) -> ScanFluentBuilder {
    scan.filter_expression("#group = :group OR begins_with(server_id, :own)")
        .expression_attribute_names("#group", GROUP.name())
        .expression_attribute_values(":group", AttributeValue::S(group.to_string()))
        .expression_attribute_values(":own", AttributeValue::S("#".to_owned()))
}

/// The key of a server, after which a scan can begin, even if there is no such server any more.
#[must_use]
pub fn key_of(server: &ServerId) -> Item {
    [(SERVER_ID.name().to_owned(), AttributeValue::S(server.to_string()))].into()
}

/// The server with this key; `None` if the item is no server.
#[must_use]
pub fn server_with(key: &Item) -> Option<ServerId> {
    SERVER_ID.of(key)?.as_s().ok()?.parse().ok()
}

fn of_webhooks() -> impl Iterator<Item = Attribute> {
    let read = |it: &'static Webhook| [it.format, it.group, it.failed, it.reason];
    WEBHOOKS.iter().flat_map(read)
}

/// Reads these attributes, and these members of a reading.
fn project<'a>(
    scan: ScanFluentBuilder,
    read: impl Iterator<Item = Attribute>,
    members: impl IntoIterator<Item = &'a str>,
) -> ScanFluentBuilder {
    let mut expression = String::new();
    let reserved = read.filter_map(|attribute| {
        if !expression.is_empty() {
            expression.push_str(", ");
        }
        attribute.write(&mut expression)
    });
    let names = reserved.collect();
    for member in members {
        expression.extend([", ", READING.name(), ".", member]);
    }
    scan.set_expression_attribute_names(Some(names)).projection_expression(expression)
}
