//! Copies an item of a restored table back into the table in use. What is in use stays, and gets back what it lacks.

use crate::key::KEY_SHA256;
use crate::server::{GROUPS, Restored, Status, WATCHDOG, is_silence, restored};
use crate::{Item, SERVER_ID, ServerId, text};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, S};

/// A table that can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Servers,
    Keys,
}

/// What one restored item gives to the one in use.
#[derive(Debug, PartialEq)]
pub struct Restoration {
    table: Table,
    /// The server's id, or the digest of the key.
    pub id: String,
    /// Whether the item in use is gone, so that it comes back.
    pub is_deleted: bool,
    attributes: Vec<(String, AttributeValue)>,
}

impl Table {
    const fn key(self) -> &'static str {
        match self {
            Self::Servers => SERVER_ID,
            Self::Keys => KEY_SHA256,
        }
    }

    /// The id of an item; `None` for one that is no server, such as that of `notify`, but for the rules of groups, and the watchdog's.
    #[must_use]
    pub fn id(self, item: &Item) -> Option<String> {
        let is_copied = |id: &str| [GROUPS, WATCHDOG].contains(&id) || ServerId::new(id).is_ok();
        text(item, self.key()).filter(|id| self == Self::Keys || is_copied(id))
    }

    /// How an attribute of the item with this id is restored.
    fn restored(self, id: &str, name: &str) -> Restored {
        match self {
            // Its attributes are named after groups.
            Self::Servers if id == GROUPS => Restored::IfAbsent,
            // What silences all servers.
            Self::Servers if id == WATCHDOG && !is_silence(name) => Restored::Never,
            Self::Servers => restored(name),
            Self::Keys => Restored::IfAbsent,
        }
    }

    /// What an item gives to the one in use; `None` if that is nothing.
    #[must_use]
    pub fn restoration(self, item: &Item, current: Option<&Item>) -> Option<Restoration> {
        let id = self.id(item)?;
        let is_missing = |(name, value): &(&String, &AttributeValue)| {
            let in_use = current.and_then(|current| current.get(*name));
            match self.restored(&id, name) {
                Restored::IfAbsent | Restored::AsOnline => in_use.is_none() && *name != self.key(),
                Restored::Always => in_use != Some(*value),
                Restored::Never => false,
            }
        };
        let value = |name: &str, stored: &AttributeValue| match self.restored(&id, name) {
            Restored::AsOnline => Status::Online.value(),
            _ => stored.clone(),
        };
        let missing = item.iter().filter(is_missing);
        let mut attributes: Vec<_> =
            missing.map(|(name, stored)| (name.clone(), value(name, stored))).collect();
        attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let is_deleted = current.is_none();
        (!attributes.is_empty()).then_some(Restoration { table: self, id, is_deleted, attributes })
    }
}

impl Restoration {
    /// The names of the attributes.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(name, _)| name.as_str())
    }

    /// Copies them. What has been written in the meantime stays.
    #[must_use]
    pub fn apply(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let mut update = update.key(self.table.key(), S(self.id.clone()));
        let mut assignments = Vec::new();
        for (number, (name, value)) in self.attributes.iter().enumerate() {
            let (place, placeholder) = (format!("#{number}"), format!(":{number}"));
            assignments.push(match self.table.restored(&self.id, name) {
                Restored::Always => format!("{place} = {placeholder}"),
                _ => format!("{place} = if_not_exists({place}, {placeholder})"),
            });
            update = update
                .expression_attribute_names(place, name)
                .expression_attribute_values(placeholder, value.clone());
        }
        update.update_expression(format!("SET {}", assignments.join(", ")))
    }
}
