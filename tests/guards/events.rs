//! The sample events.

use serde_json::{Map, Value, json};
use tables::metric::{Place, Rule};
use tables::{METRICS, Number};

#[test]
fn every_field_has_the_example_of_every_metric() {
    let event: Value = serde_json::from_str(include_str!("../../events/every-field.json")).unwrap();
    let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    let mut metrics = Map::new();
    for metric in &METRICS {
        let example = match (metric.rule, metric.example) {
            (Rule::Flag, flag) => json!(flag.as_f64() > 0.0),
            (_, Number::Float(float)) => json!(float),
            (_, Number::Whole(whole)) => json!(whole),
        };
        match metric.place {
            Place::Body => assert_eq!(body[metric.name], example, "{}", metric.name),
            Place::Seed | Place::Metrics => drop(metrics.insert(metric.name.to_owned(), example)),
        }
    }
    assert_eq!(body["metrics"], Value::Object(metrics));
}
