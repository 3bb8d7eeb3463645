//! Nothing acknowledged is lost: every fault below the SDK, on either write and on both.

use crate::support::app::{TestApp, event};
use dev::dynamodb::URL;
use dev::proxy::{Fault, Proxy, Write};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

use Fault::*;

const JSON: &str = "application/x-amz-json-1.0";

/// Every fault that passes, and what the agent is told when it strikes a write once: 200 where the SDK
/// repeats the write, 503 where it leaves that to the agent.
const PASSING: [(Fault, u16); 17] = [
    (ResetBeforeRequest, 200),
    (ResetMidRequest, 200),
    (ResetMidAnswer, 200),
    (LoseAnswer, 200),
    (Silence, 200),
    (Drip, 200),
    (Truncate, 503),
    (Answer(200, JSON, ""), 200),
    (Answer(400, JSON, ""), 200),
    (
        Answer(500, "text/html", "<h1>Internal Server Error</h1>"),
        200,
    ),
    (
        Answer(503, "text/html", "<h1>Service Unavailable</h1>"),
        200,
    ),
    (Refuse(500, "InternalServerError"), 200),
    (Refuse(400, "ThrottlingException"), 200),
    (Refuse(400, "ProvisionedThroughputExceededException"), 200),
    (Refuse(400, "RequestLimitExceeded"), 200),
    (Refuse(400, "TransactionConflictException"), 503),
    (Refuse(400, "ItemCollectionSizeLimitExceededException"), 503),
];

/// The code of every fault that stays.
const LASTING: [&str; 4] = [
    "ResourceNotFoundException",
    "AccessDeniedException",
    "UnrecognizedClientException",
    "ExpiredTokenException",
];

const SERVER_WRITE: &[Write] = &[Write::Server];
const METRICS_WRITE: &[Write] = &[Write::Metrics];
const BOTH_WRITES: &[Write] = &[Write::Server, Write::Metrics];
const TARGETS: [&[Write]; 3] = [SERVER_WRITE, METRICS_WRITE, BOTH_WRITES];

/// Impatience, for faults that show in the time they take.
const IMPATIENT: [(&str, &str); 3] = [
    ("CONNECT_TIMEOUT_MS", "700"),
    ("ATTEMPT_TIMEOUT_MS", "700"),
    ("OPERATION_TIMEOUT_MS", "2000"),
];

/// A function behind a proxy. Its region is its own, for the SDK's budget of repeats is the region's.
async fn start_behind(proxy: &Proxy, region: &str, settings: &[(&'static str, &str)]) -> TestApp {
    let behind = [
        ("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()),
        ("AWS_REGION", region),
    ];
    TestApp::start_with(&[&behind, settings].concat()).await
}

fn settings_for(fault: Fault) -> &'static [(&'static str, &'static str)] {
    if matches!(fault, Silence | Drip) {
        &IMPATIENT
    } else {
        &[]
    }
}

/// A heartbeat with metrics and an `Idempotency-Key`.
fn named() -> Value {
    event("every-field")
}

/// Whether both items are there; never more than one row.
async fn is_complete(app: &TestApp) -> bool {
    let rows = app.rows().await.len();
    assert!(rows <= 1, "{rows} rows");
    app.server().await.is_some() && rows == 1
}

/// One repeat of the heartbeat completes it, and tells that it registered the server. No other one does.
async fn assert_a_repeat_completes(app: &TestApp, context: &str) {
    let answer = app.send(&named()).await;
    assert_eq!(
        (answer.status, &answer.body["server_registered"]),
        (200, &json!(true)),
        "{context}"
    );
    assert!(is_complete(app).await, "{context}");
    let mut next = named();
    next["headers"]["idempotency-key"] = "next".into();
    let answer = app.send(&next).await;
    assert_eq!(answer.body["server_registered"], json!(false), "{context}");
}

// C5.2 C5.7 C6.1 C6.2: where the SDK's repeat succeeds the agent never knows, else its own repeat does.
#[tokio::test]
async fn a_fault_that_strikes_once_loses_nothing() {
    for (fault, told) in PASSING {
        join_all(TARGETS.map(|writes| async move {
            let context = format!("{fault:?}, {writes:?}");
            let proxy = Proxy::start(&URL);
            let app = start_behind(&proxy, &region(fault), settings_for(fault)).await;
            let mut left: HashSet<_> = writes.iter().copied().collect();
            proxy.rule(move |write| left.remove(&write).then_some(fault));

            let answer = app.send(&named()).await;
            assert_eq!(answer.status, told, "{context}");
            assert_eq!(proxy.struck(), writes.len(), "{context}");
            if told == 200 {
                assert_eq!(answer.body["server_registered"], json!(true), "{context}");
                assert!(is_complete(&app).await, "{context}");
            } else {
                assert!(answer.headers.contains_key("retry-after"), "{context}");
            }
            assert_a_repeat_completes(&app, &context).await;
        }))
        .await;
    }
}

// C6.2 C6.4: the agent is told in time, and a repeat after the fault completes the heartbeat.
#[tokio::test]
async fn a_fault_that_goes_on_is_told_in_time() {
    for (fault, _) in PASSING {
        join_all(TARGETS.map(|writes| async move {
            let context = format!("{fault:?}, {writes:?}");
            let proxy = Proxy::start(&URL);
            let app = start_behind(&proxy, &region(fault), settings_for(fault)).await;
            proxy.rule(move |write| writes.contains(&write).then_some(fault));

            assert_unavailable_in_time(&app, &context).await;
            assert!(proxy.struck() >= writes.len(), "{context}");
            proxy.heal();
            assert_a_repeat_completes(&app, &context).await;
        }))
        .await;
    }
}

async fn assert_unavailable_in_time(app: &TestApp, context: &str) {
    let started = Instant::now();
    let answer = app.send(&named()).await;
    assert_eq!(
        (answer.status, &answer.body["detail"]["code"]),
        (503, &json!("UNAVAILABLE")),
        "{context}"
    );
    assert!(answer.headers.contains_key("retry-after"), "{context}");
    // Far above the operation timeout, for a busy machine; far below for ever.
    assert!(started.elapsed() < Duration::from_secs(15), "{context}");
}

// C6.2: both writes, for a connection that is refused carries no request to tell them apart by.
#[tokio::test]
async fn refused_connections_are_told_and_a_repeat_completes() {
    let (proxy, refusing) = Proxy::start_refusing(&URL);
    let app = start_behind(&proxy, "refused", &[]).await;
    assert_unavailable_in_time(&app, "refused").await;
    assert!(!is_complete(&app).await);
    refusing.relent();
    assert_a_repeat_completes(&app, "refused").await;
}

// C6.3: no internals in the answer, the whole chain in the log, and a repeat once somebody has cured it.
#[tokio::test]
async fn a_fault_that_stays_is_internal() {
    for code in LASTING {
        let fault = Refuse(400, code);
        join_all(TARGETS.map(|writes| async move {
            let context = format!("{fault:?}, {writes:?}");
            let proxy = Proxy::start(&URL);
            let app = start_behind(&proxy, &region(fault), &[]).await;
            proxy.rule(move |write| writes.contains(&write).then_some(fault));

            let answer = app.send(&named()).await;
            let body =
                json!({ "code": "INTERNAL", "message": "The heartbeat could not be stored" });
            assert_eq!(
                (answer.status, &answer.body["detail"]),
                (500, &body),
                "{context}"
            );
            assert_eq!(proxy.struck(), writes.len(), "repeated: {context}");
            let log = app.log.take();
            let line = log.iter().find(|line| line["level"] == "ERROR").unwrap();
            let reason = line["reason"].as_str().unwrap();
            for cause in ["service error", code, "said by the proxy"] {
                assert!(reason.contains(cause), "{cause} is not in {reason}");
            }

            proxy.heal();
            assert_a_repeat_completes(&app, &context).await;
        }))
        .await;
    }
}

// C6.3: of two faults the one that a repeat cannot cure is told.
#[tokio::test]
async fn a_fault_that_stays_outweighs_one_that_passes() {
    for (server, metrics) in [
        (Refuse(400, LASTING[0]), Silence),
        (Silence, Refuse(400, LASTING[0])),
    ] {
        let proxy = Proxy::start(&URL);
        let app = start_behind(&proxy, "outweighs", &IMPATIENT).await;
        proxy.rule(move |write| {
            Some(if write == Write::Server {
                server
            } else {
                metrics
            })
        });
        assert_eq!(app.send(&named()).await.status, 500);
    }
}

// C5.9: no fault at all, but the proxy sees what the engine charges.
#[tokio::test]
async fn a_heartbeat_costs_two_write_units_and_no_read() {
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
async fn idle_connections_that_end_cost_at_most_one_attempt() {
    type End = fn(&Proxy);
    let endings: [(&str, End, bool); 2] = [
        ("with a FIN", Proxy::hang_up, false),
        ("without a FIN", Proxy::vanish, true),
    ];
    for (name, end, is_costly) in endings {
        let proxy = Proxy::start(&URL);
        let app = start_behind(&proxy, "idle", &IMPATIENT).await;
        for heartbeat in 0..4 {
            let mut event = named();
            event["headers"]["idempotency-key"] = format!("{heartbeat}").into();
            let lost_before = proxy.swallowed();
            assert_eq!(app.send(&event).await.status, 200, "{name}");
            assert!(proxy.swallowed() - lost_before <= 2, "{name}");
            end(&proxy);
        }
        assert_eq!(proxy.swallowed() > 0, is_costly, "{name}");
        assert_eq!(app.rows().await.len(), 4, "{name}");
    }
}

/// A region of the fault's own.
fn region(fault: Fault) -> String {
    let name = format!("{fault:?}").to_lowercase();
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}
