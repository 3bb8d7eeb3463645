//! C12: what was announced is kept.

use crate::support::topic::Behavior;
use crate::support::{Item, OWN_METRICS, TestWatchdog, at, lines, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::TimeDelta;
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use serde_json::{Value, json};
use std::time::Duration;

async fn events(watchdog: &TestWatchdog) -> Vec<Item> {
    events_under(watchdog, "#events").await
}

async fn events_under(watchdog: &TestWatchdog, id: &str) -> Vec<Item> {
    let query = watchdog.tables.client.query();
    let found = query
        .table_name(&watchdog.tables.metrics)
        .key_condition_expression("server_id = :events")
        .expression_attribute_values(":events", text(id))
        .send();
    found.await.unwrap().items.unwrap()
}

// C12
#[tokio::test]
async fn each_message_is_an_item_that_expires() {
    let settings = [
        ("METRICS_TABLE", OWN_METRICS),
        ("METRICS_RETENTION_DAYS", "7"),
        ("DIGEST_AT", "10:30/always"),
    ];
    let watchdog = TestWatchdog::scheduled(&settings).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(10).await.unwrap();
    assert_eq!(watchdog.topic.take()[0].kinds, ["digest"]);
    assert_eq!(events(&watchdog).await, [], "a digest is no event");
    watchdog.sweep(181).await.unwrap();
    let message = watchdog.topic.take().pop().unwrap();
    let [event] = &events(&watchdog).await[..] else { panic!("expected one event") };
    assert_eq!(event["recorded_at"], text(&stored(181)));
    let said: Value = serde_json::from_str(event["said"].as_s().unwrap()).unwrap();
    assert_eq!(said, message.default);
    let expires_at = (at(181) + TimeDelta::days(7)).timestamp().to_string();
    assert_eq!(event["expires_at"], AttributeValue::N(expires_at));
    assert_eq!(event.len(), 4);
    watchdog.sweep(241).await.unwrap();
    assert_eq!(events(&watchdog).await.len(), 1);
}

// C12: what was not published is no event.
#[tokio::test]
async fn a_message_that_the_topic_did_not_take_is_no_event() {
    let watchdog = TestWatchdog::start_with(&[("METRICS_TABLE", OWN_METRICS)]).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.topic.set_behavior(Behavior::Rejects);
    watchdog.sweep(181).await.unwrap_err();
    assert_eq!(events(&watchdog).await, []);
}

// C12: nothing is announced twice because of it.
#[tokio::test]
async fn an_event_that_cannot_be_written_fails_the_sweep_at_its_end() {
    let proxy = Proxy::start(&URL);
    let settings = [("METRICS_TABLE", OWN_METRICS), ("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)];
    let watchdog = TestWatchdog::start_with(&settings).await;
    watchdog.heartbeat("web-1", 0).await;
    proxy.rule(|call| {
        (call == Call::Metrics).then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(181).await.unwrap_err();
    let log = watchdog.log();
    assert_eq!(lines(&log, "event not written")[0]["level"], "ERROR");
    assert_eq!(watchdog.topic.take().len(), 1);
    proxy.heal();
    watchdog.sweep(241).await.unwrap();
    assert_eq!(watchdog.topic.take(), []);
}

// C12
#[tokio::test]
async fn what_was_said_of_a_server_is_an_item_of_its_own() {
    let settings =
        [("METRICS_TABLE", OWN_METRICS), ("METRICS_RETENTION_DAYS", "7"), ("HOLD_SECONDS", "0")];
    let watchdog = TestWatchdog::start_with(&settings).await;
    let ids: Vec<_> = (0..60).map(|number| format!("web-{number}")).collect();
    for id in &ids {
        watchdog.heartbeat(id, 0).await;
    }
    watchdog.sweep(60).await.unwrap();
    assert_eq!(watchdog.own("events_since").await, None, "nothing was said");
    watchdog.sweep(181).await.unwrap();
    let [event] = &events(&watchdog).await[..] else { panic!("expected one event") };
    let whole: Value = serde_json::from_str(event["said"].as_s().unwrap()).unwrap();
    for id in &ids {
        let [own] = &events_under(&watchdog, &format!("#events:{id}")).await[..] else {
            panic!("expected one event of {id}")
        };
        assert_eq!(own["recorded_at"], event["recorded_at"]);
        // C15.6: as long as days, which is 400 of them.
        let expires_at = (at(181) + TimeDelta::days(400)).timestamp().to_string();
        assert_eq!(own["expires_at"], AttributeValue::N(expires_at));
        assert_eq!(own.len(), 4);
        let said: Value = serde_json::from_str(own["said"].as_s().unwrap()).unwrap();
        let mut expected = whole.clone();
        let is_own = |absence: &Value| absence["server_id"] == **id;
        expected["offline"].as_array_mut().unwrap().retain(is_own);
        assert_eq!(said, expected);
        assert_eq!(said["offline"].as_array().unwrap().len(), 1);
    }
    assert_eq!(watchdog.own("events_since").await, Some(stored(181)));
    watchdog.heartbeat("web-7", 200).await;
    watchdog.sweep(241).await.unwrap();
    assert_eq!(watchdog.own("events_since").await, Some(stored(181)));
    assert_eq!(events_under(&watchdog, "#events:web-7").await.len(), 2);
    assert_eq!(events_under(&watchdog, "#events:web-8").await.len(), 1);
}

/// A watchdog behind a proxy, where a server is about to be late.
async fn start_behind(proxy: &Proxy) -> TestWatchdog {
    let settings = [("METRICS_TABLE", OWN_METRICS), ("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)];
    let watchdog = TestWatchdog::start_with(&settings).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog
}

/// Lets the event of the whole message pass, then this happens to so many batches.
fn strike_batches(proxy: &Proxy, fault: Fault, mut times: usize) {
    let mut is_batch = false;
    proxy.rule(move |call| {
        if call != Call::Metrics || !std::mem::replace(&mut is_batch, true) || times == 0 {
            return None;
        }
        times -= 1;
        Some(fault)
    });
}

/// DynamoDB's response to a batch of which it wrote nothing.
fn nothing_written(watchdog: &TestWatchdog) -> Fault {
    let key = json!({ "server_id": { "S": "#events:web-1" }, "recorded_at": { "S": stored(181) } });
    let put = json!([{ "PutRequest": { "Item": key } }]);
    let response = json!({ "UnprocessedItems": { &watchdog.tables.metrics: put } }).to_string();
    Fault::Answer(200, "application/x-amz-json-1.0", response.leak())
}

// C12
#[tokio::test]
async fn what_a_batch_left_out_is_sent_again() {
    let proxy = Proxy::start(&URL);
    let watchdog = start_behind(&proxy).await;
    strike_batches(&proxy, nothing_written(&watchdog), 2);
    watchdog.sweep(181).await.unwrap();
    assert_eq!(proxy.struck(), 2);
    assert_eq!(events_under(&watchdog, "#events:web-1").await.len(), 1);
    assert_eq!(watchdog.own("events_since").await, Some(stored(181)));
}

// C12: at most once, within the time left, and nothing is announced twice because of it.
#[tokio::test]
async fn a_batch_that_cannot_be_written_fails_the_sweep_at_its_end() {
    let proxy = Proxy::start(&URL);
    for left_out in [true, false] {
        let watchdog = start_behind(&proxy).await;
        let fault = match left_out {
            true => nothing_written(&watchdog),
            false => Fault::Reject(400, "AccessDeniedException"),
        };
        strike_batches(&proxy, fault, usize::MAX);
        watchdog.set_own("swept_at", 121).await;
        watchdog.sweep_within(181, Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(lines(&watchdog.log(), "event not written")[0]["level"], "ERROR");
        assert_eq!(watchdog.topic.take().len(), 1);
        assert_eq!(events(&watchdog).await.len(), 1);
        assert_eq!(watchdog.own("events_since").await, None);
        proxy.heal();
        watchdog.sweep(241).await.unwrap();
        assert_eq!(watchdog.topic.take(), []);
        assert_eq!(events_under(&watchdog, "#events:web-1").await, []);
    }
}
