//! The servers table: one item for each server.
//!
//! Heartbeats, the watchdog and `heartbeatctl` write to the same item, each its own attributes, and every write has a
//! condition. [`Server::read`] is lenient: an attribute that cannot be read never loses the others.

use crate::{HeartbeatId, Item, Metrics, RECEIVED_AT, SERVER_ID, ServerId, TIMESTAMP, text, time};
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, M, S};
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// Whether a server sends heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Heartbeats set this.
    Online,
    /// The watchdog sets this.
    Offline,
}

impl Status {
    const ALL: [Self; 2] = [Self::Online, Self::Offline];

    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    fn value(self) -> AttributeValue {
        S(self.as_str().to_owned())
    }
}

/// A server as its item describes it. What is absent or cannot be read is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Server {
    pub server_id: String,
    pub hostname: Option<String>,
    pub status: Option<Status>,
    /// When its last heartbeat was received.
    pub last_seen: Option<time::Stored>,
    /// The `last_seen` before its current absence, or before the one that it has returned from.
    pub offline_since: Option<time::Stored>,
    /// The `offline_since` that has been announced.
    pub announced: Option<String>,
    /// The watchdog does not announce the server until then.
    pub silenced_until: Option<DateTime<Utc>>,
    pub os: Os,
    /// What the last heartbeat with metrics measured.
    pub reading: Option<Reading>,
    /// Whether the item holds a time that cannot be read.
    pub is_malformed: bool,
}

/// The operating system of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Os<T = String> {
    pub distribution: Option<T>,
    pub version: Option<T>,
    pub kernel: Option<T>,
    pub architecture: Option<T>,
}

const OS_DISTRIBUTION: &str = "os_distribution";
const OS_VERSION: &str = "os_version";
const KERNEL_VERSION: &str = "kernel_version";
const ARCHITECTURE: &str = "architecture";

/// The last reading of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    pub metrics: Metrics,
    /// When the agent took it, by its own clock.
    pub timestamp: Option<DateTime<Utc>>,
    pub received_at: Option<DateTime<Utc>>,
}

impl Reading {
    /// Reads the attribute. What cannot be read is left out.
    fn read(value: &AttributeValue) -> Option<Self> {
        let map = value.as_m().ok()?;
        let time = |name| text(map, name).and_then(|text| time::parse(&text));
        Some(Self {
            metrics: Metrics::read(map),
            timestamp: time(TIMESTAMP),
            received_at: time(RECEIVED_AT),
        })
    }

    fn value(&self) -> AttributeValue {
        let times = [(TIMESTAMP, self.timestamp), (RECEIVED_AT, self.received_at)];
        let times = times
            .into_iter()
            .filter_map(|(name, at)| Some((name.to_owned(), S(time::format(at?)))));
        M(self.metrics.attributes().chain(times).collect())
    }
}

/// What a heartbeat writes to its server's item.
#[derive(Debug)]
pub struct Upsert<'a> {
    pub server_id: &'a ServerId,
    pub id: &'a HeartbeatId,
    pub hostname: &'a str,
    pub received_at: DateTime<Utc>,
    /// If present, it replaces the four stored values as a block.
    pub os: Option<Os<&'a str>>,
    /// If present, it replaces the stored one.
    pub reading: Option<&'a Reading>,
}

/// A comparison with a missing attribute, or with one of another type, is false. So a `last_seen` that no heartbeat can
/// have written does not block the server.
const IS_CURRENT: &str = "NOT (last_seen > :now AND last_seen <= :latest)";

impl Upsert<'_> {
    /// Marks the server as online, on condition that no newer heartbeat has been recorded.
    #[must_use]
    pub fn apply(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let mut set = String::from(
            "SET hostname = :hostname, #status = :online, last_seen = :now, \
             registered_at = if_not_exists(registered_at, :now), \
             registration_id = if_not_exists(registration_id, :id)",
        );
        let mut remove = String::new();
        let mut values = HashMap::from([
            (":hostname".to_owned(), S(self.hostname.to_owned())),
            (":online".to_owned(), Status::Online.value()),
            (":now".to_owned(), S(time::format(self.received_at))),
            (":latest".to_owned(), S(time::LATEST.to_owned())),
            (":id".to_owned(), S(self.id.as_str().to_owned())),
        ]);
        if let Some(reading) = self.reading {
            set.push_str(", reading = :reading");
            values.insert(":reading".to_owned(), reading.value());
        }
        for (name, value) in self.os.iter().flat_map(|os| {
            [
                (OS_DISTRIBUTION, os.distribution),
                (OS_VERSION, os.version),
                (KERNEL_VERSION, os.kernel),
                (ARCHITECTURE, os.architecture),
            ]
        }) {
            if let Some(value) = value {
                set.push_str(&format!(", {name} = :{name}"));
                values.insert(format!(":{name}"), S(value.to_owned()));
            } else {
                remove.push_str(if remove.is_empty() { " REMOVE " } else { ", " });
                remove.push_str(name);
            }
        }
        set.push_str(&remove);
        update
            .key(SERVER_ID, S(self.server_id.as_str().to_owned()))
            .update_expression(set)
            .condition_expression(IS_CURRENT)
            .expression_attribute_names("#status", "status")
            .set_expression_attribute_values(Some(values))
    }
}

/// Whether a heartbeat registered its server, judged by the item before the write: the item did not exist, held nothing
/// but its key, or was created by this heartbeat in an earlier attempt.
#[must_use]
pub fn is_registration(before: Option<&Item>, id: &HeartbeatId) -> bool {
    before.is_none_or(|item| {
        item.keys().all(|name| name == SERVER_ID)
            || text(item, "registration_id").as_deref() == Some(id.as_str())
    })
}

/// Reads only the attributes that [`Server::read`] reads.
#[must_use]
pub fn scan(scan: ScanFluentBuilder) -> ScanFluentBuilder {
    scan.projection_expression(
        "server_id, hostname, #status, last_seen, offline_since, announced, silenced_until, \
         os_distribution, os_version, kernel_version, architecture, reading",
    )
    .expression_attribute_names("#status", "status")
}

impl Server {
    /// Reads an item; `None` if it has no id.
    #[must_use]
    pub fn read(item: &Item) -> Option<Self> {
        let mut is_malformed = false;
        let mut read = |name: &str| {
            let stored = text(item, name).and_then(time::Stored::read);
            is_malformed |= stored.is_none() && item.contains_key(name);
            stored
        };
        let status = item.get("status").and_then(|status| status.as_s().ok());
        let mut statuses = Status::ALL.into_iter();
        Some(Self {
            server_id: text(item, SERVER_ID)?,
            hostname: text(item, "hostname"),
            status: status.and_then(|text| statuses.find(|status| status.as_str() == text)),
            last_seen: read("last_seen"),
            offline_since: read("offline_since"),
            announced: item
                .get("announced")
                .map(|_| text(item, "announced").unwrap_or_default()),
            silenced_until: read("silenced_until").map(|until| until.time),
            os: Os {
                distribution: text(item, OS_DISTRIBUTION),
                version: text(item, OS_VERSION),
                kernel: text(item, KERNEL_VERSION),
                architecture: text(item, ARCHITECTURE),
            },
            reading: item.get("reading").and_then(Reading::read),
            is_malformed,
        })
    }

    /// Whether the current absence has been announced.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.announced.is_some()
            && self.announced.as_ref() == self.offline_since.as_ref().map(|since| &since.text)
    }

    /// Marks the server as offline, on condition that no heartbeat has arrived since it was read.
    #[must_use]
    pub fn mark_offline(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        update
            .key(SERVER_ID, S(self.server_id.clone()))
            .update_expression("SET #status = :offline, offline_since = :seen")
            .condition_expression("last_seen = :seen AND #status = :online")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":offline", Status::Offline.value())
            .expression_attribute_values(":online", Status::Online.value())
            .expression_attribute_values(":seen", stored(&self.last_seen))
    }

    /// The server after it has been marked as offline.
    #[must_use]
    pub fn marked_offline(&self) -> Self {
        Self {
            status: Some(Status::Offline),
            offline_since: self.last_seen.clone(),
            ..self.clone()
        }
    }

    /// Records that an absence was announced, on condition that no other one has begun.
    #[must_use]
    pub fn record_announced(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        update
            .key(SERVER_ID, S(self.server_id.clone()))
            .update_expression("SET announced = :since")
            .condition_expression("offline_since = :since")
            .expression_attribute_values(":since", stored(&self.offline_since))
    }

    /// Removes an ended absence from the item, on condition that no other one has begun.
    #[must_use]
    pub fn end_absence(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        update
            .key(SERVER_ID, S(self.server_id.clone()))
            .update_expression("REMOVE offline_since, announced")
            .condition_expression("offline_since = :since AND #status = :online")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":online", Status::Online.value())
            .expression_attribute_values(":since", stored(&self.offline_since))
    }
}

fn stored(time: &Option<time::Stored>) -> AttributeValue {
    S(time
        .as_ref()
        .map_or_else(String::new, |time| time.text.clone()))
}

/// Reads one server.
#[must_use]
pub fn find(get: GetItemFluentBuilder, server_id: &ServerId) -> GetItemFluentBuilder {
    get.key(SERVER_ID, S(server_id.to_string()))
}

/// Silences a server until a time, or ends its silence, on condition that it exists.
#[must_use]
pub fn silence(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    until: Option<DateTime<Utc>>,
) -> UpdateItemFluentBuilder {
    let update = update
        .key(SERVER_ID, S(server_id.to_string()))
        .condition_expression("attribute_exists(server_id)");
    match until {
        None => update.update_expression("REMOVE silenced_until"),
        Some(until) => update
            .update_expression("SET silenced_until = :until")
            .expression_attribute_values(":until", S(time::format(until))),
    }
}

/// Deletes a server, on condition that it exists.
#[must_use]
pub fn forget(delete: DeleteItemFluentBuilder, server_id: &ServerId) -> DeleteItemFluentBuilder {
    delete
        .key(SERVER_ID, S(server_id.to_string()))
        .condition_expression("attribute_exists(server_id)")
}
