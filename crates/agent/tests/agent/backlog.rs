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
        let keys = received.iter().map(|heartbeat| heartbeat.idempotency_key.clone());
        keys.collect::<HashSet<_>>().len()
    };
    wait_until("heartbeats", || measured() > heartbeats);
    endpoint.is_down.store(false, Ordering::SeqCst);
    let received = endpoint.received();
    let last = received.last().unwrap().idempotency_key.clone();
    // The last one may still get through.
    let failed = received.into_iter();
    failed.filter(|heartbeat| heartbeat.idempotency_key != last).collect()
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
        assert!(pause >= Duration::from_millis(490), "at most two per second: {pause:?}");
        let original = failed.iter().find(|failed| failed.idempotency_key == kept.idempotency_key);
        let mut body = original.expect("the id of the attempts that failed").body.clone();
        body["backlog"] = true.into();
        // Only what a row has is of a moment that has passed.
        for present in ["agent_version", "boot_id", "server_guid", "services"] {
            body.as_object_mut().unwrap().remove(present);
        }
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
        received.filter(|heartbeat| !is_backlog(heartbeat)).collect::<Vec<_>>()
    };
    wait_until("live heartbeats", || live().len() >= 6);
    stop(child);
    let live = live();
    for (heartbeat, next) in live.iter().zip(&live[1..]) {
        let pause = next.at - heartbeat.at;
        // A heartbeat of the backlog that has begun may delay it by 0.3 s; all of the backlog would by 2.7 s at least.
        assert!(pause < Duration::from_millis(2500), "{pause:?}");
    }
    assert!(!kept(&endpoint).is_empty());
}

/// The live heartbeats that were accepted at the first attempt between two requests.
fn live_between(received: &[Received], from: usize, to: usize) -> usize {
    let between = received[from + 1..to].iter();
    between.filter(|heartbeat| !is_backlog(heartbeat)).count()
}

// After 429, or any other failure, the next live heartbeat tells whether there is room again.
#[test]
fn a_heartbeat_of_the_backlog_is_dropped_if_it_is_rejected_and_waits_for_the_next_live_one_otherwise()
 {
    let cases = [(413, true), (415, true), (422, true), (401, false), (429, false), (500, false)];
    let started = cases.map(|(code, is_dropped)| {
        let (endpoint, child) = start_while_away(&[], vec![]);
        *endpoint.backlog_step.lock().unwrap() = Some(status(code));
        (code, is_dropped, endpoint, child)
    });
    for (code, is_dropped, endpoint, child) in started {
        be_away(&endpoint, 2);
        wait_until("the backlog", || !kept(&endpoint).is_empty());
        *endpoint.backlog_step.lock().unwrap() = None;
        wait_until("what follows", || kept(&endpoint).len() >= 2);
        stop(child);
        let received = endpoint.received();
        let mut positions = (0..received.len()).filter(|index| is_backlog(&received[*index]));
        let (first, second) = (positions.next().unwrap(), positions.next().unwrap());
        let is_sent_again = received[first].idempotency_key == received[second].idempotency_key;
        assert_eq!(is_sent_again, !is_dropped, "{code}");
        if !is_dropped {
            assert!(live_between(&received, first, second) >= 1, "{code}");
        }
    }
}

// A live heartbeat that needed a second attempt says that there is no room for a backlog.
#[test]
fn a_backlog_waits_until_a_live_heartbeat_is_accepted_at_its_first_attempt() {
    let endpoint = Endpoint::start(vec![]);
    endpoint.is_down.store(true, Ordering::SeqCst);
    let mut agent = endpoint.agent();
    agent.args(["--interval", "3"]).stderr(Stdio::null());
    let child = agent.spawn().unwrap();
    let attempts = || endpoint.received().len();
    wait_until("the second heartbeat", || {
        let received = endpoint.received();
        let keys: HashSet<_> = received.iter().map(|one| &one.idempotency_key).collect();
        keys.len() >= 2
    });
    // This one is accepted at its second attempt or later, unless that is later than the next one is due.
    endpoint.is_down.store(false, Ordering::SeqCst);
    let failed = attempts();
    wait_until("the backlog", || !kept(&endpoint).is_empty());
    stop(child);
    let received = endpoint.received();
    let first = received.iter().position(is_backlog).unwrap();
    let live = received[first - 1].idempotency_key.clone();
    let attempts_of_it = received.iter().filter(|one| one.idempotency_key == live).count();
    assert_eq!(attempts_of_it, 1);
    let last_failed = &received[failed - 1].idempotency_key;
    assert_ne!(live, *last_failed, "it needed another attempt");
}

// Whoever put the wrong key into a file, or deploys the stack anew, loses nothing by it.
#[test]
fn an_answer_that_is_not_about_this_heartbeat_keeps_it() {
    let codes = [204, 302, 400, 401, 403, 404, 405, 408, 410];
    let started = codes.map(|code| {
        let endpoint = Endpoint::start(vec![status(code)]);
        let child = start(&endpoint, &[]);
        (code, endpoint, child)
    });
    for (code, endpoint, child) in started {
        wait_until("the backlog", || !kept(&endpoint).is_empty());
        stop(child);
        let received = endpoint.received();
        let first = &received[0].idempotency_key;
        let position = received.iter().skip(1).position(|one| one.idempotency_key == *first);
        let again = &received[position.unwrap() + 1];
        assert!(is_backlog(again), "{code}: no other attempt in that minute");
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
