use crate::support::app::{SERVER, TestApp, event, minimal, text, with, with_header};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tables::METRICS;
use tables::metric::Place;

// C5.6 C5.8
#[tokio::test]
async fn a_row_holds_what_was_sent() {
    let app = TestApp::start_with(&[("METRICS_RETENTION_DAYS", "7")]).await;
    assert_eq!(app.send(&event("every-field")).await.status, 200);
    let rows = app.rows().await;
    assert_eq!(rows.len(), 1);
    let sent: Value = serde_json::from_str(event("every-field")["body"].as_str().unwrap()).unwrap();
    for metric in &METRICS {
        let sent = match metric.place {
            Place::Body => &sent[metric.name],
            Place::Seed | Place::Metrics => &sent["metrics"][metric.name],
        };
        let expected = sent.as_f64().or(sent.as_bool().map(|flag| f64::from(u8::from(flag))));
        let stored = rows[0].get(metric.name).map(|value| text(value).parse().unwrap());
        assert!(expected.is_some(), "events/every-field.json lacks {}", metric.name);
        assert_eq!(stored, expected, "{}", metric.name);
    }
    assert_eq!(text(&rows[0]["server_id"]), SERVER);
    assert_eq!(text(&rows[0]["timestamp"]), "2026-01-18T10:30:00.000000Z");
    assert_eq!(
        text(&rows[0]["recorded_at"]),
        "2026-01-18T10:30:00.000000Z#omv-mediaserver-1768732200"
    );
    let received_at = chrono::DateTime::parse_from_rfc3339(&text(&rows[0]["received_at"])).unwrap();
    let expires_at: i64 = text(&rows[0]["expires_at"]).parse().unwrap();
    assert_eq!(expires_at - received_at.timestamp(), 7 * 86_400);
    let own = ["server_id", "recorded_at", "timestamp", "received_at", "expires_at", "disks"];
    assert_eq!(rows[0].len(), METRICS.len() + own.len());
    assert_eq!(text(&app.server().await.unwrap()["last_seen"]), text(&rows[0]["received_at"]));
}

// C3.4 C5.6
#[tokio::test]
async fn a_row_is_appended_only_if_metrics_are_present() {
    let app = TestApp::start().await;
    for (metrics, names) in [
        (None, None),
        (Some(Value::Null), None),
        (Some(json!({})), Some(0)),
        (Some(json!({ "cpu_percent": null, "load_1m": 0.5 })), Some(1)),
    ] {
        app.tables.clear().await;
        let body = metrics.clone().map_or_else(minimal, |metrics| with("metrics", metrics));
        assert_eq!(app.post(&body).await.status, 200);
        let names_stored = app.rows().await.first().map(|row| row.len() - 5);
        assert_eq!(names_stored, names, "{metrics:?}");
    }
}

// C5.7
#[tokio::test]
async fn two_heartbeats_with_the_same_timestamp_are_two_rows() {
    let app = TestApp::start().await;
    for _ in 0..2 {
        assert_eq!(app.send(&event("heartbeat")).await.status, 200);
    }
    assert_eq!(app.rows().await.len(), 2);
}

// C5.6 C5.7
#[tokio::test]
async fn a_retried_heartbeat_is_one_row_and_overwrites_nothing() {
    let app = TestApp::start().await;
    let idempotent_event = event("every-field");
    let answers = join_all((0..10).map(|_| app.send(&idempotent_event))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let rows = app.rows().await;
    assert_eq!(rows.len(), 1);

    let mut other = idempotent_event;
    other["body"] = other["body"].as_str().unwrap().replace("23.5", "99.5").into();
    assert_eq!(app.send(&other).await.status, 200);
    assert_eq!(app.rows().await, rows);
}

// C5.7
#[tokio::test]
async fn an_idempotency_key_is_1_to_64_visible_ascii_characters() {
    let app = TestApp::start().await;
    for good in ["a", "!~#\"", &"x".repeat(64)] {
        assert_eq!(
            app.send(&with_header(event("heartbeat"), "idempotency-key", good)).await.status,
            200,
            "{good}"
        );
    }
    for (bad, violation) in [
        ("", "string_too_short"),
        (" ", "string_too_short"),
        ("a b", "string_pattern_mismatch"),
        ("é", "string_pattern_mismatch"),
        (&"x".repeat(65), "string_too_long"),
    ] {
        let answer = app.send(&with_header(event("heartbeat"), "idempotency-key", bad)).await;
        let error = &answer.body["detail"][0];
        assert_eq!(
            (answer.status, &error["type"], &error["loc"]),
            (422, &json!(violation), &json!(["header", "idempotency-key"]))
        );
    }
    let mut event = with_header(event("heartbeat"), "idempotency-key", "a b");
    event["body"] = "{}".into();
    assert_eq!(app.send(&event).await.body["detail"].as_array().unwrap().len(), 4);
    assert_eq!(app.rows().await.len(), 3);
}
