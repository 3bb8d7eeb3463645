//! C8.8: whatever fails, the next sweep completes what is pending.

use crate::support::topic::Behavior;
use crate::support::{TestWatchdog, lines, pending, state, stored, text};
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

async fn start_behind(proxy: &Proxy, region: &str, settings: &[(&str, &str)]) -> TestWatchdog {
    let behind = [("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()), ("AWS_REGION", region)];
    TestWatchdog::start_with(&[&behind, settings].concat()).await
}

#[tokio::test]
async fn no_server_is_judged_if_the_scan_fails() {
    let watchdog = TestWatchdog::start_with(&[("SERVERS_TABLE", "no-such-table")]).await;
    let error = watchdog.sweep(181).await.unwrap_err().to_string();
    assert!(error.contains("ResourceNotFoundException"), "{error}");
    assert_eq!(watchdog.topic.take(), []);
}

// C8.12
#[tokio::test]
async fn no_server_is_judged_if_the_watchdogs_own_item_cannot_be_read() {
    let proxy = Proxy::start(&URL);
    let watchdog = start_behind(&proxy, "own-item", &[]).await;
    watchdog.heartbeat("web-1", 0).await;
    let denied = Fault::Reject(400, "AccessDeniedException");
    proxy.rule(move |call| (call == Call::Key).then_some(denied));
    watchdog.set_own("swept_at", 121).await;
    let error = watchdog.sweep_as_it_is(181).await.unwrap_err().to_string();
    assert!(error.contains("own item was not read"), "{error}");
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    proxy.heal();
    watchdog.sweep_as_it_is(181).await.unwrap();
    assert_eq!(watchdog.state("web-1").await[0].as_deref(), Some("offline"));
}

// C8.2 C8.8: no server is judged before the scan is complete.
#[tokio::test]
async fn no_server_is_judged_if_a_later_page_of_the_scan_fails() {
    let proxy = Proxy::start(&URL);
    let watchdog = start_behind(&proxy, "pages", &[("HOLD_SECONDS", "0")]).await;
    for number in 0..30 {
        let seen = ("last_seen", text(&stored(0)));
        let padding = ("padding", text(&"x".repeat(100_000)));
        let attributes = [("status", text("online")), seen, padding];
        watchdog.put(&format!("web-{number}"), &attributes).await;
    }
    let mut pages = 0;
    proxy.rule(move |call| {
        pages += usize::from(call == Call::Scan);
        (call == Call::Scan && pages == 2).then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(181).await.unwrap_err();
    assert_eq!(proxy.struck(), 1);
    assert_eq!(watchdog.topic.take(), []);
    for number in 0..30 {
        let is_online = state("online", None, None);
        assert_eq!(watchdog.state(&format!("web-{number}")).await, is_online);
    }
}

// C8.8: the scan is patient.
#[tokio::test]
async fn a_scan_that_is_throttled_for_a_while_is_retried() {
    let proxy = Proxy::start_here(&URL);
    let watchdog = start_behind(&proxy, "throttled", &[]).await;
    watchdog.heartbeat("web-1", 0).await;
    let mut scans = 0;
    proxy.rule(move |call| {
        scans += usize::from(call == Call::Scan);
        let fault = Fault::Reject(400, "ProvisionedThroughputExceededException");
        (call == Call::Scan && scans <= 6).then_some(fault)
    });
    watchdog.set_own("swept_at", 121).await;
    tokio::time::pause();
    watchdog.sweep_as_it_is(181).await.unwrap();
    assert_eq!(proxy.struck(), 6);
    assert_eq!(watchdog.topic.take().len(), 1);
}

#[tokio::test]
async fn a_failed_update_does_not_stop_the_others() {
    let proxy = Proxy::start(&URL);
    let watchdog = start_behind(&proxy, "verdicts", &[]).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.heartbeat("web-2", 0).await;
    // The first update is that of the watchdog's own item.
    let mut updates = 0;
    proxy.rule(move |call| {
        updates += usize::from(call == Call::Server);
        (call == Call::Server && updates == 2)
            .then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(181).await.unwrap_err();
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["offline"].as_array().unwrap().len(), 1);
    let log = watchdog.log();
    let [failed] = lines(&log, "update failed")[..] else { panic!("{log:?}") };
    assert_eq!(failed["level"], "ERROR");
    assert!(failed["reason"].as_str().unwrap().contains("AccessDeniedException"));
    assert_eq!(lines(&log, "sweep").len(), 1);

    watchdog.sweep(241).await.unwrap();
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["offline"].as_array().unwrap().len(), 1);
    assert_eq!(published[0].default["offline"][0]["server_id"], failed["server_id"]);
}

// C8.5: the watchdog publishes first, then records. If recording fails, the next sweep publishes the same message
// again.
#[tokio::test]
async fn an_unrecorded_announcement_is_published_again() {
    let proxy = Proxy::start(&URL);
    let watchdog = start_behind(&proxy, "records", &[]).await;
    watchdog.heartbeat("web-1", 0).await;
    let mut updates = 0;
    proxy.rule(move |call| {
        updates += usize::from(call == Call::Server);
        (call == Call::Server && updates == 3)
            .then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(181).await.unwrap_err();
    assert_eq!(watchdog.state("web-1").await, pending("offline", 0));
    let first = watchdog.topic.take();
    watchdog.sweep(241).await.unwrap();
    let second = watchdog.topic.take();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].default["offline"], second[0].default["offline"]);
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), Some(0)));
}

#[tokio::test]
async fn an_unconfirmed_announcement_is_published_again() {
    const SHORT_TIMEOUTS: [(&str, &str); 3] = [
        ("CONNECT_TIMEOUT_MS", "1000"),
        ("ATTEMPT_TIMEOUT_MS", "1000"),
        ("OPERATION_TIMEOUT_MS", "1500"),
    ];
    for (behavior, accepted) in
        [(Behavior::Rejects, 0), (Behavior::Hangs, 0), (Behavior::LosesAnswers, 1)]
    {
        let watchdog = TestWatchdog::start_with(&SHORT_TIMEOUTS).await;
        watchdog.heartbeat("web-1", 0).await;
        watchdog.topic.set_behavior(behavior);
        watchdog.sweep(181).await.unwrap_err();
        assert_eq!(watchdog.state("web-1").await, pending("offline", 0), "{behavior:?}");
        let first = watchdog.topic.take();
        assert_eq!(first.len(), accepted, "{behavior:?}");
        assert_eq!(lines(&watchdog.log(), "sweep").len(), 1, "{behavior:?}");
        watchdog.topic.set_behavior(Behavior::Accepts);
        watchdog.sweep(241).await.unwrap();
        let second = watchdog.topic.take();
        assert_eq!(second.len(), 1, "{behavior:?}");
        assert_eq!(second[0].default["offline"][0]["last_seen"], stored(0));
        if let [first] = &first[..] {
            let offline = &second[0].default["offline"];
            assert_eq!(&first.default["offline"], offline, "{behavior:?}");
        }
    }
}

// C8.8: near its deadline a sweep stops judging, and announces and records what it has judged.
#[tokio::test]
async fn a_sweep_ends_in_time() {
    const SERVERS: usize = 200;
    const TIME: Duration = Duration::from_secs(10);
    let proxy = Proxy::start_here(&URL);
    let watchdog = start_behind(&proxy, "slow", &[("HOLD_SECONDS", "0")]).await;
    let names: Vec<_> = (0..SERVERS).map(|number| format!("web-{number}")).collect();
    for name in &names {
        watchdog.heartbeat(name, 0).await;
    }
    let announced = || {
        let [message] = &watchdog.topic.take()[..] else { panic!("expected one message") };
        let offline = message.default["offline"].as_array().unwrap().iter();
        let names = offline.map(|server| server["server_id"].as_str().unwrap().to_owned());
        names.collect::<HashSet<_>>()
    };
    // The sweep runs 32 updates at once, of one second each. So 200 servers take 7 seconds to judge, and 7 to record.
    proxy.delay(Call::Server, Duration::from_secs(1));
    watchdog.set_own("swept_at", 121).await;
    tokio::time::pause();
    let started = Instant::now();
    watchdog.sweep_within(181, TIME).await.unwrap();
    assert!(started.elapsed() < TIME, "{:?}", started.elapsed());
    tokio::time::resume();
    let first = announced();
    assert!(!first.is_empty() && first.len() < SERVERS, "{}", first.len());
    let log = watchdog.log();
    let [line] = lines(&log, "no time left to judge these late servers")[..] else {
        panic!("{log:?}")
    };
    assert_eq!(line["skipped"], SERVERS - first.len());

    proxy.delay(Call::Server, Duration::ZERO);
    watchdog.sweep(241).await.unwrap();
    let second = announced();
    assert!(first.is_disjoint(&second), "announced twice");
    assert_eq!(first.len() + second.len(), SERVERS);
    for name in &names {
        let is_announced = state("offline", Some(0), Some(0));
        assert_eq!(watchdog.state(name).await, is_announced);
    }
}
