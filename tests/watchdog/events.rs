//! C12: what was announced is kept.

use crate::support::topic::Behavior;
use crate::support::{Item, OWN_METRICS, TestWatchdog, at, lines, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::TimeDelta;
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use serde_json::Value;

async fn events(watchdog: &TestWatchdog) -> Vec<Item> {
    let query = watchdog.tables.client.query();
    let found = query
        .table_name(&watchdog.tables.metrics)
        .key_condition_expression("server_id = :events")
        .expression_attribute_values(":events", text("#events"))
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
    let watchdog = TestWatchdog::start_with(&settings).await;
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
