use crate::support::app::{
    SERVER, TestApp, event, minimal, of_size, posting, text, too_large, with, with_header,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    body: Option<String>,
    body_base64: Option<String>,
    status: u16,
    errors: Vec<Value>,
}

// C3.2 to C4.5: every body of the list gets its status and its errors, in order.
#[tokio::test]
async fn every_case_of_the_contract_gets_its_answer() {
    let app = TestApp::start().await;
    for (number, line) in include_str!("../contract-cases.jsonl").lines().enumerate() {
        let case: Case = serde_json::from_str(line).unwrap();
        let mut event = posting(case.body.or_else(|| case.body_base64.clone()).unwrap());
        event["isBase64Encoded"] = case.body_base64.is_some().into();
        let answer = app.send(&event).await;
        let errors: Vec<_> = answer.body["detail"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| json!({ "type": error["type"], "loc": error["loc"] }))
            .collect();
        assert_eq!(
            (answer.status, errors),
            (case.status, case.errors),
            "line {}: {line}",
            number + 1
        );
    }
}

// C3.1
#[tokio::test]
async fn a_body_may_have_one_mib() {
    let app = TestApp::start().await;
    assert_eq!(app.send(&of_size(1024 * 1024)).await.status, 200);
    let answer = app.send(&too_large()).await;
    assert_eq!((answer.status, &answer.body["detail"]["code"]), (413, &json!("PAYLOAD_TOO_LARGE")));
}

// C3.2
#[tokio::test]
async fn the_content_type_does_not_matter() {
    let app = TestApp::start().await;
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "nonsense"] {
        let mut event = event("heartbeat");
        event["headers"]["content-type"] = content_type.into();
        assert_eq!(app.send(&event).await.status, 200, "{content_type}");
    }
}

// C3.6: each number as it is sent, and as DynamoDB then holds it.
#[tokio::test]
async fn numbers_are_stored_with_the_value_that_was_sent() {
    let app = TestApp::start().await;
    for (field, sent, stored) in [
        ("uptime_seconds", "18446744073709551615", "18446744073709551615"),
        ("uptime_seconds", "9007199254740993", "9007199254740993"),
        ("uptime_seconds", "16384.0", "16384"),
        ("uptime_seconds", "1.6e3", "1600"),
        ("uptime_seconds", "-0", "0"),
        ("uptime_seconds", "true", "1"),
        ("uptime_seconds", r#"" +0012.00 ""#, "12"),
        ("uptime_seconds", r#""18446744073709551615""#, "18446744073709551615"),
        ("load_1m", "0.1", "0.1"),
        ("load_1m", "0.30000000000000004", "0.30000000000000004"),
        ("load_1m", "4.35", "4.35"),
        ("load_1m", "0", "0"),
        ("load_1m", "-0.0", "0"),
        ("load_1m", "123456789.125", "123456789.125"),
        ("load_1m", "false", "0"),
        ("load_1m", r#"" 1e3 ""#, "1000"),
        ("load_1m", r#"".5""#, "0.5"),
        ("load_1m", "1e-131", "0"),
        ("cpu_percent", "5e-324", "0"),
        ("cpu_percent", "100.0", "100"),
    ] {
        app.tables.clear().await;
        let body =
            minimal().to_string().replace("{", &format!(r#"{{"metrics":{{"{field}":{sent}}},"#));
        assert_eq!(app.send(&posting(body)).await.status, 200, "{field}: {sent}");
        assert_eq!(text(&app.rows().await[0][field]), stored, "{field}: {sent}");
    }
}

// C4.4: the limits of what DynamoDB can store. It may write these numbers differently, so they are parsed and compared.
#[tokio::test]
async fn the_largest_and_smallest_numbers_are_stored() {
    let app = TestApp::start().await;
    for sent in [9.9e125, 1e-130, 1e16, 1e-5, 1.797_693_134_862_315_7e125] {
        app.tables.clear().await;
        assert_eq!(
            app.post(&with("metrics", json!({ "load_1m": sent }))).await.status,
            200,
            "{sent:e}"
        );
        assert_eq!(text(&app.rows().await[0]["load_1m"]).parse(), Ok(sent));
    }
}

// C3.7 C3.8
#[tokio::test]
async fn a_timestamp_is_stored_in_utc_to_the_microsecond_however_far_away_it_is() {
    let app = TestApp::start().await;
    for (sent, stored) in [
        (json!("2026-01-18T10:30:00Z"), "2026-01-18T10:30:00.000000Z"),
        (json!("2026-01-18"), "2026-01-18T00:00:00.000000Z"),
        (json!("2026-01-18 10:30"), "2026-01-18T10:30:00.000000Z"),
        (json!("2026-01-18t10:30:00,5z"), "2026-01-18T10:30:00.500000Z"),
        (json!("2026-01-18_10:30:00.1234569"), "2026-01-18T10:30:00.123456Z"),
        (json!("2026-01-18T00:30:00+0100"), "2026-01-17T23:30:00.000000Z"),
        (json!("2026-01-18T10:30-07:30"), "2026-01-18T18:00:00.000000Z"),
        (json!("2026-01-18T10:30:00\u{2212}01:00"), "2026-01-18T11:30:00.000000Z"),
        (json!(1_768_732_200), "2026-01-18T10:30:00.000000Z"),
        (json!(1_768_732_200.25), "2026-01-18T10:30:00.250000Z"),
        (json!("1768732200.123456"), "2026-01-18T10:30:00.123456Z"),
        (json!(1_768_732_200_000_i64), "2026-01-18T10:30:00.000000Z"),
        (json!(1_768_732_200_000.5), "2026-01-18T10:30:00.000500Z"),
        (json!(20_000_000_000_i64), "2603-10-11T11:33:20.000000Z"),
        (json!(20_000_000_000.5), "1970-08-20T11:33:20.000500Z"),
        (json!(-1.5), "1969-12-31T23:59:58.500000Z"),
        (json!("-1"), "1969-12-31T23:59:59.000000Z"),
        (json!("0001-01-01"), "0001-01-01T00:00:00.000000Z"),
        (json!("9999-12-31T23:59:59+00:01"), "9999-12-31T23:58:59.000000Z"),
        (json!(253_402_300_799_999_i64), "9999-12-31T23:59:59.999000Z"),
    ] {
        app.tables.clear().await;
        let mut body = with("metrics", json!({}));
        body["timestamp"] = sent.clone();
        assert_eq!(app.post(&body).await.status, 200, "{sent}");
        let row = &app.rows().await[0];
        assert_eq!(text(&row["timestamp"]), stored, "{sent}");
        let received: DateTime<Utc> = text(&row["received_at"]).parse().unwrap();
        assert!((Utc::now() - received).abs() < TimeDelta::minutes(5), "{sent}");
    }
}

// C3.6 C3.7: cases that contract-cases.jsonl leaves out.
#[tokio::test]
async fn invalid_numbers_and_timestamps_get_their_error_types() {
    let app = TestApp::start().await;
    for (field, sent, violation) in [
        ("load_1m", json!("nan"), "float_parsing"),
        ("load_1m", json!("-inf"), "float_parsing"),
        ("load_1m", json!("1_000"), "float_parsing"),
        ("load_1m", json!("1e400"), "less_than_equal"),
        ("uptime_seconds", json!("1_000"), "int_parsing"),
        ("uptime_seconds", json!("12."), "int_parsing"),
        ("uptime_seconds", json!("+"), "int_parsing"),
        ("uptime_seconds", json!("99999999999999999999999"), "less_than_equal"),
        ("uptime_seconds", json!("-99999999999999999999999"), "greater_than_equal"),
    ] {
        let answer = app.post(&with("metrics", json!({ field: sent }))).await;
        assert_eq!(answer.body["detail"][0]["type"], violation, "{field}: {sent}");
    }
    for (sent, violation) in [
        (json!("0000-01-01"), "datetime_parsing"),
        (json!("0000-13-01"), "datetime_from_date_parsing"),
        (json!("2026-01-18T10:30.5"), "datetime_from_date_parsing"),
        (json!("2026-01-18T10:30:00+00:60"), "datetime_from_date_parsing"),
        (json!("2026-01-18Z"), "datetime_from_date_parsing"),
        (json!("2026-01-18T10:30:00é"), "datetime_from_date_parsing"),
        (json!("2026-01-1é"), "datetime_from_date_parsing"),
        (json!("1e3"), "datetime_from_date_parsing"),
        (json!("."), "datetime_from_date_parsing"),
        (json!(253_402_300_800_000_i64), "datetime_parsing"),
        (json!(-62_135_596_800_001_i64), "datetime_parsing"),
        (json!(1e300), "datetime_parsing"),
        (json!(u64::MAX), "datetime_parsing"),
        // In UTC, these are outside the years 1 to 9999.
        (json!("9999-12-31T23:59:59-23:59"), "datetime_parsing"),
        (json!("9999-12-31T23:59:59-00:01"), "datetime_parsing"),
        (json!("0001-01-01T00:00:00+00:01"), "datetime_parsing"),
        (json!("0000-12-31T23:59:59-00:01"), "datetime_parsing"),
    ] {
        let answer = app.post(&with("timestamp", sent.clone())).await;
        assert_eq!(answer.body["detail"][0]["type"], violation, "{sent}");
    }
    assert_eq!(app.servers().await, []);
}

// C4.1 C4.3
#[tokio::test]
async fn every_bad_field_is_reported_and_none_is_echoed() {
    let app = TestApp::start().await;
    let answer = app.send(&event("bad-fields")).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.body,
        json!({ "detail": [
            { "type": "string_pattern_mismatch", "loc": ["body", "server_id"], "msg": "String should match pattern '^[a-z0-9-]+$'" },
            { "type": "datetime_from_date_parsing", "loc": ["body", "timestamp"], "msg": "Input should be a valid datetime or date" },
            { "type": "less_than_equal", "loc": ["body", "metrics", "cpu_percent"], "msg": "Input should be less than or equal to 100" },
            { "type": "greater_than_equal", "loc": ["body", "metrics", "memory_total_mb"], "msg": "Input should be greater than or equal to 0" },
        ] })
    );
    assert_eq!((app.servers().await, app.rows().await), (vec![], vec![]));
}

// C3.5 and C5: strings are stored byte for byte.
#[tokio::test]
async fn strings_are_stored_as_they_were_sent() {
    let app = TestApp::start().await;
    let hostname = "nul \u{0} newline \n emoji 😀 combining e\u{301}";
    let body = json!({ "server_id": SERVER, "hostname": hostname, "timestamp": 0, "os_info": { "kernel": "" } });
    assert_eq!(app.post(&body).await.status, 200);
    let server = app.server().await.unwrap();
    assert_eq!(
        (text(&server["hostname"]).as_str(), text(&server["kernel_version"]).as_str()),
        (hostname, "")
    );
}

// C4.2: pydantic's messages, in the singular and in the plural.
#[tokio::test]
async fn limit_messages_use_the_singular_and_the_plural() {
    let app = TestApp::start().await;
    for (field, sent, message) in [
        ("server_id", json!(""), "String should have at least 1 character"),
        ("server_id", json!("x".repeat(101)), "String should have at most 100 characters"),
    ] {
        let answer = app.post(&with(field, sent)).await;
        assert_eq!(answer.body["detail"][0]["msg"], message);
    }
}

// C4.4: what is read must be something that can be stored; what is not read must only be JSON.
#[tokio::test]
async fn what_cannot_be_stored_is_rejected_where_it_is_read() {
    let app = TestApp::start().await;
    for (value, field, status) in [
        (r#""\ud800""#, "hostname", 422),
        (r#""\ud800""#, "other", 200),
        ("1e400", "timestamp", 422),
        ("1e400", "other", 200),
        (r#"{"load_1m":1e400}"#, "metrics", 422),
        (r#"{"load_9m":1e400}"#, "metrics", 200),
        (r#"{"kernel":"\udc00"}"#, "os_info", 422),
        (r#"{"colonel":"\udc00","\ud800":[]}"#, "os_info", 200),
        (r#"[1e999,{"\ud800":"\ud800\ud800"}]"#, "other", 200),
        (r#"1,"\ud800":1"#, "other", 200),
        // The last one counts.
        (r#""\ud800","hostname":"a""#, "hostname", 200),
        (r#""a","hostname":"\ud800""#, "hostname", 422),
        ("NaN", "other", 422),
        ("[1,]", "other", 422),
        (r#""\x""#, "other", 422),
        (r#""\ud80""#, "other", 422),
        ("\"\u{1}\"", "other", 422),
        ("01", "other", 422),
        ("1.", "other", 422),
        ("-", "other", 422),
        ("tru", "other", 422),
        ("{1:2}", "other", 422),
        ("", "other", 422),
    ] {
        let body = minimal().to_string();
        let body = body.replacen(&format!("\"{field}\""), "\"replaced\"", 1);
        let body = body.replacen('}', &format!(r#","{field}":{value}}}"#), 1);
        let answer = app.send(&posting(body.clone())).await;
        assert_eq!(answer.status, status, "{body}");
        if status == 422 {
            let errors = answer.body["detail"].as_array().unwrap();
            let is_invalid = errors[0]["type"] == "json_invalid";
            assert!(is_invalid && errors.len() == 1, "{body}: {errors:?}");
        }
    }
}

// C3.2: the key is checked before, and the size after.
#[tokio::test]
async fn a_compressed_body_is_an_unsupported_media_type() {
    let app = TestApp::start().await;
    for (encoding, status) in [
        ("gzip", 415),
        ("GZIP", 415),
        ("br", 415),
        ("identity, gzip", 415),
        ("identity", 200),
        (" Identity ", 200),
        ("", 200),
    ] {
        let event = with_header(event("heartbeat"), "content-encoding", encoding);
        let answer = app.send(&event).await;
        assert_eq!(answer.status, status, "{encoding:?}");
        if status == 415 {
            let detail = &answer.body["detail"];
            assert_eq!(detail["code"], "UNSUPPORTED_MEDIA_TYPE");
            assert!(detail["message"].as_str().unwrap().contains("Content-Encoding"));
        }
    }
    let large = with_header(too_large(), "content-encoding", "gzip");
    assert_eq!(app.send(&large).await.status, 415);
    let unknown = with_header(event("wrong-key"), "content-encoding", "gzip");
    assert_eq!(app.send(&unknown).await.status, 401);
}
