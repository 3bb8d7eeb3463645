//! C8.8: whatever fails, the next sweep does what is pending.

use crate::support::topic::Mood;
use crate::support::{TestWatchdog, lines, state, stored, text};
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use std::collections::HashSet;
use std::time::{Duration, Instant};

async fn start_behind(proxy: &Proxy, region: &str, settings: &[(&str, &str)]) -> TestWatchdog {
    let behind = [
        ("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()),
        ("AWS_REGION", region),
    ];
    TestWatchdog::start_with(&[&behind, settings].concat()).await
}

#[tokio::test]
async fn a_failed_scan_judges_nobody() {
    let watchdog = TestWatchdog::start_with(&[("SERVERS_TABLE", "no-such-table")]).await;
    let error = watchdog.sweep(181).await.unwrap_err().to_string();
    assert!(error.contains("ResourceNotFoundException"), "{error}");
    assert_eq!(watchdog.topic.take(), []);
}

// C8.2 C8.8: nobody is judged before the scan is complete.
#[tokio::test]
async fn a_scan_that_fails_later_judges_nobody() {
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

#[tokio::test]
async fn a_failed_verdict_stops_no_other() {
    let proxy = Proxy::start(&URL);
    let watchdog = start_behind(&proxy, "verdicts", &[]).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.heartbeat("web-2", 0).await;
    let mut is_struck = false;
    proxy.rule(move |call| {
        let strikes = call == Call::Server && !std::mem::replace(&mut is_struck, true);
        strikes.then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(181).await.unwrap_err();
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["offline"].as_array().unwrap().len(), 1);
    let log = watchdog.log();
    let [failed] = lines(&log, "update failed")[..] else {
        panic!("{log:?}")
    };
    assert_eq!(failed["level"], "ERROR");
    assert!(
        failed["reason"]
            .as_str()
            .unwrap()
            .contains("AccessDeniedException")
    );
    assert_eq!(lines(&log, "sweep").len(), 1);

    watchdog.sweep(241).await.unwrap();
    let published = watchdog.topic.take();
    assert_eq!(published[0].default["offline"].as_array().unwrap().len(), 1);
    assert_eq!(
        published[0].default["offline"][0]["server_id"],
        failed["server_id"]
    );
}

// C8.5: publish first, then record. A failed record is followed by the same message again.
#[tokio::test]
async fn a_failed_record_sends_the_message_again() {
    let proxy = Proxy::start(&URL);
    let watchdog = start_behind(&proxy, "records", &[]).await;
    watchdog.heartbeat("web-1", 0).await;
    let mut updates = 0;
    proxy.rule(move |call| {
        updates += usize::from(call == Call::Server);
        (call == Call::Server && updates == 2)
            .then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(181).await.unwrap_err();
    assert_eq!(
        watchdog.state("web-1").await,
        state("offline", Some(0), None)
    );
    let first = watchdog.topic.take();
    watchdog.sweep(241).await.unwrap();
    let second = watchdog.topic.take();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].default, second[0].default);
    assert_eq!(
        watchdog.state("web-1").await,
        state("offline", Some(0), Some(0))
    );
}

#[tokio::test]
async fn what_the_topic_did_not_take_is_said_again() {
    const IMPATIENT: [(&str, &str); 3] = [
        ("CONNECT_TIMEOUT_MS", "1000"),
        ("ATTEMPT_TIMEOUT_MS", "1000"),
        ("OPERATION_TIMEOUT_MS", "1500"),
    ];
    for (mood, taken) in [
        (Mood::Rejects, 0),
        (Mood::Hangs, 0),
        (Mood::LosesAnswers, 1),
    ] {
        let watchdog = TestWatchdog::start_with(&IMPATIENT).await;
        watchdog.heartbeat("web-1", 0).await;
        watchdog.topic.is(mood);
        watchdog.sweep(181).await.unwrap_err();
        assert_eq!(
            watchdog.state("web-1").await,
            state("offline", Some(0), None),
            "{mood:?}"
        );
        let first = watchdog.topic.take();
        assert_eq!(first.len(), taken, "{mood:?}");
        assert_eq!(lines(&watchdog.log(), "sweep").len(), 1, "{mood:?}");
        watchdog.topic.is(Mood::Takes);
        watchdog.sweep(241).await.unwrap();
        let second = watchdog.topic.take();
        assert_eq!(second.len(), 1, "{mood:?}");
        assert_eq!(second[0].default["offline"][0]["last_seen"], stored(0));
        if let [first] = &first[..] {
            assert_eq!(first.default, second[0].default, "{mood:?}");
        }
    }
}

// C8.8: near its deadline a sweep stops judging, and says and records what it has.
#[tokio::test]
async fn a_sweep_ends_in_time() {
    const SERVERS: usize = 200;
    const TIME: Duration = Duration::from_secs(10);
    let proxy = Proxy::start(&URL);
    let watchdog = start_behind(&proxy, "slow", &[("HOLD_SECONDS", "0")]).await;
    let names: Vec<_> = (0..SERVERS).map(|number| format!("web-{number}")).collect();
    for name in &names {
        watchdog.heartbeat(name, 0).await;
    }
    let announced = || {
        let [message] = &watchdog.topic.take()[..] else {
            panic!("one message")
        };
        let offline = message.default["offline"].as_array().unwrap().iter();
        let names = offline.map(|server| server["server_id"].as_str().unwrap().to_owned());
        names.collect::<HashSet<_>>()
    };
    // 32 updates at once, each taking a second: in all 7 seconds to judge and as many to record.
    proxy.delay(Call::Server, Duration::from_secs(1));
    let started = Instant::now();
    watchdog.sweep_within(181, TIME).await.unwrap();
    assert!(started.elapsed() < TIME, "{:?}", started.elapsed());
    let first = announced();
    assert!(
        !first.is_empty() && first.len() < SERVERS,
        "{}",
        first.len()
    );
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
