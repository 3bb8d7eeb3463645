use crate::support::app::{
    KEY, SERVER, TestApp, config, event, minimal, settings_for, with, with_header, with_key,
};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use dev::tables::text;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use heartbeat::aws;
use heartbeat::endpoint::auth::{Auth, AuthError, EnvironmentKeys, TableKeys};
use ring::digest::{SHA256, digest};
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tables::ServerId;

/// A key in the table's format, a different one for each number.
fn key(number: u32) -> String {
    format!("hb_{number:043}")
}

fn digest_of(key: &str) -> String {
    hex::encode(digest(&SHA256, key.as_bytes()))
}

fn seconds(time: DateTime<Utc>) -> AttributeValue {
    AttributeValue::N(time.timestamp().to_string())
}

/// Stores a key with these attributes.
async fn store(app: &TestApp, key: &str, attributes: &[(&str, AttributeValue)]) {
    let attributes = attributes.iter();
    let mut item: HashMap<_, _> =
        attributes.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    item.insert("key_sha256".into(), text(&digest_of(key)));
    let put = app.tables.client.put_item().table_name(&app.tables.keys);
    put.set_item(Some(item)).send().await.unwrap();
}

async fn delete(app: &TestApp, key: &str) {
    let delete = app.tables.client.delete_item().table_name(&app.tables.keys);
    let delete = delete.key("key_sha256", text(&digest_of(key)));
    delete.send().await.unwrap();
}

/// The operations that have reached a proxy since the last call, sorted.
fn operations(proxy: &Proxy) -> Vec<String> {
    let requests = proxy.take_requests().into_iter();
    let mut operations: Vec<_> = requests.map(|(operation, _)| operation).collect();
    operations.sort_unstable();
    operations
}

const WRITES: [&str; 2] = ["PutItem", "UpdateItem"];
const LOOKUP_AND_WRITES: [&str; 3] = ["GetItem", "PutItem", "UpdateItem"];

/// An app with a keys table behind a proxy.
async fn start_behind(proxy: &Proxy, region: &str, settings: &[(&'static str, &str)]) -> TestApp {
    let behind = [("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()), ("AWS_REGION", region)];
    TestApp::start_with_keys_table(&[&behind, settings].concat()).await
}

// C2.7: keys that are bound to this server, to another one, and to none.
#[tokio::test]
async fn a_key_in_the_table_is_accepted_for_its_server() {
    let app = TestApp::start_with_keys_table(&[]).await;
    store(&app, &key(1), &[]).await;
    store(&app, &key(2), &[("server_id", text(SERVER)), ("label", text("nas"))]).await;
    store(&app, &key(3), &[("server_id", text("another"))]).await;
    let created = ("created_at", text("2026-01-18T10:30:00.000000Z"));
    store(&app, &key(4), &[created]).await;
    for _ in 0..2 {
        for (number, status) in [(1, 200), (2, 200), (3, 403), (4, 200), (5, 401)] {
            let answer = app.send(&with_key(&key(number))).await;
            assert_eq!(answer.status, status, "key {number}: {answer:?}");
        }
    }
}

// C2.7 C2.5
#[tokio::test]
async fn a_key_with_a_prefix_is_accepted_for_all_longer_ids() {
    let app = TestApp::start_with_keys_table(&[]).await;
    store(&app, &key(1), &[("server_id", text("omv-*"))]).await;
    let send = async |server: &str| {
        let mut event = with_key(&key(1));
        let mut body = minimal();
        body["server_id"] = server.into();
        event["body"] = body.to_string().into();
        app.send(&event).await.status
    };
    for _ in 0..2 {
        for (server, status) in
            [("omv-1", 200), ("omv-i-0abc", 200), ("omv-", 403), ("omv", 403), ("nas-omv-1", 403)]
        {
            assert_eq!(send(server).await, status, "{server}");
        }
    }
    assert_eq!(send("omv-*").await, 422);
    assert_eq!(app.servers().await.len(), 2);
}

// C2.7: what an older function makes of such a key. It takes `server_id` for the id of one server, which this is not.
#[test]
fn an_older_function_cannot_read_a_prefix() {
    for server_id in ["ab-*", "web-*", "web-i-*"] {
        assert!(ServerId::new(server_id).is_err(), "{server_id}");
        let variable = format!("{}:{server_id}", digest_of(&key(1)));
        assert!(EnvironmentKeys::parse(&variable).is_err(), "{server_id}");
    }
}

// C5.14
#[tokio::test]
async fn a_heartbeat_brings_the_group_of_its_key_unless_there_is_one() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "groups", &[]).await;
    store(&app, &key(1), &[]).await;
    store(&app, &key(2), &[("group", text("media"))]).await;
    store(&app, &key(3), &[("group", text("other")), ("server_id", text("omv-*"))]).await;
    let send = async |number: u32, field: &str, value: serde_json::Value| {
        let mut event = with_key(&key(number));
        event["body"] = with(field, value).to_string().into();
        assert_eq!(app.send(&event).await.status, 200);
        let server = app.server().await;
        server.and_then(|server| server.get("group").cloned())
    };
    assert_eq!(send(1, "group", json!("body")).await, None, "a body never has one");
    assert_eq!(send(2, "backlog", json!(true)).await, None);
    assert_eq!(send(2, "metrics", json!({})).await, Some(text("media")));
    assert_eq!(send(3, "metrics", json!({})).await, Some(text("media")), "the first one stays");
    let writes = proxy.bill().into_iter().filter(|(operation, _)| operation != "GetItem");
    let writes: Vec<_> = writes.map(|(operation, _)| operation).collect();
    let of_the_first = ["UpdateItem"];
    assert_eq!(writes, [&["PutItem"; 2][..], &["UpdateItem"; 2], &of_the_first].concat());
    app.tables.put_server(SERVER, [("group", text("none"))]).await;
    assert_eq!(send(3, "metrics", json!({})).await, Some(text("none")), "none brings none back");
}

// C2.7: an expired key is rejected before DynamoDB deletes it.
#[tokio::test]
async fn an_expired_key_is_rejected() {
    let app = TestApp::start_with_keys_table(&[]).await;
    let hour = TimeDelta::hours(1);
    store(&app, &key(1), &[("expires_at", seconds(Utc::now() + hour))]).await;
    store(&app, &key(2), &[("expires_at", seconds(Utc::now() - hour))]).await;
    store(&app, &key(3), &[("expires_at", seconds(Utc::now()))]).await;
    for (number, status) in [(1, 200), (2, 401), (3, 401)] {
        let answer = app.send(&with_key(&key(number))).await;
        assert_eq!(answer.status, status, "key {number}");
    }
}

// C2.8 C2.9: which keys are looked up, and when.
#[tokio::test]
async fn only_an_unknown_key_in_the_right_format_is_looked_up() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "lookups", &[]).await;
    store(&app, &key(1), &[]).await;
    proxy.take_requests();
    let send = async |key: &str| app.send(&with_key(key)).await.status;

    assert_eq!(send(KEY).await, 200);
    assert_eq!(operations(&proxy), WRITES, "a key of the environment is not looked up");
    for guess in
        ["guess", "hb_short", &key(1)[1..], &format!("{}=", key(1)), "hlh_ag_0123abcd_short"]
    {
        assert_eq!(send(guess).await, 401);
        assert_eq!(operations(&proxy), [""; 0], "{guess}");
    }
    assert_eq!(send(&key(1)).await, 200);
    assert_eq!(operations(&proxy), LOOKUP_AND_WRITES, "a key of the table is looked up at first");
    assert_eq!(send(&key(1)).await, 200);
    assert_eq!(operations(&proxy), WRITES, "an accepted key is cached");
    for _ in 0..2 {
        assert_eq!(send(&key(2)).await, 401);
        assert_eq!(operations(&proxy), ["GetItem"], "an unknown key is not cached");
    }
    store(&app, &key(2), &[]).await;
    assert_eq!(send(&key(2)).await, 200, "a new key is accepted at once");

    let lookups = proxy.bill().into_iter();
    let lookups: Vec<_> = lookups.filter(|(operation, _)| operation == "GetItem").collect();
    let is_half_a_unit = |(_, units): &(String, f64)| *units <= 0.5;
    assert_eq!(lookups.len(), 4, "{lookups:?}");
    assert!(lookups.iter().all(is_half_a_unit), "{lookups:?}");
}

// C2.1 C2.8: an agent that enrolled at HomelabCmd keeps its key, which was imported.
#[tokio::test]
async fn a_key_of_homelabcmd_is_looked_up_as_well() {
    let app = TestApp::start_with_keys_table(&[]).await;
    let token = format!("hlh_ag_0123abcd_{}", "4f".repeat(32));
    let send = async |header: &str| {
        let event = with_header(event("missing-key"), header, &token);
        app.send(&event).await.status
    };
    assert_eq!(send("x-agent-token").await, 401);
    store(&app, &token, &[("server_id", text(SERVER))]).await;
    assert_eq!(send("x-agent-token").await, 200);
    assert_eq!(send("x-api-key").await, 200);
}

// C2.9
#[tokio::test]
async fn three_hundred_keys_are_looked_up_once_each() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "many", &[]).await;
    join_all((0..300).map(|number| {
        let app = &app;
        async move { store(app, &key(number), &[]).await }
    }))
    .await;
    proxy.take_requests();
    for expected in [300, 0] {
        for number in 0..300 {
            assert_eq!(app.send(&with_key(&key(number))).await.status, 200);
        }
        let lookups = operations(&proxy);
        let lookups = lookups.iter().filter(|operation| *operation == "GetItem");
        assert_eq!(lookups.count(), expected);
    }
}

// C2.9
#[tokio::test]
async fn the_environment_takes_precedence_over_the_table() {
    let both = digest_of(&key(1));
    let proxy = Proxy::start(&URL);
    let bound = format!("{both}:{SERVER}");
    let app = start_behind(&proxy, "both-places", &[("API_KEY_SHA256", &bound)]).await;
    store(&app, &key(1), &[("server_id", text("another"))]).await;
    proxy.take_requests();
    assert_eq!(app.send(&with_key(&key(1))).await.status, 200);
    assert_eq!(operations(&proxy), WRITES);

    let app =
        TestApp::start_with_keys_table(&[("API_KEY_SHA256", &format!("{both}:another"))]).await;
    store(&app, &key(1), &[]).await;
    assert_eq!(app.send(&with_key(&key(1))).await.status, 403);
}

// C2.9 C2.7: a key is revoked, a key expires, and the clock is set back. The test controls the clock.
#[tokio::test]
async fn a_remembered_key_is_trusted_for_a_limited_time() {
    let app = TestApp::start_with_keys_table(&[]).await;
    let start: DateTime<Utc> = "2026-01-18T10:30:00Z".parse().unwrap();
    let at = |seconds| start + TimeDelta::seconds(seconds);
    store(&app, &key(1), &[]).await;
    store(&app, &key(2), &[("expires_at", seconds(at(100)))]).await;
    store(&app, &key(3), &[]).await;
    let config = config(&settings_for(&app.tables.servers, &app.tables.metrics));
    let (clients, _) = aws::clients(&config.aws).unwrap();
    let table = TableKeys::new(clients.servers, app.tables.keys.clone(), TimeDelta::seconds(300));
    let auth = Auth::new(EnvironmentKeys::default(), Some(table));
    let accepts = async |number, now| match auth.authenticate(key(number).as_bytes(), now).await {
        Ok(_) => true,
        Err(AuthError::Unknown) => false,
        Err(error) => panic!("{error:?}"),
    };
    assert!(accepts(1, at(0)).await);
    assert!(accepts(2, at(0)).await);
    assert!(accepts(3, at(0)).await);
    delete(&app, &key(1)).await;
    delete(&app, &key(3)).await;
    assert!(accepts(1, at(299)).await, "revoked, but still cached");
    assert!(!accepts(3, at(300)).await, "no longer cached");
    assert!(accepts(2, at(99)).await);
    assert!(!accepts(2, at(100)).await, "expired, although cached");
    assert!(!accepts(1, at(-1)).await, "cached from the future");
    assert!(!accepts(1, at(300)).await, "revoked, and no longer cached");
    assert!(!accepts(1, at(200)).await, "revoked, and the clock set back");

    store(&app, &key(1), &[]).await;
    assert!(accepts(1, at(301)).await, "added again");
}

// C2.9: KEY_CACHE_SECONDS, as the function reads it.
#[tokio::test]
async fn a_revoked_key_is_rejected_after_the_configured_time() {
    let app = TestApp::start_with_keys_table(&[("KEY_CACHE_SECONDS", "1")]).await;
    store(&app, &key(1), &[]).await;
    assert_eq!(app.send(&with_key(&key(1))).await.status, 200);
    delete(&app, &key(1)).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(app.send(&with_key(&key(1))).await.status, 401);
}

// C2.9 C2.7: only accepted keys are cached, so an expired key is accepted as soon as it is renewed.
#[tokio::test]
async fn an_expired_key_is_not_remembered() {
    let app = TestApp::start_with_keys_table(&[]).await;
    let hour = TimeDelta::hours(1);
    store(&app, &key(1), &[("expires_at", seconds(Utc::now() - hour))]).await;
    assert_eq!(app.send(&with_key(&key(1))).await.status, 401);
    store(&app, &key(1), &[("expires_at", seconds(Utc::now() + hour))]).await;
    assert_eq!(app.send(&with_key(&key(1))).await.status, 200);
}

// C2.9: concurrent heartbeats in one environment.
#[tokio::test]
async fn concurrent_heartbeats_share_the_remembered_keys() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "concurrent", &[]).await;
    for number in 0..5 {
        store(&app, &key(number), &[]).await;
    }
    let send_all = async || {
        let send = |number: u32| {
            let app = &app;
            async move { app.send(&with_key(&key(number % 10))).await.status }
        };
        let statuses = join_all((0..50).map(send)).await;
        for (number, status) in (0_u32..).zip(statuses) {
            let expected = if number % 10 < 5 { 200 } else { 401 };
            assert_eq!(status, expected, "key {}", number % 10);
        }
    };
    send_all().await;
    proxy.take_requests();
    send_all().await;
    let lookups = operations(&proxy);
    let lookups = lookups.iter().filter(|operation| *operation == "GetItem");
    assert_eq!(lookups.count(), 25, "only the five unknown keys are looked up again");
}

// C2.9 C2.10: keys that need no lookup work while the table is down.
#[tokio::test]
async fn a_key_that_is_remembered_or_in_the_environment_needs_no_table() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "down", &[]).await;
    store(&app, &key(1), &[]).await;
    store(&app, &key(2), &[]).await;
    assert_eq!(app.send(&with_key(&key(1))).await.status, 200);
    proxy.rule(|call| (call == Call::Key).then_some(Fault::Reject(400, "ThrottlingException")));
    for (key, status) in [(key(1), 200), (KEY.into(), 200), (key(2), 503)] {
        assert_eq!(app.send(&with_key(&key)).await.status, status, "{key}");
    }
}

// C2.1 C2.5: the key is looked up before the body is read, and its server is compared after that.
#[tokio::test]
async fn a_key_of_the_table_is_checked_in_the_same_order_as_any_other() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "order", &[]).await;
    store(&app, &key(1), &[("server_id", text("another"))]).await;
    let send = async |number, body: &str| {
        let mut event = with_key(&key(number));
        event["body"] = body.into();
        app.send(&event).await.status
    };
    let too_large = "x".repeat(1024 * 1024 + 1);
    assert_eq!(send(2, &too_large).await, 401);
    assert_eq!(send(2, "{").await, 401);
    assert_eq!(send(1, &too_large).await, 413);
    assert_eq!(send(1, "{").await, 422);
    proxy.rule(|call| (call == Call::Key).then_some(Fault::Reject(400, "ThrottlingException")));
    assert_eq!(send(2, "{").await, 503);
}

// C2.10: 503, never 401, and nothing is written. The agent's next attempt succeeds.
#[tokio::test]
async fn an_unavailable_keys_table_is_a_503() {
    const TIMEOUTS: [(&str, &str); 3] = [
        ("CONNECT_TIMEOUT_MS", "500"),
        ("ATTEMPT_TIMEOUT_MS", "500"),
        ("OPERATION_TIMEOUT_MS", "1500"),
    ];
    let faults = [
        Fault::ResetBeforeRequest,
        Fault::ResetMidRequest,
        Fault::ResetMidAnswer,
        Fault::LoseAnswer,
        Fault::NoResponse,
        Fault::Drip,
        Fault::Truncate,
        Fault::Answer(200, "application/x-amz-json-1.0", ""),
        Fault::Answer(200, "text/html", "<h1>Hello</h1>"),
        Fault::Answer(503, "text/html", "<h1>Service Unavailable</h1>"),
        Fault::Reject(500, "InternalServerError"),
        Fault::Reject(400, "ThrottlingException"),
        Fault::Reject(400, "ProvisionedThroughputExceededException"),
        Fault::Reject(400, "ExpiredTokenException"),
    ];
    let check = async |fault| {
        let proxy = Proxy::start(&URL);
        let name = format!("{fault:?}").to_lowercase();
        let region: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let app = start_behind(&proxy, &format!("key{region}"), &TIMEOUTS).await;
        store(&app, &key(1), &[]).await;
        proxy.rule(move |call| (call == Call::Key).then_some(fault));

        let started = Instant::now();
        let answer = app.send(&with_key(&key(1))).await;
        let code = &answer.body["detail"]["code"];
        assert_eq!((answer.status, code), (503, &json!("UNAVAILABLE")), "{fault:?}");
        assert!(answer.headers.contains_key("retry-after"), "{fault:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{fault:?}");
        let log = app.log.take();
        let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
        let [line] = errors.as_slice() else { panic!("{fault:?}: {log:?}") };
        assert_eq!(line["status"], 503, "{line}");
        assert_ne!(line["reason"], "", "{line}");
        let written = (app.servers().await.len(), app.rows().await.len());
        assert_eq!(written, (0, 0), "{fault:?}");
        proxy.heal();
        assert_eq!(app.send(&with_key(&key(1))).await.status, 200, "{fault:?}");
    };
    stream::iter(faults).for_each_concurrent(7, check).await;
}

// C2.10
#[tokio::test]
async fn a_missing_keys_table_or_permission_is_a_500() {
    let app = TestApp::start_with(&[("KEYS_TABLE", "no-such-table")]).await;
    assert_eq!(app.send(&with_key(&key(1))).await.status, 500);
    let log = app.log.take();
    let [line] = log.as_slice() else { panic!("{log:?}") };
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("ResourceNotFoundException"), "{reason}");

    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "denied", &[]).await;
    proxy.rule(|call| (call == Call::Key).then_some(Fault::Reject(400, "AccessDeniedException")));
    assert_eq!(app.send(&with_key(&key(1))).await.status, 500);
    assert_eq!(app.servers().await, []);
}

// C2.10 C6.4: the lookup and the writes together take no longer than one operation. Each of the three calls alone
// could take three seconds.
#[tokio::test]
async fn lookup_and_writes_share_one_timeout() {
    let proxy = Proxy::start(&URL);
    let timeouts = [
        ("CONNECT_TIMEOUT_MS", "2900"),
        ("ATTEMPT_TIMEOUT_MS", "2900"),
        ("OPERATION_TIMEOUT_MS", "3000"),
    ];
    let app = start_behind(&proxy, "shared-timeout", &timeouts).await;
    store(&app, &key(1), &[]).await;
    proxy.delay(Call::Key, Duration::from_secs(2));
    proxy.rule(|call| (call == Call::Server).then_some(Fault::NoResponse));
    let started = Instant::now();
    let answer = app.send(&with_key(&key(1))).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    let log = json!(app.log.take()).to_string();
    assert!(log.contains("deadline has elapsed"), "{log}");
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}: the lookup was not delayed");
    assert!(elapsed < Duration::from_millis(4500), "{elapsed:?}");
}

// C2.10 C5.9: the lookup goes through the connection of the servers table.
#[tokio::test]
async fn the_lookup_needs_no_connection_of_its_own() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "one-connection", &[]).await;
    store(&app, &key(1), &[]).await;
    proxy.take_requests();
    assert_eq!(app.send(&with_key(&key(1))).await.status, 200);
    let requests: HashMap<_, _> = proxy.take_requests().into_iter().collect();
    assert_eq!(requests["GetItem"], requests["UpdateItem"], "{requests:?}");
    assert_ne!(requests["GetItem"], requests["PutItem"], "{requests:?}");
}

// C2.12 C2.6
#[tokio::test]
async fn a_malformed_item_grants_no_access() {
    let app = TestApp::start_with_keys_table(&[]).await;
    for (attribute, value) in [
        ("server_id", AttributeValue::N("1".into())),
        ("server_id", AttributeValue::Null(true)),
        ("server_id", text("Not An Id")),
        ("server_id", text(&"x".repeat(101))),
        ("server_id", text("*")),
        ("server_id", text("o*")),
        ("server_id", text("omv*")),
        ("server_id", text("-*")),
        ("server_id", text("omv-**")),
        ("server_id", text(&format!("{}-*", "x".repeat(60)))),
        ("group", text("none")),
        ("group", text("Media")),
        ("group", text(&"x".repeat(17))),
        ("group", AttributeValue::N("1".into())),
        ("expires_at", text("2027-01-01T00:00:00Z")),
        ("expires_at", AttributeValue::N("1800000000.5".into())),
        ("expires_at", AttributeValue::N("1e30".into())),
        ("expires_at", AttributeValue::Bool(true)),
    ] {
        store(&app, &key(1), &[(attribute, value.clone())]).await;
        app.log.take();
        let answer = app.send(&with_key(&key(1))).await;
        let code = &answer.body["detail"]["code"];
        assert_eq!((answer.status, code), (401, &json!("UNAUTHORIZED")), "{value:?}");
        assert!(answer.headers.contains_key("www-authenticate"));
        let log = app.log.take();
        let [line] = log.as_slice() else { panic!("{log:?}") };
        assert_eq!(line["level"], "ERROR", "{line}");
        assert!(line["reason"].as_str().unwrap().contains(attribute), "{line}");
        assert!(line["request_id"].is_string(), "{line}");
        for secret in [key(1), digest_of(&key(1))] {
            assert!(!line.to_string().contains(&secret), "{line}");
        }
    }
    assert_eq!(app.servers().await, []);
}

// C2.6: neither a key nor its digest is logged, whether the key is accepted or not.
#[tokio::test]
async fn no_key_of_the_table_is_logged() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, "unlogged", &[]).await;
    store(&app, &key(1), &[]).await;
    store(&app, &key(2), &[("server_id", text("another"))]).await;
    let faults = [None, Some(Fault::Reject(400, "AccessDeniedException"))];
    for fault in faults {
        proxy.rule(move |call| fault.filter(|_| call == Call::Key));
        for number in 1..4 {
            app.send(&with_key(&key(number))).await;
        }
    }
    let log = json!(app.log.take()).to_string();
    for number in 1..4 {
        assert!(!log.contains(&key(number)), "{log}");
        assert!(!log.contains(&digest_of(&key(number))), "{log}");
    }
}

// C2.11
#[tokio::test]
async fn a_function_without_digests_uses_the_table() {
    let app = TestApp::start_with_keys_table(&[("API_KEY_SHA256", "")]).await;
    store(&app, &key(1), &[]).await;
    assert_eq!(app.send(&with_key(&key(1))).await.status, 200);
    assert_eq!(app.send(&with_key(KEY)).await.status, 401);
}
