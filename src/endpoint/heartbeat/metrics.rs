//! The readings: loops over the table of metrics.

#[cfg(test)]
use super::field::nullable;
use super::field::{Field, Report};
use super::json::Json;
use super::number;
use serde_json::{Value, json};
use tables::{METRICS, Metrics, Number};

impl Field for Metrics {
    fn read(json: Json<'_>, report: &mut Report) -> Option<Self> {
        let members = report.members(json, METRICS.iter().map(|metric| metric.name))?;
        let mut is_valid = true;
        let metrics = Self::from_fn(|metric| {
            let sent = members.get(metric.name).filter(|json| !json.is_null())?;
            let read = report.member(metric.name, |report| {
                report.value(sent, |value| number::read(value, metric.rule))
            });
            is_valid &= read.is_some();
            read
        });
        is_valid.then_some(metrics)
    }

    fn schema() -> Value {
        json!({ "$ref": "#/components/schemas/Metrics" })
    }
}

/// A complete example, as JSON.
pub fn example() -> Value {
    let examples = METRICS.iter();
    let examples = examples.map(|metric| (metric.name.to_owned(), json(metric.example)));
    Value::Object(examples.collect())
}

fn json(number: Number) -> Value {
    match number {
        Number::Float(float) => json!(float),
        Number::Whole(whole) => json!(whole),
    }
}

/// The JSON Schema to which [`Field::schema`] refers.
#[cfg(test)]
pub fn definition() -> Value {
    let properties: serde_json::Map<_, _> = METRICS
        .iter()
        .map(|metric| {
            let mut schema = nullable(number::schema(metric.rule));
            schema["description"] = metric.description.into();
            schema["examples"] = json!([json(metric.example)]);
            (metric.name.to_owned(), schema)
        })
        .collect();
    json!({
        "type": "object",
        "description": "One set of readings; every one is optional.",
        "properties": properties,
        "required": [],
    })
}
