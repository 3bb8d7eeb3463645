//! The readings: loops over the table of metrics.

#[cfg(test)]
use super::field::nullable;
use super::field::{Field, Report};
use super::json::{Json, Members};
use super::{lenient, number};
use serde_json::{Map, Value, json};
use tables::metric::{Place, Rule};
use tables::{METRICS, Metric, Metrics, Number};

impl Field for Metrics {
    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        let members = report.members(json, names(|place| place != Place::Body))?;
        let mut is_valid = true;
        let metrics = Self::from_fn(|metric| {
            let sent = members.get(metric.name).filter(|json| !json.is_null())?;
            match metric.place {
                Place::Body => None,
                Place::Metrics => lenient::number(sent, metric.rule),
                Place::Seed => {
                    let read = report.member(metric.name, |report| {
                        report.value(sent, |value| number::parse(value, metric.rule))
                    });
                    is_valid &= read.is_some();
                    read
                }
            }
        });
        is_valid.then_some(metrics)
    }

    fn schema() -> Value {
        json!({ "$ref": "#/components/schemas/Metrics" })
    }
}

/// The names of the metrics in the body itself.
pub fn in_body() -> impl Iterator<Item = &'static str> + Clone {
    names(|place| place == Place::Body)
}

/// Reads the metrics in the body itself.
pub fn read_body(members: &Members<'_>) -> Metrics {
    Metrics::from_fn(|metric| match metric.place {
        Place::Body => lenient::number(members.get(metric.name)?, metric.rule),
        Place::Seed | Place::Metrics => None,
    })
}

fn names(is_in: fn(Place) -> bool) -> impl Iterator<Item = &'static str> + Clone {
    let metrics = METRICS.iter().filter(move |metric| is_in(metric.place));
    metrics.map(|metric| metric.name)
}

/// A complete example of `metrics`, as JSON.
pub fn example() -> Value {
    Value::Object(each(|place| place != Place::Body, example_of))
}

/// Something about each metric in a place, by its name.
fn each(is_in: fn(Place) -> bool, about: impl Fn(&Metric) -> Value) -> Map<String, Value> {
    let metrics = METRICS.iter().filter(|metric| is_in(metric.place));
    let entries = metrics.map(|metric| (metric.name.to_owned(), about(metric)));
    entries.collect()
}

fn example_of(metric: &Metric) -> Value {
    match (metric.rule, metric.example) {
        (Rule::Flag, flag) => json!(flag.as_f64() > 0.0),
        (_, Number::Float(float)) => json!(float),
        (_, Number::Whole(whole)) => json!(whole),
    }
}

#[cfg(test)]
fn schema_of(metric: &Metric) -> Value {
    let mut schema = nullable(number::schema(metric.rule));
    schema["description"] = metric.description.into();
    schema["examples"] = json!([example_of(metric)]);
    schema
}

/// The JSON Schema to which [`Field::schema`] refers.
#[cfg(test)]
pub fn definition() -> Value {
    json!({
        "type": "object",
        "description": "One set of readings; every one is optional.",
        "properties": each(|place| place != Place::Body, schema_of),
        "required": [],
    })
}

/// Adds the metrics in the body itself to a complete example of the body, and to its JSON Schema.
#[cfg(test)]
pub fn add_to_body(example: &mut Value, schema: &mut Value) {
    let is_in_body = |place| place == Place::Body;
    for (object, added) in [
        (example, each(is_in_body, example_of)),
        (&mut schema["properties"], each(is_in_body, schema_of)),
    ] {
        object.as_object_mut().expect("an object").extend(added);
    }
}
