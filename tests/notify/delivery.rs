//! C11.4: one dead webhook delays no other, and what may still succeed is retried.

use crate::service::{Fault, SECRET, Service};
use crate::support::{Format, Notify, message, offline};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::time::Duration;

fn announcement() -> Value {
    message(&json!({ "offline": [offline("web-1", "web-1.example.com")] }))
}

fn errors(log: &[Value]) -> Vec<&Value> {
    log.iter().filter(|line| line["level"] == "ERROR").collect()
}

#[tokio::test(start_paused = true)]
async fn what_may_still_succeed_is_retried() {
    for Format { name: format, .. } in Format::all() {
        let service = Service::start(format).await;
        let faults = [408, 425, 429, 500, 503].map(Fault::Status);
        service.fail(faults.clone());
        let notify = Notify::start(&[&service]);
        assert!(notify.send(&announcement()).await, "{format}");
        assert_eq!(service.take().len(), faults.len() + 1, "{format}");
        // The next message needs one attempt.
        assert!(notify.send(&announcement()).await, "{format}");
        assert_eq!(service.take().len(), 1, "{format}");
        assert!(errors(&notify.log()).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_and_a_refused_connection_are_retried() {
    let service = Service::start("slack").await;
    service.reset(2);
    let notify = Notify::start(&[&service]);
    assert!(notify.send(&announcement()).await);
    assert_eq!(service.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_time_gets_it() {
    let date = |seconds| (Utc::now() + TimeDelta::seconds(seconds)).to_rfc2822();
    let of_telegram = |seconds: f64| json!({ "ok": false, "error_code": 429, "parameters": { "retry_after": seconds } });
    let nothing = || Value::Null;
    for (format, headers, body, expected) in [
        ("slack", vec!["3".to_owned()], nothing(), 3.0),
        ("slack", vec!["2.5".to_owned()], nothing(), 2.5),
        // It has whole seconds, and the first of these has begun.
        ("ntfy", vec![date(31)], nothing(), 30.5),
        ("telegram", vec![], of_telegram(3.0), 3.0),
        ("discord", vec![], json!({ "retry_after": 1.75 }), 1.75),
        // The longest counts.
        ("discord", vec!["2".to_owned()], json!({ "retry_after": 4.5 }), 4.5),
        ("discord", vec!["5".to_owned()], json!({ "retry_after": 4.5 }), 5.0),
        ("json", vec!["2".to_owned(), "6".to_owned(), "soon".to_owned()], nothing(), 6.0),
        // Of the other pause, too.
        ("slack", vec!["0.5".to_owned()], nothing(), 1.0),
        ("slack", vec!["-7".to_owned()], json!({ "retry_after": -7 }), 1.0),
    ] {
        let service = Service::start(format).await;
        service.fail([Fault::RetryAfter(headers.clone(), body.to_string())]);
        let notify = Notify::start(&[&service]);
        assert!(notify.send(&announcement()).await, "{format}");
        let attempts = service.take();
        let pause = (attempts[1].at - attempts[0].at).as_secs_f64();
        assert!((pause - expected).abs() < 0.6, "{format} {headers:?} {body}: {pause} s");
    }
}

/// As ntfy answers if others at the same address have sent too much.
const QUOTA: &str = r#"{"code":42908,"http":429,"error":"limit reached: daily message quota reached","link":"https://ntfy.sh/docs/publish/#limitations"}"#;

// C11.4
#[tokio::test(start_paused = true)]
async fn a_quota_is_not_waited_for_and_the_error_says_why() {
    let wait = |seconds: &str| Fault::RetryAfter(vec![seconds.to_owned()], "slow down".to_owned());
    for (format, fault, reason) in [
        ("ntfy", Fault::Answer(429, QUOTA.to_owned()), format!("429, {QUOTA}")),
        ("slack", wait("86400"), "429, slow down".to_owned()),
        ("slack", wait("99999999999999999999"), "429, slow down".to_owned()),
        (
            "discord",
            Fault::RetryAfter(vec![], r#"{"retry_after":1e300}"#.to_owned()),
            r#"429, {"retry_after":1e300}"#.to_owned(),
        ),
    ] {
        let [other, service] = [Service::start("json").await, Service::start(format).await];
        service.fail(vec![fault; 9]);
        let notify = Notify::start(&[&other, &service]);
        let text = announcement().to_string();
        let error = notify.try_send_within(145, None, &text).await.unwrap_err();
        assert_eq!(error, format!("1 of 2 webhooks failed: 2 {format}: {reason}"));
        assert_eq!((other.take().len(), service.take().len()), (1, 1), "{format}");
        let log = notify.log();
        let [line] = errors(&log)[..] else { panic!("{log:?}") };
        assert_eq!(format!("429, {}", line["answer"].as_str().unwrap()), reason);
    }
    // Other limits of ntfy are about the last minutes, and other services have codes of their own.
    for (format, code) in [("ntfy", 42_901), ("discord", 42_908)] {
        let service = Service::start(format).await;
        service.fail([Fault::Answer(429, json!({ "code": code }).to_string())]);
        assert!(Notify::start(&[&service]).send(&announcement()).await, "{format}");
        assert_eq!(service.take().len(), 2, "{format}");
    }
}

// C11.4
#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_12_seconds_is_one_message() {
    let service = Service::start("slack").await;
    service.fail(vec![Fault::Slow(12); 9]);
    let notify = Notify::start(&[&service]);
    assert!(notify.send_within(145, None, &announcement().to_string()).await);
    assert_eq!(service.take().len(), 1);
}

// C11.4: each of these may have arrived.
#[tokio::test(start_paused = true)]
async fn no_answer_is_retried_at_most_twice() {
    for resets in [0, 2] {
        let service = Service::start("slack").await;
        service.fail(vec![Fault::Hang; 9]);
        service.reset(resets);
        let notify = Notify::start(&[&service]);
        let text = announcement().to_string();
        let error = notify.try_send_within(145, None, &text).await.unwrap_err();
        assert_eq!(error, "1 of 1 webhooks failed: 1 slack: no answer");
        assert_eq!(service.take().len(), 3 - resets);
    }
    // Not with these.
    let service = Service::start("slack").await;
    let unavailable = vec![Fault::Status(503); 3];
    service.fail([vec![Fault::Hang; 2], unavailable.clone()].concat());
    let notify = Notify::start(&[&service]);
    assert!(notify.send_within(145, None, &announcement().to_string()).await);
    assert_eq!(service.take().len(), 2 + unavailable.len() + 1);
    // Nobody listens there, so nothing has arrived.
    let notify = Notify::start_linking_to("", "json:http://127.0.0.1:1/x");
    let began = tokio::time::Instant::now();
    assert!(!notify.send_within(145, None, &announcement().to_string()).await);
    assert!(began.elapsed() > Duration::from_secs(110), "{:?}", began.elapsed());
}

// C11.4
#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_end_is_an_answer() {
    let service = Service::start("slack").await;
    service.fail([Fault::HeadOnly(404), Fault::HeadOnly(200)]);
    let notify = Notify::start(&[&service]);
    let text = announcement().to_string();
    let error = notify.try_send_within(145, None, &text).await.unwrap_err();
    assert_eq!(error, "1 of 1 webhooks failed: 1 slack: 404");
    assert!(notify.send(&announcement()).await);
    assert_eq!(service.take().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_permanent_and_its_status_is_logged() {
    for status in [302, 400, 401, 404, 410, 413] {
        let [first, second] = [Service::start("ntfy").await, Service::start("slack").await];
        let elsewhere = first.entry().replacen("ntfy:", "", 1);
        second.fail([match status {
            302 => Fault::Redirect(elsewhere),
            _ => Fault::Status(status),
        }]);
        let notify = Notify::start(&[&first, &second]);
        assert!(!notify.send(&announcement()).await, "{status}");
        assert_eq!((first.take().len(), second.take().len()), (1, 1), "{status}");
        let log = notify.log();
        let [line] = errors(&log)[..] else { panic!("{log:?}") };
        assert_eq!(line["message"], "delivery failed");
        assert_eq!(line["position"], 2);
        assert_eq!(line["format"], "slack");
        assert_eq!(line["status"], status);
        assert_eq!(line["reason"], "the message is rejected");
        assert_eq!(line["request_id"], "request-1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_webhook_delays_no_other_and_fails_the_invocation() {
    let services = [Service::start("slack").await, Service::start("ntfy").await];
    services[0].fail(vec![Fault::Hang; 9]);
    // Nobody listens there.
    let refused = format!("json:http://127.0.0.1:1/{SECRET}");
    let entries = [refused, services[0].entry(), services[1].entry()];
    let notify = Notify::start_linking_to("", &entries.join(" "));
    let text = announcement().to_string();
    let sending = async {
        let is_delivered = notify.send_within(30, None, &text).await;
        assert!(!is_delivered);
    };
    let watching = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        services[1].take().len()
    };
    let ((), delivered) = tokio::join!(sending, watching);
    assert_eq!(delivered, 1, "the dead webhooks delayed the other");
    // The second attempt is cut off by the end of the function's time.
    assert_eq!(services[0].take().len(), 2);
    let log = notify.log();
    let failed: Vec<_> = errors(&log)
        .iter()
        .map(|line| (line["position"].as_u64().unwrap(), line["reason"].as_str().unwrap()))
        .collect();
    assert!(failed.contains(&(1, "the connection is refused")), "{failed:?}");
    assert!(failed.contains(&(2, "no answer")), "{failed:?}");
    assert_eq!(failed.len(), 2, "{failed:?}");
    let lines = json!(log).to_string();
    for secret in [SECRET, "127.0.0.1", "web-1"] {
        assert!(!lines.contains(secret), "{lines}");
    }
}
