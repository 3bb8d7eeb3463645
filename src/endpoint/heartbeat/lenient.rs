//! Fields beyond the seed. The seed ignores them, so nothing in them may reject a heartbeat: what does not have its form
//! is left out, silently.

use super::field::{Field, Report, Schema};
use super::json::{Json, Value};
use super::number;
use super::text::Text;
use tables::Number;
use tables::metric::Rule;

/// A field that is absent unless it has its form.
#[derive(Debug, Clone, PartialEq)]
pub struct Lenient<T>(pub Option<T>);

/// What a lenient field may hold.
pub trait LenientField: Sized {
    const SCHEMA: Schema;

    /// Reads a value; `None` if it does not have this form.
    fn from_json(json: Json<'_>) -> Option<Self>;
}

impl<T: LenientField> Field for Lenient<T> {
    const REQUIRED: bool = false;
    const SCHEMA: Schema = Schema::Nullable(&T::SCHEMA);

    fn from_json(json: Json<'_>, _: &mut Report) -> Option<Self> {
        Some(Self(T::from_json(json)))
    }

    fn absent(_: &mut Report) -> Option<Self> {
        Some(Self(None))
    }
}

impl<const MIN: usize, const MAX: usize> LenientField for Text<MIN, MAX> {
    const SCHEMA: Schema = <Self as Field>::SCHEMA;

    fn from_json(json: Json<'_>) -> Option<Self> {
        match json.value() {
            Ok(Value::String(text)) => Self::new(&text).ok(),
            _ => None,
        }
    }
}

impl LenientField for bool {
    const SCHEMA: Schema = Schema::Bool;

    fn from_json(json: Json<'_>) -> Option<Self> {
        match json.value() {
            Ok(Value::Bool(bit)) => Some(bit),
            _ => None,
        }
    }
}

/// Reads a number by its rule, but not from a string or a boolean as the seed would.
pub fn number(json: Json<'_>, rule: Rule) -> Option<Number> {
    let value = json.value().ok()?;
    match (rule, &value) {
        (Rule::Flag, Value::Bool(_)) | (_, Value::Number(_)) => number::parse(&value, rule).ok(),
        _ => None,
    }
}

/// Reads a name or a reason; `None` if it is empty or not a string.
pub fn text(json: Json<'_>) -> Option<String> {
    match json.value() {
        Ok(Value::String(text)) if !text.is_empty() => Some(text.into_owned()),
        _ => None,
    }
}
