//! Every attribute of the servers table, once. What is not in this list can be neither written nor read, and `scan`
//! reads what is in it.

use crate::Item;
use aws_sdk_dynamodb::types::AttributeValue;

/// An attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    name: &'static str,
    /// Whether its name is one of DynamoDB's reserved words, which need a placeholder in expressions.
    is_reserved: bool,
    is_in_watchdogs_item_only: bool,
    pub(super) readers: Readers,
    restored: Restored,
}

/// Who reads an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// The scan of the fleet, and the watchdog's.
    Everyone,
    /// The scan of the fleet.
    Operators,
    /// A heartbeat, from the item that it replaces.
    Heartbeats,
}

/// How an attribute gets from a restored item into the one in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restored {
    /// If it is absent there, because what is in use is newer.
    IfAbsent,
    /// Likewise, but as `online`: a server that comes back is judged anew.
    AsOnline,
    /// In any case.
    Always,
    /// Not at all, so that nothing that has been announced since then is undone.
    Never,
}

macro_rules! attributes {
    ($($constant:ident = $name:expr $(, $mark:ident)*;)*) => {
        $(pub(super) const $constant: Attribute = Attribute::new($name)$(.$mark())*;)*

        /// Every attribute of the table.
        pub const ATTRIBUTES: &[Attribute] = &[$($constant),*];
    };
}

attributes! {
    // What heartbeats write.
    SERVER_ID = crate::SERVER_ID;
    HOSTNAME = "hostname";
    STATUS = "status", reserved, restored_as_online;
    LAST_SEEN = "last_seen";
    REGISTERED_AT = "registered_at", always_restored;
    REGISTRATION_ID = "registration_id", for_heartbeats, always_restored;
    OS_DISTRIBUTION = "os_distribution", for_operators;
    OS_VERSION = "os_version", for_operators;
    KERNEL_VERSION = "kernel_version", for_operators;
    ARCHITECTURE = "architecture", for_operators;
    READING = "reading";
    AGENT_VERSION = "agent_version";
    DUPLICATE_AT = "duplicate_at", never_restored;
    LEFT_AT = "left_at", never_restored;
    // Written by a heartbeat only if its key has one and the item none; else by operators.
    GROUP = crate::GROUP, reserved;
    // The fingerprints of the last three heartbeats, the latest first. Short names, because an item is billed by its size.
    M1 = "m1", for_heartbeats, never_restored;
    M2 = "m2", for_heartbeats, never_restored;
    M3 = "m3", for_heartbeats, never_restored;
    // What the watchdog writes.
    OFFLINE_SINCE = "offline_since", never_restored;
    ANNOUNCED = "announced", never_restored;
    RETURNED_AT = "returned_at", never_restored;
    PROBLEMS = "problems", never_restored;
    SAID_AT = "said_at", never_restored;
    FULL_ON = "full_on", never_restored;
    // What operators write. In the watchdog's item, these are what applies to all others; the last two, it writes itself.
    SILENCED_UNTIL = "silenced_until";
    QUIET = "quiet";
    OFFLINE_AFTER = "offline_after";
    LIMITS = "limits";
    // What the watchdog's own item holds besides.
    SWEPT_AT = "swept_at", of_the_watchdog;
    GAP_SINCE = "gap_since", of_the_watchdog;
    GAP_UNTIL = "gap_until", of_the_watchdog;
    MASS_SILENCE_AT = "mass_silence_at", of_the_watchdog;
    DIGEST_AT = "digest_at", of_the_watchdog;
    EVENTS_SINCE = "events_since", of_the_watchdog;
    ROLLED_UNTIL = "rolled_until", of_the_watchdog;
    HOLD = "hold", reserved, of_the_watchdog;
    BACK_AFTER = "back_after", of_the_watchdog;
    TIME_ZONE = "time_zone", of_the_watchdog;
    DIGEST_TIMES = "digest_times", of_the_watchdog;
    VERSION = "version", of_the_watchdog;
}

/// What the item of `notify` holds of the webhook at a position.
pub(super) struct Webhook {
    pub format: Attribute,
    pub group: Attribute,
    pub delivered: Attribute,
    pub failed: Attribute,
    pub reason: Attribute,
}

impl Webhook {
    pub const fn all(&self) -> [Attribute; 5] {
        [self.format, self.group, self.delivered, self.failed, self.reason]
    }
}

macro_rules! webhooks {
    ($($position:literal)*) => {
        /// Those of every position that is recorded. An expression of DynamoDB has at most 4 KB, so there is an end.
        pub(super) const WEBHOOKS: &[Webhook] = &[$(Webhook {
            format: Attribute::new(concat!("format_", $position)),
            group: Attribute::new(concat!("group_", $position)),
            delivered: Attribute::new(concat!("delivered_", $position)),
            failed: Attribute::new(concat!("failed_", $position)),
            reason: Attribute::new(concat!("reason_", $position)),
        }),*];
    };
}

webhooks! { 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 }

impl Attribute {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            is_reserved: false,
            is_in_watchdogs_item_only: false,
            readers: Readers::Everyone,
            restored: Restored::IfAbsent,
        }
    }

    const fn reserved(self) -> Self {
        Self { is_reserved: true, ..self }
    }

    const fn for_operators(self) -> Self {
        Self { readers: Readers::Operators, ..self }
    }

    const fn for_heartbeats(self) -> Self {
        Self { readers: Readers::Heartbeats, ..self }
    }

    const fn restored_as_online(self) -> Self {
        Self { restored: Restored::AsOnline, ..self }
    }

    const fn always_restored(self) -> Self {
        Self { restored: Restored::Always, ..self }
    }

    const fn never_restored(self) -> Self {
        Self { restored: Restored::Never, ..self }
    }

    const fn of_the_watchdog(self) -> Self {
        Self { is_in_watchdogs_item_only: true, ..self }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Whether the item of a server may have it.
    #[must_use]
    pub const fn is_of_a_server(self) -> bool {
        !self.is_in_watchdogs_item_only
    }

    /// Appends it to an expression. A reserved word becomes a placeholder, which is returned with its meaning.
    pub(super) fn write(self, expression: &mut String) -> Option<(String, String)> {
        let placeholder = self.is_reserved.then(|| format!("#{}", self.name));
        expression.push_str(placeholder.as_deref().unwrap_or(self.name));
        placeholder.map(|placeholder| (placeholder, self.name.to_owned()))
    }

    /// Its value in an item.
    pub(super) fn of(self, item: &Item) -> Option<&AttributeValue> {
        item.get(self.name)
    }

    /// Its value in an item, if it is a string.
    pub(super) fn text(self, item: &Item) -> Option<String> {
        crate::text(item, self.name)
    }
}

/// Whether the attribute with this name silences whatever its item is about.
pub(crate) fn is_silence(name: &str) -> bool {
    [SILENCED_UNTIL, QUIET].iter().any(|known| known.name == name)
}

/// How the attribute with this name is restored, also one that a person has added.
pub(crate) fn restored(name: &str) -> Restored {
    let mut attributes = ATTRIBUTES.iter();
    attributes.find(|known| known.name == name).map_or(Restored::IfAbsent, |known| known.restored)
}

#[cfg(test)]
mod tests {
    use super::super::{Delivery, Memory, Os, Server};
    use super::*;
    use aws_sdk_dynamodb::types::AttributeValue::{L, M, N, S};

    /// An item with a value for every attribute: a server's, or that of the watchdog.
    fn complete(server_id: &str) -> Item {
        let value = |attribute: Attribute| match attribute {
            SERVER_ID => S(server_id.to_owned()),
            STATUS => S("online".to_owned()),
            LAST_SEEN | OFFLINE_SINCE | RETURNED_AT | SILENCED_UNTIL | SWEPT_AT | GAP_SINCE
            | GAP_UNTIL | MASS_SILENCE_AT | DIGEST_AT | LEFT_AT | EVENTS_SINCE | ROLLED_UNTIL
            | DUPLICATE_AT => S("2026-01-18T10:30:00.000000Z".to_owned()),
            OFFLINE_AFTER | HOLD | BACK_AFTER | VERSION => N("901".to_owned()),
            LIMITS => S("disk_percent=97".to_owned()),
            TIME_ZONE => S("Europe/Berlin".to_owned()),
            QUIET => S("Sun 02:00-04:00".to_owned()),
            READING => M(Item::new()),
            SAID_AT => L(vec![N("1768732200".to_owned())]),
            FULL_ON => M(Item::from([("/data".to_owned(), S("2026-02-01".to_owned()))])),
            PROBLEMS => M(Item::from([(
                "disk_percent".to_owned(),
                M(Item::from([
                    ("since".to_owned(), S("2026-01-18T10:30:00.000000Z".to_owned())),
                    ("limit".to_owned(), N("90".to_owned())),
                ])),
            )])),
            attribute => S(attribute.name.to_owned()),
        };
        let attributes = ATTRIBUTES.iter();
        attributes.map(|attribute| (attribute.name.to_owned(), value(*attribute))).collect()
    }

    fn without(item: &Item, is_left_out: impl Fn(Attribute) -> bool) -> Item {
        let mut item = item.clone();
        let left_out = ATTRIBUTES.iter().filter(|known| is_left_out(**known));
        left_out.for_each(|attribute| drop(item.remove(attribute.name)));
        item
    }

    // C11.5
    #[test]
    fn the_scans_read_what_notify_writes_and_it_is_no_servers_attribute() {
        let (server, own) = (complete("web-1"), complete("#watchdog"));
        let with_webhook = |mut item: Item| {
            for attribute in [&WEBHOOKS[0], &WEBHOOKS[15]].iter().flat_map(|it| it.all()) {
                item.insert(attribute.name.to_owned(), S("2026-01-18T10:30:00.000000Z".to_owned()));
            }
            item
        };
        assert_eq!(Server::from_item(&with_webhook(server.clone())), Server::from_item(&server));
        assert_eq!(Memory::from_item(&with_webhook(own.clone())), Memory::from_item(&own));
        for item in [server, own] {
            assert_eq!(Delivery::all(&with_webhook(item)), None);
        }
        let item = with_webhook(Item::from([("server_id".to_owned(), S("#notify".to_owned()))]));
        let known = Delivery::all(&item).expect("the item of notify");
        assert_eq!(known.iter().map(|webhook| webhook.position).collect::<Vec<_>>(), [1, 16]);
        assert_eq!((Server::from_item(&item), Memory::from_item(&item)), (None, None));
    }

    // C5 C8.12
    #[test]
    fn each_attribute_is_read_by_those_for_whom_it_is_scanned() {
        let (item, own) = (complete("web-1"), complete("#watchdog"));
        let server = Server::from_item(&item).expect("a server");
        assert!(!server.is_malformed);
        let memory = Memory::from_item(&own);
        for attribute in ATTRIBUTES.iter().filter(|known| **known != SERVER_ID) {
            let is_this = |other| other == *attribute;
            let is_missed = Server::from_item(&without(&item, is_this)).as_ref() != Some(&server);
            let is_scanned = attribute.readers != Readers::Heartbeats;
            assert_eq!(is_missed, is_scanned && attribute.is_of_a_server(), "{attribute:?}");
            if !attribute.is_of_a_server() {
                assert_ne!(Memory::from_item(&without(&own, is_this)), memory, "{attribute:?}");
            }
        }

        let fleet = |known: Attribute| known.readers == Readers::Heartbeats;
        assert_eq!(Server::from_item(&without(&item, fleet)), Some(server.clone()));
        assert_eq!(Memory::from_item(&without(&own, fleet)), memory);
        let sweep = |known: Attribute| known.readers != Readers::Everyone;
        let unread = Server { os: Os::default(), ..server };
        assert_eq!(Server::from_item(&without(&item, sweep)), Some(unread));
        assert_eq!(Memory::from_item(&without(&own, sweep)), memory);
    }
}
