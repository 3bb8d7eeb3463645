//! What could not be sent is kept, and follows.

use crate::support::{Endpoint, Received, Step, status};
use dev::command::{stop, wait_until};
use serde_json::json;
use std::collections::HashSet;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// An agent that sends a heartbeat each second: a second stands for a minute.
fn start(endpoint: &Endpoint, arguments: &[&str]) -> Child {
    let mut agent = endpoint.agent();
    agent.args(["--interval", "1"]).args(arguments);
    agent.stderr(Stdio::piped()).spawn().unwrap()
}

fn is_backlog(heartbeat: &Received) -> bool {
    heartbeat.body.get("backlog") == Some(&json!(true))
}

/// Waits until this many heartbeats have been measured while the endpoint is away, and lets it come back. Returns the
/// attempts that failed.
fn be_away(endpoint: &Endpoint, heartbeats: usize) -> Vec<Received> {
    let measured = || {
        let received = endpoint.received();
        let keys = received
            .iter()
            .map(|heartbeat| heartbeat.idempotency_key.clone());
        keys.collect::<HashSet<_>>().len()
    };
    wait_until("heartbeats", || measured() > heartbeats);
    endpoint.is_down.store(false, Ordering::SeqCst);
    let received = endpoint.received();
    let last = received.last().unwrap().idempotency_key.clone();
    // The last one may still get through.
    let failed = received.into_iter();
    failed
        .filter(|heartbeat| heartbeat.idempotency_key != last)
        .collect()
}

fn start_while_away(arguments: &[&str], script: Vec<Step>) -> (Endpoint, Child) {
    let endpoint = Endpoint::start(script);
    endpoint.is_down.store(true, Ordering::SeqCst);
    let child = start(&endpoint, arguments);
    (endpoint, child)
}

fn kept(endpoint: &Endpoint) -> Vec<Received> {
    endpoint.received().into_iter().filter(is_backlog).collect()
}

/// The endpoint is away for ten minutes, of a second each. Then the live heartbeat comes first, and the backlog follows,
/// oldest first.
#[test]
fn a_backlog_follows_the_live_heartbeat() {
    let (endpoint, child) = start_while_away(&[], vec![]);
    let failed = be_away(&endpoint, 10);
    wait_until("the backlog", || kept(&endpoint).len() >= 10);
    stop(child);
    let first = endpoint.received().into_iter().nth(failed.len()).unwrap();
    assert!(!is_backlog(&first), "the live heartbeat comes first");
    let kept = kept(&endpoint);
    for (kept, next) in kept.iter().zip(&kept[1..]) {
        let taken = |heartbeat: &Received| heartbeat.body["timestamp"].as_str().unwrap().to_owned();
        assert!(taken(kept) < taken(next), "oldest first");
        let pause = next.at - kept.at;
        assert!(
            pause >= Duration::from_millis(490),
            "at most two per second: {pause:?}"
        );
        let original = failed
            .iter()
            .find(|failed| failed.idempotency_key == kept.idempotency_key);
        let mut body = original
            .expect("the id of the attempts that failed")
            .body
            .clone();
        body["backlog"] = true.into();
        assert_eq!(kept.body, body);
    }
    let keys: HashSet<_> = kept.iter().map(|kept| &kept.idempotency_key).collect();
    assert_eq!(keys.len(), kept.len(), "each is sent once");
}

#[test]
fn a_slow_backlog_does_not_delay_a_live_heartbeat() {
    let (endpoint, child) =
        start_while_away(&[], vec![Step::Wait(Duration::from_millis(300)); 500]);
    let failed = be_away(&endpoint, 4).len();
    let live = || {
        let received = endpoint.received().into_iter().skip(failed + 1);
        received
            .filter(|heartbeat| !is_backlog(heartbeat))
            .collect::<Vec<_>>()
    };
    wait_until("live heartbeats", || live().len() >= 6);
    stop(child);
    let live = live();
    for (heartbeat, next) in live.iter().zip(&live[1..]) {
        let pause = next.at - heartbeat.at;
        assert!(pause < Duration::from_millis(1500), "{pause:?}");
    }
    assert!(!kept(&endpoint).is_empty());
}

#[test]
fn a_heartbeat_of_the_backlog_is_dropped_if_it_is_rejected_and_sent_again_if_the_endpoint_is_busy()
{
    for (code, is_dropped) in [(422, true), (429, false), (500, false)] {
        let (endpoint, child) = start_while_away(&[], vec![]);
        *endpoint.backlog_step.lock().unwrap() = Some(status(code));
        be_away(&endpoint, 2);
        wait_until("the backlog", || !kept(&endpoint).is_empty());
        *endpoint.backlog_step.lock().unwrap() = None;
        wait_until("what follows", || kept(&endpoint).len() >= 2);
        stop(child);
        let kept = kept(&endpoint);
        let is_sent_again = kept[0].idempotency_key == kept[1].idempotency_key;
        assert_eq!(is_sent_again, !is_dropped, "{code}");
        if !is_dropped {
            let pause = kept[1].at - kept[0].at;
            assert!(pause >= Duration::from_millis(990), "{code}: {pause:?}");
        }
    }
}

#[test]
fn no_backlog_is_kept_on_request() {
    let (endpoint, child) = start_while_away(&["--backlog", "0"], vec![]);
    let failed = be_away(&endpoint, 3).len();
    wait_until("heartbeats", || endpoint.received().len() >= failed + 5);
    stop(child);
    assert!(kept(&endpoint).is_empty());
}
