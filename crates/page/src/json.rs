//! Numbers of the tables as JSON.

use serde_json::{Value, json};
use tables::Number;

/// A number as it is stored, however large.
pub fn number(number: Number) -> Value {
    match number {
        Number::Float(float) => json!(float),
        Number::Whole(whole) => json!(whole),
    }
}
