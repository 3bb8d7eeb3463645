//! The sample events.

use serde_json::{Value, json};
use tables::{METRICS, Number};

#[test]
fn every_field_has_the_example_of_every_metric() {
    let event: Value = serde_json::from_str(include_str!("../../events/every-field.json")).unwrap();
    let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    let examples = METRICS.iter().map(|metric| {
        let example = match metric.example {
            Number::Float(float) => json!(float),
            Number::Whole(whole) => json!(whole),
        };
        (metric.name.to_owned(), example)
    });
    assert_eq!(body["metrics"], Value::Object(examples.collect()));
}
