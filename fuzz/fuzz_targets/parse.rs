//! Parses any bytes as a body: it must not panic, and accepted values must be within the limits of DynamoDB and the
//! contract.

#![no_main]

use heartbeat::endpoint::{FieldError, Heartbeat, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    match parse(body) {
        Ok(heartbeat) => check(&heartbeat),
        Err(errors) => check_errors(&errors),
    }
});

fn check(heartbeat: &Heartbeat) {
    assert!((1..=100).contains(&heartbeat.server_id.as_str().len()));
    assert!((1..=255).contains(&heartbeat.hostname.as_str().chars().count()));
    let metrics = heartbeat.metrics.iter().flat_map(|metrics| metrics.iter());
    for (metric, value) in metrics {
        let name = metric.name;
        let number: f64 = value.to_string().parse().expect("a decimal");
        assert!(number == 0.0 || (1e-130..=9.9e125).contains(&number.abs()), "{name}: {number}");
    }
    let disks = heartbeat.filesystems.0.iter().flatten();
    let mounts = disks.map(|disk| (&disk.mount, 64));
    let services = heartbeat.services.0.iter();
    let services = services.flat_map(|services| &services.not_running);
    let reasons = services.clone().filter_map(|service| service.reason.as_ref());
    assert!(reasons.clone().all(|reason| (1..=80).contains(&reason.len())));
    assert!(reasons.map(String::len).sum::<usize>() <= 200);
    let names = services.map(|service| (&service.name, 40));
    for (name, max) in mounts.chain(names) {
        assert!((1..=max).contains(&name.chars().count()), "{name}");
    }
    assert_eq!(heartbeat.fingerprint().len(), 8);
}

fn check_errors(errors: &[FieldError]) {
    assert!(!errors.is_empty());
    for error in errors {
        assert_eq!(error.loc[0], "body");
    }
}
