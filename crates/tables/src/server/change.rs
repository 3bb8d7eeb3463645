//! An update or the deletion of a server's item, as a value: it becomes a DynamoDB expression, or is applied to an item in memory.

use super::attribute::{Attribute, SERVER_ID};
use super::update::Update;
use crate::Item;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, S};

/// What happens to some attributes of an item, or to all of it, on condition that some have the values that were read.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    server_id: String,
    /// `None` is the deletion of the item.
    assignments: Option<Vec<(Attribute, Assignment)>>,
    /// `None` is no value.
    conditions: Vec<(Attribute, Option<AttributeValue>)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Assignment {
    Set(AttributeValue),
    SetIfAbsent(AttributeValue),
    Remove,
}

impl Change {
    /// Of the item with this id.
    pub(super) fn of(server_id: &str) -> Self {
        let server_id = server_id.to_owned();
        Self { server_id, assignments: Some(Vec::new()), conditions: Vec::new() }
    }

    /// Deletes the item with this id.
    pub(super) fn deletion(server_id: &str) -> Self {
        Self { assignments: None, ..Self::of(server_id) }
    }

    pub(super) fn set(self, attribute: Attribute, value: AttributeValue) -> Self {
        self.assign(attribute, Assignment::Set(value))
    }

    pub(super) fn set_if_absent(self, attribute: Attribute, value: AttributeValue) -> Self {
        self.assign(attribute, Assignment::SetIfAbsent(value))
    }

    pub(super) fn remove(self, attribute: Attribute) -> Self {
        self.assign(attribute, Assignment::Remove)
    }

    /// Sets the attribute, or removes it if it has no value.
    pub(super) fn put(self, attribute: Attribute, value: Option<AttributeValue>) -> Self {
        self.assign(attribute, value.map_or(Assignment::Remove, Assignment::Set))
    }

    fn assign(mut self, attribute: Attribute, assignment: Assignment) -> Self {
        if let Some(assignments) = &mut self.assignments {
            assignments.push((attribute, assignment));
        }
        self
    }

    /// On condition that the attribute has this value, or none.
    pub(super) fn if_is(mut self, attribute: Attribute, value: Option<AttributeValue>) -> Self {
        self.conditions.push((attribute, value));
        self
    }

    /// On condition that the item exists.
    pub(super) fn if_exists(self) -> Self {
        let server_id = S(self.server_id.clone());
        self.if_is(SERVER_ID, Some(server_id))
    }

    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// Whether it deletes the item.
    #[must_use]
    pub const fn is_deletion(&self) -> bool {
        self.assignments.is_none()
    }

    /// Completes the request of a deletion.
    #[must_use]
    pub fn delete(&self, request: DeleteItemFluentBuilder) -> DeleteItemFluentBuilder {
        self.with_conditions(Update::of(&self.server_id)).apply_deletion(request)
    }

    fn with_conditions(&self, update: Update) -> Update {
        let conditions = self.conditions.iter().cloned();
        conditions.fold(update, |update, (attribute, value)| update.if_is(attribute, value))
    }

    /// Completes the request of an update.
    #[must_use]
    pub fn request(&self, request: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let assignments = self.assignments.iter().flatten().cloned();
        let update =
            assignments.fold(
                Update::of(&self.server_id),
                |update, (attribute, value)| match value {
                    Assignment::Set(value) => update.set(attribute, value),
                    Assignment::SetIfAbsent(value) => update.set_if_absent(attribute, value),
                    Assignment::Remove => update.remove(attribute),
                },
            );
        self.with_conditions(update).apply(request)
    }

    /// Does the same to an item in memory, if there is one. Returns whether its condition holds.
    pub fn apply(&self, item: &mut Option<Item>) -> bool {
        let value = |attribute: Attribute| item.as_ref().and_then(|item| attribute.of(item));
        let mut conditions = self.conditions.iter();
        if !conditions.all(|(attribute, expected)| value(*attribute) == expected.as_ref()) {
            return false;
        }
        let Some(assignments) = &self.assignments else {
            *item = None;
            return true;
        };
        let key = || (SERVER_ID.name().to_owned(), S(self.server_id.clone()));
        let item = item.get_or_insert_with(|| Item::from([key()]));
        for (attribute, assignment) in assignments {
            let name = attribute.name();
            match assignment {
                Assignment::Set(value) => drop(item.insert(name.to_owned(), value.clone())),
                Assignment::SetIfAbsent(value) => {
                    item.entry(name.to_owned()).or_insert_with(|| value.clone());
                }
                Assignment::Remove => drop(item.remove(name)),
            }
        }
        true
    }
}
