//! `notify`: who is subscribed, and which webhook gets a test (C11.5).

use crate::support::{Place, text, tool};
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use chrono::Utc;
use dev::command::Run;
use serde_json::Value;
use std::sync::Arc;
use tables::server::{Outcome, Report, Reported};
use tokio::net::TcpListener;

/// A topic to which `notify` is subscribed, and what `notify` writes of each message.
struct Topic {
    place: Arc<Place>,
    reasons: Vec<Option<&'static str>>,
}

async fn answer(State(topic): State<Arc<Topic>>, body: String) -> impl IntoResponse {
    if body.contains("Action=ListSubscriptionsByTopic") {
        return "<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions><member>\
                <Protocol>lambda</Protocol><Endpoint>notify</Endpoint>\
                <SubscriptionArn>arn:aws:sns:us-east-1:1:alerts:1</SubscriptionArn></member></Subscriptions>\
                </ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>";
    }
    if body.contains("Action=GetSubscriptionAttributes") {
        return "<GetSubscriptionAttributesResponse><GetSubscriptionAttributesResult><Attributes/>\
                </GetSubscriptionAttributesResult></GetSubscriptionAttributesResponse>";
    }
    let outcome = |reason: &Option<&str>| match reason {
        Some(reason) => Outcome::Failed((*reason).to_owned()),
        None => Outcome::Delivered(Utc::now()),
    };
    let formats = ["slack", "ntfy"].into_iter();
    let report = Report {
        came_at: Utc::now(),
        webhooks: formats
            .zip(topic.reasons.iter().map(outcome))
            .map(|(format, outcome)| Reported { format, group: None, outcome })
            .collect(),
    };
    let Topic { place, .. } = &*topic;
    for update in [report.together()].into_iter().chain(report.failures()) {
        let request = place.client.update_item().table_name(&place.servers);
        update.apply(request).send().await.unwrap();
    }
    "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
}

/// Sends a test that fails at each webhook for these reasons, if there is one.
async fn test(place: &Arc<Place>, reasons: &[Option<&'static str>], json: bool) -> Run {
    let json = json.then_some("--json");
    run(place, reasons, &["notify", "test"].into_iter().chain(json).collect::<Vec<_>>()).await
}

async fn run(place: &Arc<Place>, reasons: &[Option<&'static str>], arguments: &[&str]) -> Run {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let topic = Arc::new(Topic { place: place.clone(), reasons: reasons.to_vec() });
    let routes = Router::new().fallback(answer).with_state(topic);
    let served = tokio::spawn(async { axum::serve(listener, routes).await });
    let mut tool = place.tool();
    tool.env("AWS_ENDPOINT_URL_SNS", url).env("ALERT_TOPIC_ARN", "arn:aws:sns:us-east-1:1:alerts");
    tool.args(arguments);
    let run = tokio::task::spawn_blocking(move || dev::command::run(&mut tool)).await.unwrap();
    served.abort();
    run
}

// C11.5
#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_which_webhook_got_it() {
    let place = Arc::new(Place::new().await);
    let lines = |run: &Run| run.stdout.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    let well = test(&place, &[None, None], false).await;
    assert_eq!(lines(&well), ["webhook 1, slack: delivered", "webhook 2, ntfy: delivered"]);
    assert_eq!(well.code, 0, "{}", well.stderr);

    // The second time, nothing changes where it fails again.
    for reasons in [[None, Some("404, no\u{1b} topic")]; 2] {
        let failed = test(&place, &reasons, false).await;
        let second = "webhook 2, ntfy: failed: 404, no\u{fffd} topic";
        assert_eq!(lines(&failed), ["webhook 1, slack: delivered", second]);
        assert_eq!(failed.code, 1);
        assert!(failed.stderr.contains("the test did not reach 1 webhook"), "{}", failed.stderr);
    }

    // A position that exists no more is not named.
    let json = test(&place, &[Some("no answer")], true).await;
    let printed: Value = serde_json::from_str(&json.stdout).unwrap();
    let webhook = serde_json::json!({
        "position": 1, "format": "slack", "group": null, "state": "failed", "reason": "no answer",
    });
    assert_eq!(printed[0]["webhooks"], serde_json::json!([webhook]));
    assert_eq!((&printed[0]["state"], json.code), (&Value::from("confirmed"), 1));
}

// C14.4 C11.5
#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_the_group_of_each_webhook_and_what_is_known_of_it() {
    let place = Arc::new(Place::new().await);
    let since = text("2026-01-18T10:30:00.000000Z");
    let known = [
        ("format_1", text("slack")),
        ("group_1", text("db")),
        ("failed_1", since.clone()),
        ("reason_1", text("404, no_service")),
        ("format_2", text("slack")),
        ("delivered_2", since),
        ("format_3", text("json")),
        ("group_3", text("No Group")),
    ];
    place.put_server("#notify", known).await;
    let list = run(&place, &[], &["notify", "list"]).await;
    let lines: Vec<_> = list.stdout.lines().skip(2).collect();
    let expected = [
        "webhook 1, slack@db: failed: 404, no_service",
        "webhook 2, slack: delivered",
        "webhook 3, json: unknown",
    ];
    assert_eq!((lines, list.code), (expected.to_vec(), 0), "{}", list.stderr);
    let json = run(&place, &[], &["notify", "list", "--json"]).await;
    let printed: Value = serde_json::from_str(&json.stdout).unwrap();
    let webhooks = printed[0]["webhooks"].as_array().unwrap();
    let groups: Vec<_> = webhooks.iter().map(|webhook| webhook["group"].clone()).collect();
    assert_eq!(groups, ["db".into(), Value::Null, Value::Null]);
    assert_eq!(
        (&webhooks[0]["format"], &webhooks[0]["state"]),
        (&"slack".into(), &"failed".into())
    );
}

#[test]
fn only_a_mail_address_and_a_group_can_be_added() {
    for (arguments, reason) in [
        (&["nobody"][..], "it is not a mail address"),
        (&["a b@example.org"], "it is not a mail address"),
        (&["dba@example.org", "--group", "DB"], "a group has 1 to 16 characters"),
        (&["dba@example.org", "--group", "none"], "a group has 1 to 16 characters"),
    ] {
        let run = dev::command::run(tool().args(["notify", "add"]).args(arguments));
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(reason), "{arguments:?}: {}", run.stderr);
    }
}
