//! The servers table: one item for each server.
//!
//! Heartbeats, the watchdog and `heartbeatctl` write to the same item, each its own attributes, and every write has a
//! condition. [`Server::read`] is lenient: an attribute that cannot be read never loses the others. The watchdog keeps its
//! own item in the same table, under an id that no server can have.

use crate::{
    HeartbeatId, Item, Limits, METRICS, Metric, Metrics, Number, RECEIVED_AT, SERVER_ID, ServerId,
    TIMESTAMP, text, time,
};
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, M, N, S};
use chrono::{DateTime, TimeDelta, Utc};
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
    /// Absent while nothing about this absence can be out, [`PENDING`] from before anything is published, and
    /// `offline_since` once "offline" is recorded.
    pub announced: Option<String>,
    /// The `last_seen` with which a sweep first found the server online again.
    pub returned_at: Option<time::Stored>,
    /// The watchdog does not announce the server until then.
    pub silenced_until: Option<DateTime<Utc>>,
    pub os: Os,
    /// What the last heartbeat with metrics measured.
    pub reading: Option<Reading>,
    pub registered_at: Option<String>,
    /// The silence after which this server is late; 0 means never. `None` means as the watchdog's settings say.
    pub offline_after: Option<TimeDelta>,
    /// The limits of this server's own.
    pub limits: Option<Limits>,
    pub high: High,
    /// Whether the item holds an attribute that cannot be read.
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

/// The metrics of a server that reached their limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct High {
    /// In the order of [`METRICS`].
    pub entries: Vec<HighEntry>,
    /// The attribute as it was read or last written, with which the next write compares.
    stored: Option<AttributeValue>,
}

/// A metric that reached its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct HighEntry {
    pub metric: &'static Metric,
    /// When the reading was received with which it did.
    pub since: String,
    pub limit: f64,
    /// Whether something about it may be out unrecorded.
    pub is_pending: bool,
}

impl High {
    /// Reads the attribute, and whether all of it could be read. The rest is left out.
    fn read(stored: Option<&AttributeValue>) -> (Self, bool) {
        let map = stored.map(AttributeValue::as_m);
        let entries = map.and_then(Result::ok).map_or_else(Vec::new, |map| {
            let entry = |metric| HighEntry::read(metric, map.get(metric.name)?.as_m().ok()?);
            METRICS.iter().filter_map(entry).collect()
        });
        let is_complete = match map {
            None => true,
            Some(map) => map.is_ok_and(|map| map.len() == entries.len()),
        };
        let stored = stored.cloned();
        (Self { entries, stored }, is_complete)
    }

    fn value(&self) -> Option<AttributeValue> {
        let entries = self.entries.iter();
        let entries = entries.map(|entry| (entry.metric.name.to_owned(), entry.value()));
        (!self.entries.is_empty()).then(|| M(entries.collect()))
    }

    /// These entries, to be written over what was read or last written.
    #[must_use]
    pub fn with(&self, entries: Vec<HighEntry>) -> Self {
        let stored = self.stored.clone();
        Self { entries, stored }
    }

    /// The same after it has been written.
    #[must_use]
    pub fn written(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            stored: self.value(),
        }
    }
}

impl HighEntry {
    fn read(metric: &'static Metric, entry: &Item) -> Option<Self> {
        Some(Self {
            metric,
            since: text(entry, SINCE)?,
            limit: Number::parse(entry.get(LIMIT)?.as_n().ok()?)?.as_f64(),
            is_pending: entry.contains_key(PENDING),
        })
    }

    fn value(&self) -> AttributeValue {
        let mut entry = Item::from([
            (SINCE.to_owned(), S(self.since.clone())),
            (LIMIT.to_owned(), N(Number::Float(self.limit).to_string())),
        ]);
        if self.is_pending {
            entry.insert(PENDING.to_owned(), Bool(true));
        }
        M(entry)
    }
}

/// The value of `announced`, and the member of an entry of `high`, while something may be out unrecorded.
const PENDING: &str = "pending";
const SINCE: &str = "since";
const LIMIT: &str = "limit";

/// The longest threshold of a server's own, seconds: a year.
pub const MAX_OFFLINE_AFTER: i64 = 31_536_000;

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

/// Reads the attributes that [`Server::read`] and [`Memory::read`] read, for the fleet.
#[must_use]
pub fn scan(scan: ScanFluentBuilder) -> ScanFluentBuilder {
    scan_for_watchdog(scan).projection_expression(format!(
        "{WATCHED}, {OS_DISTRIBUTION}, {OS_VERSION}, {KERNEL_VERSION}, {ARCHITECTURE}"
    ))
}

/// The same without what a sweep does not need.
#[must_use]
pub fn scan_for_watchdog(scan: ScanFluentBuilder) -> ScanFluentBuilder {
    scan.projection_expression(WATCHED)
        .expression_attribute_names("#status", "status")
        .expression_attribute_names("#hold", "hold")
}

const WATCHED: &str = "server_id, hostname, #status, last_seen, offline_since, announced, returned_at, \
    silenced_until, registered_at, offline_after, limits, high, reading, swept_at, gap_since, gap_until, mass_silence_at, \
    #hold, back_after";

impl Server {
    /// Reads an item; `None` if its id is not that of a server.
    #[must_use]
    pub fn read(item: &Item) -> Option<Self> {
        let server_id = text(item, SERVER_ID).filter(|id| ServerId::new(id).is_ok())?;
        let mut is_malformed = false;
        let mut time = |name: &str| {
            let stored = text(item, name).and_then(time::Stored::read);
            is_malformed |= stored.is_none() && item.contains_key(name);
            stored
        };
        let [last_seen, offline_since, returned_at, silenced_until] = [
            "last_seen",
            "offline_since",
            "returned_at",
            "silenced_until",
        ]
        .map(&mut time);
        let status = item.get("status").and_then(|status| status.as_s().ok());
        let mut statuses = Status::ALL.into_iter();
        let offline_after = item.get("offline_after").map(|value| {
            let seconds = value.as_n().ok()?.parse().ok()?;
            let is_valid = (0..=MAX_OFFLINE_AFTER).contains(&seconds);
            is_valid.then(|| TimeDelta::seconds(seconds))
        });
        let limits = item
            .get("limits")
            .map(|value| Limits::parse_own(value.as_s().ok()?).ok());
        let (high, is_complete) = High::read(item.get("high"));
        is_malformed |= offline_after == Some(None) || limits == Some(None) || !is_complete;
        Some(Self {
            server_id,
            hostname: text(item, "hostname"),
            status: status.and_then(|text| statuses.find(|status| status.as_str() == text)),
            last_seen,
            offline_since,
            announced: item
                .get("announced")
                .map(|_| text(item, "announced").unwrap_or_default()),
            returned_at,
            silenced_until: silenced_until.map(|until| until.time),
            os: Os {
                distribution: text(item, OS_DISTRIBUTION),
                version: text(item, OS_VERSION),
                kernel: text(item, KERNEL_VERSION),
                architecture: text(item, ARCHITECTURE),
            },
            reading: item.get("reading").and_then(Reading::read),
            registered_at: text(item, "registered_at"),
            offline_after: offline_after.flatten(),
            limits: limits.flatten(),
            high,
            is_malformed,
        })
    }

    /// Whether the current absence has been announced, and that has been recorded.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.announced.is_some()
            && self.announced.as_ref() == self.offline_since.as_ref().map(|since| &since.text)
    }

    /// Whether it has been written ahead that something may be out.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.announced.as_deref() == Some(PENDING)
    }

    #[must_use]
    pub fn is_silenced(&self, now: DateTime<Utc>) -> bool {
        self.silenced_until.is_some_and(|until| until > now)
    }

    /// The server after it has been marked as offline: in the absence whose return was not recorded, or in a new one.
    #[must_use]
    pub fn marked_offline(&self, now: DateTime<Utc>) -> Self {
        let mut marked = self.clone();
        marked.status = Some(Status::Offline);
        marked.offline_since = marked.offline_since.or(marked.last_seen.clone());
        marked.returned_at = None;
        if !self.is_silenced(now) {
            marked.announced.get_or_insert_with(|| PENDING.to_owned());
        }
        marked
    }

    /// Marks a server as offline, given [`marked_offline`](Self::marked_offline), on condition that no heartbeat has
    /// arrived since it was read. `offline_since` is always written, so that no overlapping sweep can lose it.
    #[must_use]
    pub fn mark_offline(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let update = update
            .key(SERVER_ID, S(self.server_id.clone()))
            .condition_expression("last_seen = :seen AND #status = :online")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":offline", Status::Offline.value())
            .expression_attribute_values(":online", Status::Online.value())
            .expression_attribute_values(":seen", stored(&self.last_seen))
            .expression_attribute_values(":since", stored(&self.offline_since));
        match &self.announced {
            None => update.update_expression(
                "SET #status = :offline, offline_since = :since REMOVE returned_at",
            ),
            Some(_) => update
                .update_expression(
                    "SET #status = :offline, offline_since = :since, \
                     announced = if_not_exists(announced, :pending) REMOVE returned_at",
                )
                .expression_attribute_values(":pending", S(PENDING.to_owned())),
        }
    }

    /// Writes ahead that something about this absence may be out, on condition that it is still the same one and still
    /// going on, or still over.
    #[must_use]
    pub fn write_ahead(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        self.in_this_absence(update)
            .update_expression("SET announced = :pending")
            .expression_attribute_values(":pending", S(PENDING.to_owned()))
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

    /// Notes when the server was first found online again.
    #[must_use]
    pub fn note_return(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        self.in_this_absence(update)
            .update_expression("SET returned_at = :returned")
            .expression_attribute_values(":returned", stored(&self.returned_at))
    }

    /// Removes an ended absence from the item, on condition that no other one has begun.
    #[must_use]
    pub fn end_absence(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        self.in_this_absence(update)
            .update_expression("REMOVE offline_since, announced, returned_at")
    }

    /// On condition that `offline_since` and `status` are still those that were read.
    fn in_this_absence(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let status = self.status.unwrap_or(Status::Online);
        update
            .key(SERVER_ID, S(self.server_id.clone()))
            .condition_expression("offline_since = :since AND #status = :status")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", status.value())
            .expression_attribute_values(":since", stored(&self.offline_since))
    }

    /// Writes `high` as a whole, on condition that it is what was read or last written, and that the server has not been
    /// forgotten and registered again.
    #[must_use]
    pub fn write_high(
        &self,
        update: UpdateItemFluentBuilder,
        high: &High,
    ) -> UpdateItemFluentBuilder {
        let mut condition = String::from("attribute_exists(server_id) AND ");
        let mut update = update.key(SERVER_ID, S(self.server_id.clone()));
        for (name, placeholder, before) in [
            ("high", ":before", high.stored.clone()),
            (
                "registered_at",
                ":registered",
                self.registered_at.clone().map(S),
            ),
        ] {
            condition.push_str(&match &before {
                Some(_) => format!("{name} = {placeholder}"),
                None => format!("attribute_not_exists({name})"),
            });
            condition.push_str(if name == "high" { " AND " } else { "" });
            if let Some(before) = before {
                update = update.expression_attribute_values(placeholder, before);
            }
        }
        let update = update.condition_expression(condition);
        match high.value() {
            None => update.update_expression("REMOVE high"),
            Some(value) => update
                .update_expression("SET high = :high")
                .expression_attribute_values(":high", value),
        }
    }
}

/// What the watchdog remembers from one sweep to the next, in an item of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// The time of the last sweep whose scan was complete.
    pub swept_at: Option<DateTime<Utc>>,
    /// The last gap between sweeps.
    pub gap: Option<Gap>,
    /// The time of the last sweep that detected a mass silence.
    pub mass_silence_at: Option<DateTime<Utc>>,
    /// The rules that it applies, so that every reader of the fleet judges as it does. `None` if the item holds none, as
    /// before the first sweep: then [`Rules::default`] is the best guess.
    pub rules: Option<Rules>,
}

/// When a server counts as offline or back, and which metrics are high.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// A server is late if it has been silent for longer than this, and overdue after half of it, unless it has a
    /// threshold of its own.
    pub offline_after: TimeDelta,
    /// In a mass silence, a late server is judged once it has been silent for this long. Zero switches the rule off.
    pub hold: TimeDelta,
    /// A return is announced after heartbeats over this time. Zero means at once.
    pub back_after: TimeDelta,
    /// The values from which a metric is high, unless a server has limits of its own.
    pub limits: Limits,
}

impl Rules {
    /// The default of [`offline_after`](Self::offline_after), seconds.
    pub const OFFLINE_AFTER: u32 = 180;
    /// The default of [`back_after`](Self::back_after), seconds.
    pub const BACK_AFTER: u32 = 300;

    /// The default of [`hold`](Self::hold) for a threshold, both in seconds.
    #[must_use]
    pub fn hold_for(offline_after: u32) -> u32 {
        600.max(offline_after.saturating_mul(2))
    }

    /// Reads the rules in the watchdog's item; `None` if it holds none. One that cannot be read is the default.
    fn read(item: &Item) -> Option<Self> {
        let seconds = |name| item.get(name)?.as_n().ok()?.parse::<u32>().ok();
        let offline_after = seconds("offline_after").filter(|after| *after > 0);
        let (hold, back_after) = (seconds("hold"), seconds("back_after"));
        let limits = text(item, "limits").and_then(|list| Limits::parse(&list).ok());
        if offline_after.or(hold).or(back_after).is_none() && limits.is_none() {
            return None;
        }
        let offline_after = offline_after.unwrap_or(Self::OFFLINE_AFTER);
        let hold = hold.unwrap_or_else(|| Self::hold_for(offline_after));
        Some(Self {
            offline_after: TimeDelta::seconds(offline_after.into()),
            hold: TimeDelta::seconds(hold.into()),
            back_after: TimeDelta::seconds(back_after.unwrap_or(Self::BACK_AFTER).into()),
            limits: limits.unwrap_or_else(Limits::standard),
        })
    }

    fn attributes(&self) -> [(&'static str, AttributeValue); 4] {
        let seconds = |time: TimeDelta| N(time.num_seconds().to_string());
        [
            ("offline_after", seconds(self.offline_after)),
            ("hold", seconds(self.hold)),
            ("back_after", seconds(self.back_after)),
            ("limits", S(self.limits.to_string())),
        ]
    }
}

/// The rules of a watchdog that is not told others.
impl Default for Rules {
    fn default() -> Self {
        Self {
            offline_after: TimeDelta::seconds(Self::OFFLINE_AFTER.into()),
            hold: TimeDelta::seconds(Self::hold_for(Self::OFFLINE_AFTER).into()),
            back_after: TimeDelta::seconds(Self::BACK_AFTER.into()),
            limits: Limits::standard(),
        }
    }
}

/// A time in which sweeps are missing, and heartbeats may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// The id of the watchdog's item. No agent can send it.
const WATCHDOG: &str = "#watchdog";

impl Memory {
    /// Reads the watchdog's item; `None` if this is another one.
    #[must_use]
    pub fn read(item: &Item) -> Option<Self> {
        let time = |name| text(item, name).and_then(|text| time::parse(&text));
        let gap = time("gap_since").zip(time("gap_until"));
        text(item, SERVER_ID)
            .filter(|id| id == WATCHDOG)
            .map(|_| Self {
                swept_at: time("swept_at"),
                gap: gap.map(|(since, until)| Gap { since, until }),
                mass_silence_at: time("mass_silence_at"),
                rules: Rules::read(item),
            })
    }

    /// Replaces the watchdog's item.
    #[must_use]
    pub fn write(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let times = [
            ("swept_at", self.swept_at),
            ("gap_since", self.gap.map(|gap| gap.since)),
            ("gap_until", self.gap.map(|gap| gap.until)),
            ("mass_silence_at", self.mass_silence_at),
        ];
        let times = times.map(|(name, at)| (name, at.map(|at| S(time::format(at)))));
        let rules = self.rules.iter().flat_map(Rules::attributes);
        let rules = rules.map(|(name, value)| (name, Some(value)));
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        let mut update = update.key(SERVER_ID, S(WATCHDOG.to_owned()));
        for (name, value) in times.into_iter().chain(rules) {
            update = update.expression_attribute_names(format!("#{name}"), name);
            if let Some(value) = value {
                set.push(format!("#{name} = :{name}"));
                update = update.expression_attribute_values(format!(":{name}"), value);
            } else {
                remove.push(format!("#{name}"));
            }
        }
        let mut expression = String::new();
        if !set.is_empty() {
            expression += &format!("SET {}", set.join(", "));
        }
        if !remove.is_empty() {
            expression += &format!(" REMOVE {}", remove.join(", "));
        }
        update.update_expression(expression)
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
    let value = until.map(|until| S(time::format(until)));
    set_or_remove(update, server_id, "silenced_until", value)
}

/// Deletes a server, on condition that it exists.
#[must_use]
pub fn forget(delete: DeleteItemFluentBuilder, server_id: &ServerId) -> DeleteItemFluentBuilder {
    delete
        .key(SERVER_ID, S(server_id.to_string()))
        .condition_expression("attribute_exists(server_id)")
}

/// Sets the silence after which a server is late (zero means never), or returns to the watchdog's setting, on condition
/// that the server exists.
#[must_use]
pub fn expect(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    offline_after: Option<TimeDelta>,
) -> UpdateItemFluentBuilder {
    let value = offline_after.map(|within| N(within.num_seconds().to_string()));
    set_or_remove(update, server_id, "offline_after", value)
}

/// Sets the limits of a server's own, or returns to those of the watchdog, on condition that the server exists.
#[must_use]
pub fn limit(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    limits: Option<&Limits>,
) -> UpdateItemFluentBuilder {
    let value = limits.map(|limits| S(limits.to_string()));
    set_or_remove(update, server_id, "limits", value)
}

fn set_or_remove(
    update: UpdateItemFluentBuilder,
    server_id: &ServerId,
    name: &str,
    value: Option<AttributeValue>,
) -> UpdateItemFluentBuilder {
    let update = update
        .key(SERVER_ID, S(server_id.to_string()))
        .condition_expression("attribute_exists(server_id)");
    match value {
        None => update.update_expression(format!("REMOVE {name}")),
        Some(value) => update
            .update_expression(format!("SET {name} = :value"))
            .expression_attribute_values(":value", value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C8.12
    #[test]
    fn rules_that_are_missing_or_cannot_be_read_are_the_default() {
        let rules = |attributes: &[(&str, AttributeValue)]| {
            let id = [(SERVER_ID, S(WATCHDOG.to_owned()))];
            let attributes = attributes.iter().cloned().chain(id);
            let item: Item = attributes
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            Memory::read(&item).expect("the watchdog's item").rules
        };
        let number = |seconds: &str| N(seconds.to_owned());
        let default = Rules::default();
        assert_eq!(rules(&[]), None);
        assert_eq!(rules(&[("swept_at", S(time::LATEST.to_owned()))]), None);
        assert_eq!(
            rules(&[("offline_after", number("180"))]),
            Some(default.clone())
        );
        let slow = Rules {
            offline_after: TimeDelta::seconds(900),
            hold: TimeDelta::seconds(1800),
            ..default.clone()
        };
        assert_eq!(rules(&[("offline_after", number("900"))]), Some(slow));
        let attributes = [
            ("offline_after", number("0")),
            ("hold", S("600".to_owned())),
            ("back_after", number("-1")),
            ("limits", S("none".to_owned())),
        ];
        let no_limits = Rules {
            limits: Limits::default(),
            ..default
        };
        assert_eq!(rules(&attributes), Some(no_limits));
    }
}
