use crate::support::app::{TestApp, event, text};
use chrono::{DateTime, TimeDelta, Utc};
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

use Fault::*;

const JSON: &str = "application/x-amz-json-1.0";

/// Every transient fault, and the status that the agent gets if it affects a write once: 200 if the SDK retries the
/// write, 503 if it leaves the retry to the agent.
const TRANSIENT: [(Fault, u16); 26] = [
    (ResetBeforeRequest, 200),
    (ResetMidRequest, 200),
    (ResetMidAnswer, 200),
    (LoseAnswer, 200),
    (NoResponse, 200),
    (Drip, 200),
    (Truncate, 503),
    (Garble, 503),
    (Answer(200, JSON, ""), 200),
    (Answer(400, JSON, ""), 200),
    (Answer(500, "text/html", "<h1>Internal Server Error</h1>"), 200),
    (Answer(503, "text/html", "<h1>Service Unavailable</h1>"), 200),
    (Reject(500, "InternalServerError"), 200),
    (Reject(400, "ThrottlingException"), 200),
    (Reject(400, "ProvisionedThroughputExceededException"), 200),
    (Reject(400, "RequestLimitExceeded"), 200),
    (Reject(400, "TransactionConflictException"), 503),
    (Reject(400, "ItemCollectionSizeLimitExceededException"), 503),
    (Reject(400, "LimitExceededException"), 200),
    (Reject(400, "RequestTimeout"), 200),
    (Reject(400, "ExpiredTokenException"), 503),
    (Reject(400, "InvalidSignatureException"), 200),
    (Reject(400, "SignatureDoesNotMatch"), 200),
    (Reject(400, "RequestExpired"), 200),
    (Reject(400, "RequestTimeTooSkewed"), 200),
    (Reject(400, "ReplicatedWriteConflictException"), 200),
];

/// The error codes of the permanent faults.
const PERMANENT: [&str; 4] = [
    "ResourceNotFoundException",
    "AccessDeniedException",
    "UnrecognizedClientException",
    "ValidationException",
];

const SERVER_WRITE: &[Call] = &[Call::Server];
const METRICS_WRITE: &[Call] = &[Call::Metrics];
const BOTH_WRITES: &[Call] = &[Call::Server, Call::Metrics];
const TARGETS: [&[Call]; 3] = [SERVER_WRITE, METRICS_WRITE, BOTH_WRITES];

/// Short timeouts, for faults that only take time.
const SHORT_TIMEOUTS: [(&str, &str); 3] = [
    ("CONNECT_TIMEOUT_MS", "700"),
    ("ATTEMPT_TIMEOUT_MS", "700"),
    ("OPERATION_TIMEOUT_MS", "2000"),
];

/// A function behind a proxy. It has a region of its own, because the SDK shares its retry budget within a region.
async fn start_behind(proxy: &Proxy, region: &str, settings: &[(&'static str, &str)]) -> TestApp {
    let behind = [("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()), ("AWS_REGION", region)];
    TestApp::start_with(&[&behind, settings].concat()).await
}

fn settings_for(fault: Fault) -> &'static [(&'static str, &'static str)] {
    if matches!(fault, NoResponse | Drip) { &SHORT_TIMEOUTS } else { &[] }
}

/// A heartbeat with metrics and an `Idempotency-Key`.
fn idempotent_heartbeat() -> Value {
    event("every-field")
}

/// Returns whether both items are stored. Panics if there is more than one row.
async fn is_complete(app: &TestApp) -> bool {
    let rows = app.rows().await.len();
    assert!(rows <= 1, "{rows} rows of one heartbeat");
    app.server().await.is_some() && rows == 1
}

/// Checks that one retry completes the heartbeat and reports the registration, and that the next heartbeat does not
/// report it.
async fn assert_retry_completes(app: &TestApp, context: &str) {
    let answer = app.send(&idempotent_heartbeat()).await;
    assert_eq!(
        (answer.status, &answer.body["server_registered"]),
        (200, &json!(true)),
        "{context}"
    );
    assert!(is_complete(app).await, "{context}");
    let mut next = idempotent_heartbeat();
    next["headers"]["idempotency-key"] = "next".into();
    let answer = app.send(&next).await;
    assert_eq!(answer.body["server_registered"], json!(false), "{context}");
}

/// Checks every transient fault in every target, several at once, because most of the checks only wait.
async fn for_each_fault(check: impl AsyncFn(Fault, u16, &'static [Call])) {
    let cases = TRANSIENT
        .into_iter()
        .flat_map(|(fault, status)| TARGETS.map(|writes| (fault, status, writes)));
    stream::iter(cases)
        .for_each_concurrent(9, |(fault, status, writes)| check(fault, status, writes))
        .await;
}

// C5.2 C5.7 C6.1 C6.2: either the SDK's retry succeeds and the agent notices nothing, or the agent's retry succeeds.
#[tokio::test]
async fn a_fault_that_occurs_once_loses_nothing() {
    for_each_fault(async |fault, status, writes| {
        let context = format!("{fault:?}, {writes:?}");
        let proxy = Proxy::start(&URL);
        let app = start_behind(&proxy, &region(fault), settings_for(fault)).await;
        let mut left: HashSet<_> = writes.iter().copied().collect();
        proxy.rule(move |write| left.remove(&write).then_some(fault));

        let answer = app.send(&idempotent_heartbeat()).await;
        assert_eq!(answer.status, status, "{context}");
        assert_eq!(proxy.struck(), writes.len(), "{context}");
        if status == 200 {
            assert_eq!(answer.body["server_registered"], json!(true), "{context}");
            assert!(is_complete(&app).await, "{context}");
        } else {
            assert!(answer.headers.contains_key("retry-after"), "{context}");
        }
        assert_retry_completes(&app, &context).await;
    })
    .await;
}

// C6.2 C6.4 C7: the answer is sent in time, every warning and error in the log names its request, and a retry after
// the fault completes the heartbeat.
#[tokio::test]
async fn an_ongoing_transient_fault_is_answered_in_time() {
    for_each_fault(async |fault, _, writes| {
        let context = format!("{fault:?}, {writes:?}");
        let proxy = Proxy::start(&URL);
        let app = start_behind(&proxy, &region(fault), settings_for(fault)).await;
        proxy.rule(move |write| writes.contains(&write).then_some(fault));

        assert_unavailable_in_time(&app, &context).await;
        assert!(proxy.struck() >= writes.len(), "{context}");
        for line in app.log.take() {
            let is_warning_or_error = line["level"] == "WARN" || line["level"] == "ERROR";
            assert!(!is_warning_or_error || line["request_id"].is_string(), "{line}");
        }
        proxy.heal();
        assert_retry_completes(&app, &context).await;
    })
    .await;
}

async fn assert_unavailable_in_time(app: &TestApp, context: &str) {
    let started = Instant::now();
    let answer = app.send(&idempotent_heartbeat()).await;
    assert_eq!(
        (answer.status, &answer.body["detail"]["code"]),
        (503, &json!("UNAVAILABLE")),
        "{context}"
    );
    assert!(answer.headers.contains_key("retry-after"), "{context}");
    // Far above the operation timeout, so that a busy machine passes, and still far from waiting forever.
    assert!(started.elapsed() < Duration::from_secs(15), "{context}");
}

// C6.2: this affects both writes, because a rejected connection carries no request that would tell them apart.
#[tokio::test]
async fn rejected_connections_are_answered_with_503_and_a_retry_completes_the_heartbeat() {
    let (proxy, closed) = Proxy::start_closed(&URL);
    let app = start_behind(&proxy, "closed", &[]).await;
    assert_unavailable_in_time(&app, "closed").await;
    assert!(!is_complete(&app).await);
    closed.listen();
    assert_retry_completes(&app, "closed").await;
}

// C6.3: the answer contains no internals, the log contains the whole chain of causes, and a retry completes the
// heartbeat once the fault is gone.
#[tokio::test]
async fn a_permanent_fault_is_reported_as_internal() {
    for code in PERMANENT {
        let fault = Reject(400, code);
        join_all(TARGETS.map(|writes| async move {
            let context = format!("{fault:?}, {writes:?}");
            let proxy = Proxy::start(&URL);
            let app = start_behind(&proxy, &region(fault), &[]).await;
            proxy.rule(move |write| writes.contains(&write).then_some(fault));

            let answer = app.send(&idempotent_heartbeat()).await;
            let body =
                json!({ "code": "INTERNAL", "message": "The heartbeat could not be stored" });
            assert_eq!((answer.status, &answer.body["detail"]), (500, &body), "{context}");
            assert_eq!(proxy.struck(), writes.len(), "retried: {context}");
            let log = app.log.take();
            let line = log.iter().find(|line| line["level"] == "ERROR").unwrap();
            let reason = line["reason"].as_str().unwrap();
            for cause in ["service error", code, "said by the proxy"] {
                assert!(reason.contains(cause), "{cause} is not in {reason}");
            }

            proxy.heal();
            assert_retry_completes(&app, &context).await;
        }))
        .await;
    }
}

// C6.3: if one write meets a transient fault and the other a permanent one, the permanent one decides.
#[tokio::test]
async fn a_permanent_fault_outweighs_a_transient_one() {
    for (server, metrics) in
        [(Reject(400, PERMANENT[0]), NoResponse), (NoResponse, Reject(400, PERMANENT[0]))]
    {
        let proxy = Proxy::start(&URL);
        let app = start_behind(&proxy, "outweighs", &SHORT_TIMEOUTS).await;
        proxy.rule(move |write| Some(if write == Call::Server { server } else { metrics }));
        assert_eq!(app.send(&idempotent_heartbeat()).await.status, 500);
    }
}

// C5.9: there is no fault here; the proxy is used to see what DynamoDB charges.
#[tokio::test]
async fn a_heartbeat_costs_two_write_units_and_no_read_unit() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "bill", &[]).await;
    for heartbeats in 1..=3 {
        assert_eq!(app.send(&event("heartbeat")).await.status, 200);
        let mut expected = vec![("PutItem".to_owned(), 1.0); heartbeats];
        expected.extend(vec![("UpdateItem".to_owned(), 1.0); heartbeats]);
        assert_eq!(proxy.bill(), expected);
    }
}

// C6.1: connections that died while the function was frozen cost each write at most one attempt.
#[tokio::test]
async fn dead_idle_connections_cost_at_most_one_attempt() {
    type Disconnect = fn(&Proxy);
    let disconnections: [(&str, Disconnect, bool); 2] =
        [("with a FIN", Proxy::hang_up, false), ("without a FIN", Proxy::vanish, true)];
    for (name, disconnect, is_costly) in disconnections {
        let proxy = Proxy::start(&URL);
        let app = start_behind(&proxy, "idle", &SHORT_TIMEOUTS).await;
        for heartbeat in 0..4 {
            let mut event = idempotent_heartbeat();
            event["headers"]["idempotency-key"] = format!("{heartbeat}").into();
            let swallowed_before = proxy.swallowed();
            assert_eq!(app.send(&event).await.status, 200, "{name}");
            assert!(proxy.swallowed() - swallowed_before <= 2, "{name}");
            disconnect(&proxy);
        }
        assert_eq!(proxy.swallowed() > 0, is_costly, "{name}");
        assert_eq!(app.rows().await.len(), 4, "{name}");
    }
}

/// The operations of a heartbeat, sorted, and the number of connections that they used.
fn operations(requests: &[(String, usize)]) -> (Vec<&str>, usize) {
    let mut operations: Vec<_> = requests.iter().map(|(name, _)| name.as_str()).collect();
    operations.sort_unstable();
    let connections: HashSet<_> = requests.iter().map(|(_, number)| number).collect();
    (operations, connections.len())
}

// C6.1 C6.6: a wrong clock costs each write one attempt, once.
#[tokio::test]
async fn a_wrong_clock_loses_no_heartbeat() {
    const MINUTE: i64 = 60;
    const ONE_EACH: [&str; 2] = ["PutItem", "UpdateItem"];
    const TWO_EACH: [&str; 4] = ["PutItem", "PutItem", "UpdateItem", "UpdateItem"];
    for offset in [10 * MINUTE, -10 * MINUTE, 120 * MINUTE] {
        for starts_wrong in [true, false] {
            let context = format!("{offset} s, from the start: {starts_wrong}");
            let proxy = Proxy::start(&URL);
            let app = start_behind(&proxy, &format!("clock{offset}{starts_wrong}"), &[]).await;
            if !starts_wrong {
                assert_eq!(app.send(&event("heartbeat")).await.status, 200, "{context}");
            }
            proxy.take_requests();
            // The clock becomes wrong, and then right again.
            for offset in [offset, 0] {
                proxy.set_clock(offset);
                for expected in [&TWO_EACH[..], &ONE_EACH[..]] {
                    let answer = app.send(&event("heartbeat")).await;
                    assert_eq!(answer.status, 200, "{context}");
                    let requests = proxy.take_requests();
                    assert_eq!(operations(&requests).0, expected, "{context}");
                }
            }
            // Stored times come from the function's own clock.
            let stored = text(&app.server().await.unwrap()["last_seen"]);
            let stored: DateTime<Utc> = stored.parse().unwrap();
            let difference = (Utc::now() - stored).abs();
            assert!(difference < TimeDelta::minutes(5), "{context}: {stored}");
        }
    }
}

// C6.2: the SDK closes a connection after a 5xx response.
#[tokio::test]
async fn a_retry_after_a_5xx_uses_another_connection() {
    for fault in [
        Reject(500, "InternalServerError"),
        Answer(503, "text/html", "<h1>Service Unavailable</h1>"),
        Answer(500, JSON, ""),
    ] {
        let proxy = Proxy::start(&URL);
        let app = start_behind(&proxy, &format!("closes{}", region(fault)), &[]).await;
        let mut has_failed = false;
        proxy.rule(move |write| {
            let fails = write == Call::Server && !has_failed;
            has_failed |= fails;
            fails.then_some(fault)
        });
        assert_eq!(app.send(&idempotent_heartbeat()).await.status, 200, "{fault:?}");
        let requests = proxy.take_requests();
        let expected = (vec!["PutItem", "UpdateItem", "UpdateItem"], 3);
        assert_eq!(operations(&requests), expected, "{fault:?}");
    }
}

// C6.2: if both writes fail, the log contains both faults.
#[tokio::test]
async fn both_faults_are_logged() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "both", &[]).await;
    proxy.rule(|write| match write {
        Call::Server => Some(Reject(400, "AccessDeniedException")),
        Call::Metrics => Some(Reject(400, "TransactionConflictException")),
        Call::Key | Call::Scan => None,
    });
    assert_eq!(app.send(&idempotent_heartbeat()).await.status, 500);
    let log = app.log.take();
    let line = log.iter().find(|line| line["level"] == "ERROR").unwrap();
    let reason = line["reason"].as_str().unwrap();
    for code in ["AccessDeniedException", "TransactionConflictException"] {
        assert!(reason.contains(code), "{code} is not in {reason}");
    }
}

// C6.1: the warm-up leaves one open connection for each table, and the first heartbeat opens none.
#[tokio::test]
async fn the_first_heartbeat_uses_the_connections_of_the_warm_up() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "warm", &[]).await;
    assert_eq!(proxy.connections(), 2);
    assert_eq!(app.send(&event("heartbeat")).await.status, 200);
    assert_eq!(proxy.connections(), 2);
    assert_eq!(app.log.take().iter().filter(|line| line["level"] == "WARN").count(), 0);
}

// C6.1: without DynamoDB the function still starts, and logs one warning.
#[tokio::test]
async fn a_failed_warm_up_is_logged_as_a_warning() {
    let (closed, socket) = Proxy::start_closed(&URL);
    let silent = Proxy::start(&URL);
    silent.swallow_unnamed_requests();
    for proxy in [&closed, &silent] {
        let app = start_behind(proxy, "cold", &SHORT_TIMEOUTS).await;
        let log = app.log.take();
        let [line] = log.as_slice() else { panic!("{log:?}") };
        assert_eq!(line["level"], "WARN", "{line}");
        assert_eq!(line["message"], "no connection to DynamoDB yet", "{line}");
        assert!(!line["reason"].as_str().unwrap().is_empty(), "{line}");
    }
    socket.listen();
    let app = start_behind(&silent, "cold", &SHORT_TIMEOUTS).await;
    assert_eq!(app.send(&idempotent_heartbeat()).await.status, 200);
}

// C5.9: the two writes of a heartbeat never share a connection, and each keeps its own.
#[tokio::test]
async fn each_table_has_its_own_connection() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "own", &[]).await;
    for _ in 0..5 {
        assert_eq!(app.send(&event("heartbeat")).await.status, 200);
    }
    let connections: HashSet<_> = proxy.take_requests().into_iter().collect();
    assert_eq!(connections.len(), 2, "{connections:?}");
}

/// A region that only this fault uses.
fn region(fault: Fault) -> String {
    let name = format!("{fault:?}").to_lowercase();
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}
