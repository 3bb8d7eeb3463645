//! C11.4: one dead webhook delays no other, and what may still succeed is retried.

use crate::service::{Fault, SECRET, Service};
use crate::support::{Format, Notify, message, offline};
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
        service.fail([Fault::Status(500), Fault::Status(503)]);
        let notify = Notify::start(&[&service]);
        assert!(notify.send(&announcement()).await, "{format}");
        assert_eq!(service.take().len(), 3, "{format}");
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
    for (format, fault) in
        [("discord", Fault::RetryAfter(3)), ("telegram", Fault::TelegramRetryAfter(3))]
    {
        let service = Service::start(format).await;
        service.fail([fault]);
        let notify = Notify::start(&[&service]);
        assert!(notify.send(&announcement()).await, "{format}");
        let attempts = service.take();
        let pause = (attempts[1].at - attempts[0].at).as_secs();
        assert_eq!(pause, 3, "{format}");
    }
    // More time than the function has: it gives up at once.
    let service = Service::start("ntfy").await;
    service.fail([Fault::RetryAfter(3_600)]);
    let notify = Notify::start(&[&service]);
    assert!(!notify.send(&announcement()).await);
    assert_eq!(service.take().len(), 1);
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
        let is_delivered = notify.send_within(14, None, &text).await;
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
