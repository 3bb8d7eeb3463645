//! C8.1 to C8.5: gaps between sweeps, thresholds of a server's own, and returns that last.

use crate::support::topic::Behavior;
use crate::support::{TestWatchdog, lines, pending, state, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

const FIVE_MINUTES: (&str, &str) = ("BACK_AFTER_SECONDS", "300");

/// How many servers the messages since the last call name as offline and as back.
fn said(watchdog: &TestWatchdog) -> (usize, usize) {
    let published = watchdog.topic.take();
    let count = |list: &str| {
        let lists = published.iter().map(|message| &message.default[list]);
        lists.map(|list| list.as_array().unwrap().len()).sum()
    };
    (count("offline"), count("back"))
}

async fn expect(watchdog: &TestWatchdog, server_id: &str, seconds: &str) {
    let attributes = [
        ("status", text("online")),
        ("last_seen", text(&stored(0))),
        ("offline_after", AttributeValue::N(seconds.into())),
    ];
    watchdog.put(server_id, &attributes).await;
}

// C8.12: the watchdog's own item.
#[tokio::test]
async fn each_sweep_remembers_when_it_was() {
    let watchdog = TestWatchdog::start().await;
    watchdog.sweep_as_it_is(0).await.unwrap();
    let names = ["swept_at", "gap_since", "gap_until", "mass_silence_at"];
    let own = async || {
        let mut times = Vec::new();
        for name in names {
            times.push(watchdog.own(name).await);
        }
        times
    };
    let epoch = Some("1970-01-01T00:00:00.000000Z".to_owned());
    assert_eq!(own().await, [Some(stored(0)), epoch.clone(), Some(stored(0)), None]);
    watchdog.sweep_as_it_is(90).await.unwrap();
    assert_eq!(own().await, [Some(stored(90)), epoch, Some(stored(0)), None]);
    watchdog.sweep_as_it_is(181).await.unwrap();
    let gap = [Some(stored(181)), Some(stored(90)), Some(stored(181)), None];
    assert_eq!(own().await, gap);
    let log = watchdog.log();
    let warnings = lines(&log, "sweeps are missing: the time since then does not count as silence");
    assert_eq!(warnings.len(), 2);
    assert!(warnings.iter().all(|line| line["level"] == "WARN"), "{log:?}");
    let sweeps = lines(&log, "sweep");
    assert!(sweeps.iter().all(|line| line["servers"] == 0), "its own item is no server");
}

// C8.4: a gap does not make a server late, whatever the hold is.
#[tokio::test]
async fn the_last_gap_makes_no_server_late() {
    let watchdog = TestWatchdog::start_with(&[("HOLD_SECONDS", "0")]).await;
    for server in ["a", "b", "c", "d"] {
        watchdog.heartbeat(server, 0).await;
    }
    watchdog.sweep(100).await.unwrap();
    // A day without sweeps and without heartbeats.
    watchdog.sweep_as_it_is(86_500).await.unwrap();
    assert_eq!(said(&watchdog), (0, 0));
    watchdog.heartbeat("a", 86_510).await;
    // 100 seconds before the gap, and 80 after it.
    watchdog.sweep(86_580).await.unwrap();
    assert_eq!(said(&watchdog), (0, 0));
    watchdog.sweep(86_581).await.unwrap();
    assert_eq!(said(&watchdog), (3, 0));
}

// C8.4: times that a wrong clock has written are ignored.
#[tokio::test]
async fn times_in_the_future_are_ignored() {
    for (ahead, is_gap) in [(180, false), (181, true)] {
        let watchdog = TestWatchdog::start().await;
        watchdog.heartbeat("web-1", 0).await;
        watchdog.set_own("swept_at", 200 + ahead).await;
        watchdog.sweep_as_it_is(200).await.unwrap();
        assert_eq!(said(&watchdog), (usize::from(!is_gap), 0), "{ahead}");
    }
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.set_own("gap_since", 0).await;
    watchdog.set_own("gap_until", 1000).await;
    watchdog.sweep(200).await.unwrap();
    assert_eq!(said(&watchdog), (1, 0));
}

// C8.8: if the watchdog's own item cannot be written, the sweep goes on, and the invocation fails.
#[tokio::test]
async fn a_sweep_goes_on_without_its_own_item() {
    use dev::proxy::{Call, Fault, Proxy};
    let proxy = Proxy::start(&dev::dynamodb::URL);
    let watchdog = TestWatchdog::start_with(&[("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url)]).await;
    watchdog.heartbeat("web-1", 0).await;
    let mut updates = 0;
    proxy.rule(move |call| {
        updates += usize::from(call == Call::Server);
        (call == Call::Server && updates == 1)
            .then_some(Fault::Reject(400, "AccessDeniedException"))
    });
    watchdog.sweep(181).await.unwrap_err();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), Some(0)));
    assert_eq!(said(&watchdog), (1, 0));
    assert_eq!(watchdog.own("swept_at").await, Some(stored(121)));
}

// C8.1: a threshold of a server's own.
#[tokio::test]
async fn a_server_may_have_its_own_threshold() {
    let watchdog = TestWatchdog::start_with(&[("HOLD_SECONDS", "0")]).await;
    for (server, seconds) in [("quick", "60"), ("slow", "900"), ("never", "0")] {
        expect(&watchdog, server, seconds).await;
    }
    watchdog.heartbeat("usual", 0).await;
    for (now, offline) in [(60, 0), (61, 1), (180, 0), (181, 1), (900, 0), (901, 1), (99_999, 0)] {
        watchdog.sweep(now).await.unwrap();
        assert_eq!(said(&watchdog), (offline, 0), "{now}");
    }
    assert_eq!(watchdog.state("never").await, state("online", None, None));
}

// C8.4: what counts is who was heard from within half of the usual threshold, and who is overdue by its own.
#[tokio::test]
async fn a_mass_absence_counts_servers_by_their_own_thresholds() {
    for own in ["180", "900"] {
        let watchdog = TestWatchdog::start().await;
        for number in 0..4 {
            expect(&watchdog, &format!("web-{number}"), "180").await;
        }
        for number in 0..5 {
            // Overdue by the usual threshold, or neither overdue nor heard from.
            expect(&watchdog, &format!("db-{number}"), own).await;
        }
        watchdog.sweep(181).await.unwrap();
        // Nine overdue of nine are a mass absence, and so are four of four: the others are on neither side.
        assert_eq!(said(&watchdog), (0, 0), "{own}");
        assert_eq!(watchdog.own("mass_silence_at").await, Some(stored(181)));
        for number in 0..5 {
            watchdog.heartbeat(&format!("db-{number}"), 200).await;
        }
        watchdog.sweep(241).await.unwrap();
        assert_eq!(said(&watchdog), (0, 0), "held after it, {own}");
        watchdog.sweep(601).await.unwrap();
        assert_eq!(watchdog.state("web-0").await[0].as_deref(), Some("offline"), "{own}");
    }
}

// C8.4: in a mass absence, a server is also held for twice its own threshold.
#[tokio::test]
async fn a_mass_absence_holds_a_server_for_twice_its_own_threshold() {
    let watchdog = TestWatchdog::start().await;
    for number in 0..3 {
        expect(&watchdog, &format!("web-{number}"), "900").await;
    }
    watchdog.sweep(1799).await.unwrap();
    assert_eq!(said(&watchdog), (0, 0));
    watchdog.sweep(1800).await.unwrap();
    assert_eq!(said(&watchdog), (3, 0));
}

// C8.5: heartbeats over the whole time prove a return.
#[tokio::test]
async fn a_return_has_to_last() {
    let watchdog = TestWatchdog::start_with(&[FIVE_MINUTES]).await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.sweep(181).await.unwrap();
    watchdog.topic.take();
    let returned_at = async || {
        let item = watchdog.item("web-1").await.unwrap();
        item.get("returned_at").map(|at| at.as_s().unwrap().clone())
    };
    for now in [240, 300, 360, 420, 480, 539] {
        watchdog.heartbeat("web-1", now).await;
        watchdog.sweep(now).await.unwrap();
        assert_eq!(said(&watchdog), (0, 0), "{now}");
        assert_eq!(returned_at().await, Some(stored(240)), "{now}");
    }
    watchdog.heartbeat("web-1", 540).await;
    watchdog.sweep(541).await.unwrap();
    let published = watchdog.topic.take();
    let back = &published[0].default["back"][0];
    assert_eq!(back["offline_since"], stored(0));
    assert_eq!(back["returned_at"], stored(240));
    assert_eq!(back["last_seen"], stored(540));
    assert!(published[0].email.contains("away for at most 4 min 0 s"), "{published:?}");
    assert_eq!(watchdog.state("web-1").await, state("online", None, None));
    assert_eq!(returned_at().await, None);
}

// C8.5: a server that flaps, or that sends every five minutes at the default threshold, causes one message.
#[tokio::test]
async fn a_server_that_flaps_is_announced_once() {
    let watchdog = TestWatchdog::start_with(&[FIVE_MINUTES]).await;
    let mut told = (0, 0);
    for now in (0..7200).step_by(60) {
        if now % 300 == 0 {
            watchdog.heartbeat("web-1", now).await;
        }
        watchdog.sweep(now).await.unwrap();
        let (offline, back) = said(&watchdog);
        told = (told.0 + offline, told.1 + back);
    }
    assert_eq!(told, (1, 0));
    let item = watchdog.item("web-1").await.unwrap();
    assert_eq!(item["offline_since"], text(&stored(0)), "the same absence");
}

// C8.5: a server that is up and down for one to twenty minutes each causes at most one message per period that is long
// enough to be told, and one more.
#[tokio::test]
async fn flapping_causes_at_most_a_message_per_stable_period() {
    const LATE: i64 = 180;
    let seed =
        std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..4 {
        let watchdog = TestWatchdog::start_with(&[FIVE_MINUTES]).await;
        let (mut now, mut stable, mut messages) = (0, 0, 0);
        for period in 0..12 {
            let minutes = random.i64(1..=20);
            let is_up = period % 2 == 0;
            stable += usize::from(minutes * 60 >= LATE);
            for _ in 0..minutes {
                now += 60;
                if is_up {
                    watchdog.heartbeat("web-1", now).await;
                }
                watchdog.sweep(now).await.unwrap();
                let (offline, back) = said(&watchdog);
                messages += offline + back;
            }
        }
        assert!(messages <= stable + 1, "{messages} messages, {stable} stable periods");
    }
}

// C8.5: for servers that report rarely.
#[tokio::test]
async fn a_return_has_lasted_once_it_is_an_hour_old() {
    let watchdog = TestWatchdog::start_with(&[FIVE_MINUTES]).await;
    expect(&watchdog, "web-1", "7200").await;
    watchdog.sweep(7201).await.unwrap();
    assert_eq!(said(&watchdog), (1, 0));
    watchdog.heartbeat("web-1", 8000).await;
    for now in [8010, 11_599] {
        watchdog.sweep(now).await.unwrap();
        assert_eq!(said(&watchdog), (0, 0), "{now}");
    }
    watchdog.sweep(11_600).await.unwrap();
    assert_eq!(said(&watchdog), (0, 1));
}

// C8.5
#[tokio::test]
async fn an_impossible_returned_at_is_overwritten() {
    for odd in ["then", &stored(500)] {
        let watchdog = TestWatchdog::start_with(&[FIVE_MINUTES]).await;
        watchdog.heartbeat("web-1", 300).await;
        watchdog.set("web-1", "offline_since", Some(&stored(0))).await;
        watchdog.set("web-1", "announced", Some(&stored(0))).await;
        watchdog.set("web-1", "returned_at", Some(odd)).await;
        watchdog.sweep(310).await.unwrap();
        let item = watchdog.item("web-1").await.unwrap();
        assert_eq!(item["returned_at"], text(&stored(300)), "{odd}");
    }
}

// C8.5 C8.7: what happens to an absence, by its state. `announced` is pending unless it says otherwise.
#[tokio::test]
async fn an_absence_is_handled_by_its_state() {
    /// Status, `announced` (`None`, pending or recorded), whether silenced; then what is said, and the state afterwards.
    type Case = (&'static str, Option<&'static str>, bool, (usize, usize), [Option<String>; 3]);
    let recorded = || Some(stored(0));
    let cases: [Case; 12] = [
        ("offline", None, false, (1, 0), state("offline", Some(0), Some(0))),
        ("offline", None, true, (0, 0), state("offline", Some(0), None)),
        ("offline", Some("pending"), false, (1, 0), state("offline", Some(0), Some(0))),
        ("offline", Some("pending"), true, (0, 0), pending("offline", 0)),
        ("offline", Some("recorded"), false, (0, 0), state("offline", Some(0), Some(0))),
        ("offline", Some("recorded"), true, (0, 0), state("offline", Some(0), Some(0))),
        ("online", None, false, (0, 0), state("online", None, None)),
        ("online", None, true, (0, 0), state("online", None, None)),
        ("online", Some("pending"), false, (0, 1), state("online", None, None)),
        ("online", Some("pending"), true, (0, 0), pending("online", 0)),
        ("online", Some("recorded"), false, (0, 1), state("online", None, None)),
        ("online", Some("recorded"), true, (0, 0), state("online", Some(0), Some(0))),
    ];
    for (status, announced, is_silenced, expected, after) in cases {
        let watchdog = TestWatchdog::start().await;
        watchdog.heartbeat("web-1", if status == "online" { 990 } else { 0 }).await;
        let announced_value = match announced {
            Some("recorded") => recorded(),
            other => other.map(str::to_owned),
        };
        let until = is_silenced.then(|| stored(2000));
        for (name, value) in [
            ("status", Some(status.to_owned())),
            ("offline_since", recorded()),
            ("announced", announced_value),
            ("silenced_until", until),
        ] {
            watchdog.set("web-1", name, value.as_deref()).await;
        }
        watchdog.sweep(1000).await.unwrap();
        let case = (status, announced, is_silenced);
        assert_eq!(said(&watchdog), expected, "{case:?}");
        assert_eq!(watchdog.state("web-1").await, after, "{case:?}");
    }
}

// C8.5: the mark of a silenced server says nothing ahead; once the silence is over, that is written before "offline" is
// published.
#[tokio::test]
async fn a_silenced_server_is_written_ahead_when_its_silence_ends() {
    let watchdog = TestWatchdog::start().await;
    watchdog.heartbeat("web-1", 0).await;
    watchdog.set("web-1", "silenced_until", Some(&stored(300))).await;
    watchdog.sweep(181).await.unwrap();
    assert_eq!(watchdog.state("web-1").await, state("offline", Some(0), None));
    watchdog.topic.set_behavior(Behavior::Rejects);
    watchdog.sweep(301).await.unwrap_err();
    assert_eq!(watchdog.state("web-1").await, pending("offline", 0));
}

// C8.5 C8.6: what a message is about.
#[tokio::test]
async fn a_message_carries_its_kinds() {
    let watchdog = TestWatchdog::start_with(&[("HOLD_SECONDS", "0")]).await;
    watchdog.heartbeat("a", 0).await;
    watchdog.sweep(181).await.unwrap();
    watchdog.heartbeat("a", 400).await;
    watchdog.heartbeat("b", 190).await;
    watchdog.sweep(401).await.unwrap();
    let kinds: Vec<_> = watchdog.topic.take().into_iter().map(|message| message.kinds).collect();
    assert_eq!(kinds, [vec!["offline"], vec!["offline", "back"]]);
}

// C8.12: a scan skips ids that no server can have.
#[tokio::test]
async fn ids_that_no_server_can_have_are_skipped() {
    let watchdog = TestWatchdog::start().await;
    let seen = ("last_seen", text(&stored(0)));
    for id in ["#other", "Web", "a b"] {
        watchdog.put(id, &[("status", text("online")), seen.clone()]).await;
    }
    watchdog.sweep(1000).await.unwrap();
    assert_eq!(said(&watchdog), (0, 0));
    let log = watchdog.log();
    let counts = |line: &Value| (line["servers"].clone(), line["late"].clone());
    assert_eq!(counts(lines(&log, "sweep")[0]), (json!(0), json!(0)));
}
