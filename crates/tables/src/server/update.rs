//! Puts `SET … REMOVE …` and its condition together, from attributes and values.

use super::attribute::{Attribute, SERVER_ID};
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, S};
use std::collections::HashMap;

/// An update of one item. The placeholder of what an attribute is set to is its name, `:status`; that of what it is
/// compared with is `:was_status`.
pub struct Update {
    server_id: String,
    set: String,
    remove: String,
    condition: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    /// Of the item with this id.
    pub(super) fn of(server_id: &str) -> Self {
        Self {
            server_id: server_id.to_owned(),
            // Room for everything that a heartbeat sets.
            set: String::with_capacity(512),
            remove: String::new(),
            condition: String::new(),
            names: HashMap::new(),
            values: HashMap::with_capacity(14),
        }
    }

    pub(super) fn set(mut self, attribute: Attribute, value: AttributeValue) -> Self {
        let placeholder = [":", attribute.name()].concat();
        self.begin_set(attribute);
        self.set.push_str(&placeholder);
        self.values.insert(placeholder, value);
        self
    }

    /// Unless the attribute has a value.
    pub(super) fn set_if_absent(self, attribute: Attribute, value: AttributeValue) -> Self {
        let placeholder = [":", attribute.name()].concat();
        let mut update = self.set_from(attribute, attribute, &placeholder);
        update.values.insert(placeholder, value);
        update
    }

    /// To what another attribute held before this update, or to the value of the placeholder if it held nothing.
    pub(super) fn set_from(
        mut self,
        attribute: Attribute,
        other: Attribute,
        placeholder: &str,
    ) -> Self {
        self.begin_set(attribute);
        self.set.push_str("if_not_exists(");
        self.names.extend(other.write(&mut self.set));
        self.set.push_str(", ");
        self.set.push_str(placeholder);
        self.set.push(')');
        self
    }

    fn begin_set(&mut self, attribute: Attribute) {
        let separator = if self.set.is_empty() { "SET " } else { ", " };
        self.set.push_str(separator);
        self.names.extend(attribute.write(&mut self.set));
        self.set.push_str(" = ");
    }

    pub(super) fn remove(mut self, attribute: Attribute) -> Self {
        let is_first = self.remove.is_empty();
        self.remove.push_str(if is_first { " REMOVE " } else { ", " });
        self.names.extend(attribute.write(&mut self.remove));
        self
    }

    /// Sets the attribute, or removes it if it has no value.
    pub(super) fn put(self, attribute: Attribute, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(attribute, value),
            None => self.remove(attribute),
        }
    }

    /// On condition that the attribute has this value, or none.
    pub(super) fn if_is(mut self, attribute: Attribute, value: Option<AttributeValue>) -> Self {
        self.begin_condition();
        match value {
            Some(value) => {
                let placeholder = [":was_", attribute.name()].concat();
                self.names.extend(attribute.write(&mut self.condition));
                self.condition.push_str(" = ");
                self.condition.push_str(&placeholder);
                self.values.insert(placeholder, value);
            }
            None => {
                self.condition.push_str("attribute_not_exists(");
                self.names.extend(attribute.write(&mut self.condition));
                self.condition.push(')');
            }
        }
        self
    }

    /// On condition that the item exists.
    pub(super) fn if_exists(self) -> Self {
        let condition = format!("attribute_exists({})", SERVER_ID.name());
        self.if_holds(&condition)
    }

    /// On this condition, whose placeholders have their values from elsewhere in the update.
    pub(super) fn if_holds(mut self, condition: &str) -> Self {
        self.begin_condition();
        self.condition.push_str(condition);
        self
    }

    fn begin_condition(&mut self) {
        if !self.condition.is_empty() {
            self.condition.push_str(" AND ");
        }
    }

    /// Adds a value to which [`if_holds`](Self::if_holds) refers.
    pub(super) fn value(mut self, placeholder: &str, value: AttributeValue) -> Self {
        self.values.insert(placeholder.to_owned(), value);
        self
    }

    /// Completes a request to delete the item on the same condition.
    pub fn apply_deletion(self, delete: DeleteItemFluentBuilder) -> DeleteItemFluentBuilder {
        delete
            .key(SERVER_ID.name(), S(self.server_id))
            .set_condition_expression(Some(self.condition).filter(|text| !text.is_empty()))
            .set_expression_attribute_names(Some(self.names).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(Some(self.values).filter(|values| !values.is_empty()))
    }

    /// Completes a request.
    #[must_use]
    pub fn apply(mut self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        self.set.push_str(&self.remove);
        update
            .key(SERVER_ID.name(), S(self.server_id))
            .update_expression(self.set)
            .set_condition_expression(Some(self.condition).filter(|text| !text.is_empty()))
            .set_expression_attribute_names(Some(self.names).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(Some(self.values).filter(|values| !values.is_empty()))
    }
}
