//! Parsing and validating a body, and nothing else.

use divan::Bencher;
use heartbeat::endpoint::parse;
use serde_json::Value;

const EVENTS: [(&str, &str); 3] = [
    ("heartbeat", include_str!("../../../events/heartbeat.json")),
    ("every-field", include_str!("../../../events/every-field.json")),
    ("homelabcmd", include_str!("../../../events/homelabcmd.json")),
];

fn main() {
    divan::main();
}

#[divan::bench(args = EVENTS.map(|(name, _)| name))]
fn body(bencher: Bencher, name: &str) {
    let event = EVENTS.iter().find(|(known, _)| *known == name);
    let (_, event) = event.expect("an event of this name");
    let event: Value = serde_json::from_str(event).expect("the event is JSON");
    let body = event["body"].as_str().expect("the event has a body");
    bencher.bench(|| parse(divan::black_box(body.as_bytes())));
}
