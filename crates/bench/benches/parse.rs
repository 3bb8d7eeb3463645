//! Parsing and validating a body, and nothing else.

use divan::Bencher;
use heartbeat::endpoint::parse;
use serde_json::Value;

const EVENT: &str = include_str!("../../../events/heartbeat.json");

fn main() {
    divan::main();
}

#[divan::bench]
fn heartbeat(bencher: Bencher) {
    let event: Value = serde_json::from_str(EVENT).expect("the event is JSON");
    let body = event["body"].as_str().expect("the event has a body");
    bencher.bench(|| parse(divan::black_box(body.as_bytes())));
}
