//! C8.11: settings are read, invalid ones are rejected by name, and every reader of the fleet finds the rules (C8.12).

use crate::support::{TestWatchdog, settings, text};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::TimeDelta;
use heartbeat::watchdog::{Config, DaysConfig, EventsConfig};
use tables::server::{Memory, VERSION};

fn config(changed: &[(&str, Option<&str>)]) -> Result<Config, String> {
    let mut settings = settings("servers", "http://127.0.0.1:1");
    for (name, value) in changed {
        match value {
            Some(value) => settings.insert((*name).to_owned(), (*value).to_owned()),
            None => settings.remove(*name),
        };
    }
    Config::from_variables(|name| settings.get(name).cloned()).map_err(|error| error.to_string())
}

#[test]
fn thresholds_have_defaults() {
    for (offline_after, hold, expected) in [
        (None, None, (180, 600)),
        (Some("300"), None, (300, 600)),
        (Some("301"), None, (301, 602)),
        (Some("60"), Some("0"), (60, 0)),
        (Some("60"), Some("61"), (60, 61)),
    ] {
        let set = [("OFFLINE_AFTER_SECONDS", offline_after), ("HOLD_SECONDS", hold)];
        let rules = config(&set).unwrap_or_else(|error| panic!("{error}")).rules;
        let expected = (TimeDelta::seconds(expected.0), TimeDelta::seconds(expected.1));
        assert_eq!((rules.offline_after, rules.hold), expected);
    }
}

#[test]
fn unusable_settings_are_named() {
    for (name, value, reason) in [
        ("SERVERS_TABLE", None, "it is not set"),
        ("OFFLINE_AFTER_SECONDS", Some("0"), "it is not a whole number above 0"),
        ("OFFLINE_AFTER_SECONDS", Some("1.5"), "it is not a whole number above 0"),
        ("HOLD_SECONDS", Some("-1"), "it is not a whole number"),
        ("HOLD_SECONDS", Some("soon"), "it is not a whole number"),
        ("ALERT_TOPIC_ARN", Some("alerts"), "it is not the ARN of an SNS topic"),
        (
            "ALERT_TOPIC_ARN",
            Some("arn:aws:sqs:us-east-1:1:alerts"),
            "it is not the ARN of an SNS topic",
        ),
        ("AWS_ENDPOINT_URL_SNS", Some("localhost:4566"), "it is not an http or https URL"),
        ("AWS_REGION", None, "it is not set"),
        ("LIMITS", Some("disk_percent=90,service=90"), "\"service=90\": it can only be off"),
        (
            "LIMITS",
            Some("cpu_percent=90/30s"),
            "\"cpu_percent=90/30s\": the time after / is not a whole number with s, m or h, from 1m to 24h",
        ),
        (
            "DIGEST_AT",
            Some("07:30/never"),
            "it is not times HH:MM, separated by commas and optionally followed by /always, nor none",
        ),
        (
            "TIME_ZONE",
            Some("CEST"),
            "it is not the name of a time zone, such as Europe/Berlin or UTC",
        ),
        ("METRICS_RETENTION_DAYS", Some("0"), "it is not a whole number above 0"),
        ("HISTORY_DAYS", Some("-1"), "it is not a whole number"),
        ("HISTORY_DAYS", Some("1.5"), "it is not a whole number"),
        (
            "PING_URL",
            Some("http://example.com/secret"),
            "http is for this machine only: it must be https",
        ),
        ("PING_URL", Some("secret word"), "it has no valid URL"),
        ("PAGE_URL", Some("page.example.com"), "it is not an http or https URL"),
        (
            "PAGE_URL",
            Some("https://page.example.com/?a=b"),
            "it has other characters than letters, digits and -.:/_~%",
        ),
    ] {
        let error = config(&[(name, value)]).err();
        assert_eq!(error, Some(format!("{name}: {reason}")), "{value:?}");
    }
    assert!(config(&[("ALERT_TOPIC_ARN", None)]).is_ok());
}

// C10 C12 C15.1
#[test]
fn what_is_optional_is_off_unless_it_is_set() {
    let off = [("DIGEST_AT", Some("none")), ("PING_URL", Some("none")), ("METRICS_TABLE", None)];
    for changed in [&[][..], &off] {
        let config = config(changed).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((config.digest, config.events, config.days), (None, None, None));
        assert!(config.ping.is_none());
    }
    let set = [
        ("DIGEST_AT", Some("07:30/always")),
        ("PING_URL", Some("https://example.com/secret")),
        ("METRICS_TABLE", Some("metrics")),
        ("METRICS_RETENTION_DAYS", Some("7")),
        ("HISTORY_DAYS", Some("99")),
    ];
    let config = config(&set).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.digest.is_some_and(|digest| digest.is_always));
    let events = EventsConfig {
        table: "metrics".to_owned(),
        retention: TimeDelta::days(7),
        keep_of_server: TimeDelta::days(99),
    };
    assert_eq!(config.events, Some(events));
    let days = DaysConfig {
        table: "metrics".to_owned(),
        retention: TimeDelta::days(7),
        keep: TimeDelta::days(99),
    };
    assert_eq!(config.days, Some(days));
    let ping = format!("{:?}", config.ping.unwrap());
    assert!(!ping.contains("secret"), "{ping}");
}

// C8.12
#[tokio::test]
async fn the_watchdogs_own_item_holds_the_rules_that_it_applies() {
    for (set, [offline_after, hold, back_after], limits, zone) in [
        (&[][..], ["180", "600", "0"], "disk_percent=90", "UTC"),
        (
            &[
                ("OFFLINE_AFTER_SECONDS", "900"),
                ("BACK_AFTER_SECONDS", "60"),
                ("LIMITS", "load_5m=0.5,cpu_percent=99"),
                ("TIME_ZONE", "Europe/Berlin"),
            ],
            ["900", "1800", "60"],
            "load_5m=0.5,cpu_percent=99",
            "Europe/Berlin",
        ),
        (&[("LIMITS", ""), ("HOLD_SECONDS", "0")], ["180", "0", "0"], "none", "UTC"),
    ] {
        let watchdog = TestWatchdog::start_with(set).await;
        watchdog.sweep(0).await.unwrap();
        let item = watchdog.item("#watchdog").await.unwrap();
        let number = |seconds: &str| AttributeValue::N(seconds.to_owned());
        assert_eq!(item["offline_after"], number(offline_after), "{set:?}");
        assert_eq!(item["hold"], number(hold), "{set:?}");
        assert_eq!(item["back_after"], number(back_after), "{set:?}");
        assert_eq!(item["limits"], text(limits), "{set:?}");
        assert_eq!(item["time_zone"], text(zone), "{set:?}");
        assert_eq!(item["version"], number("2"), "{set:?}");

        let scan = watchdog.tables.client.scan();
        let scan = tables::server::scan(scan.table_name(&watchdog.tables.servers));
        let found = scan.send().await.unwrap().items()[0].clone();
        let memory = Memory::from_item(&found).unwrap();
        assert_eq!(memory.version, VERSION);
        let rules = memory.rules.unwrap();
        let seconds = |text: &str| TimeDelta::seconds(text.parse().unwrap());
        assert_eq!(rules.offline_after, seconds(offline_after), "{set:?}");
        assert_eq!(rules.hold, seconds(hold), "{set:?}");
        assert_eq!(rules.back_after, seconds(back_after), "{set:?}");
        assert_eq!(rules.limits.to_string(), limits);
        assert_eq!(rules.zone.to_string(), zone);
    }
}
