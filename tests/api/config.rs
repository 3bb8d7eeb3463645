use crate::support::app::DIGEST;
use heartbeat::endpoint::Config;
use heartbeat::{aws, log};
use tracing::Level;

/// The error with which the configuration is rejected if one setting has this value, or "accepted".
fn rejection(name: &str, value: Option<&str>) -> String {
    let read = |requested: &str| {
        if requested == name {
            return value.map(str::to_owned);
        }
        let value = match requested {
            "API_KEY_SHA256" => DIGEST,
            "SERVERS_TABLE" | "METRICS_TABLE" => "table",
            "AWS_REGION" => "us-east-1",
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "test",
            _ => return None,
        };
        Some(value.to_owned())
    };
    match Config::from_variables(read) {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

// C2.4
#[test]
fn a_missing_or_malformed_digest_is_reported_and_not_echoed() {
    let short = &DIGEST[1..];
    let not_hex = DIGEST.replace(&DIGEST[..1], "g");
    for (list, entry) in [
        (short.to_owned(), 1),
        (not_hex, 1),
        (format!("{DIGEST},"), 2),
        (format!("{DIGEST},{short}:web-1"), 2),
        (format!("{DIGEST},{DIGEST}:Web-1,{DIGEST}"), 2),
        (format!("{DIGEST}:"), 1),
        (format!("{DIGEST} {DIGEST}"), 1),
    ] {
        let rejection = rejection("API_KEY_SHA256", Some(&list));
        assert!(
            rejection.starts_with(&format!("API_KEY_SHA256: entry {entry} is not 64 hex digits")),
            "{rejection}"
        );
        assert!(!rejection.contains(short));
    }
    assert_eq!(
        rejection("API_KEY_SHA256", None),
        "API_KEY_SHA256: it is not set, and neither is KEYS_TABLE"
    );
    assert_eq!(rejection("API_KEY_SHA256", Some(" ")), "API_KEY_SHA256: it holds no digest");
}

// C2.9 C2.11: an empty value counts as unset, so the default applies.
#[test]
fn a_keys_table_replaces_digests() {
    let settings = |changed: &[(&'static str, &str)]| {
        let mut settings = crate::support::app::settings_for("servers", "metrics");
        let changed = changed.iter();
        settings.extend(changed.map(|(name, value)| (*name, (*value).to_owned())));
        Config::from_variables(|name| settings.get(name).cloned())
    };
    for (seconds, expected) in [("", 300), ("1", 1), ("86400", 86400)] {
        let config = settings(&[
            ("API_KEY_SHA256", ""),
            ("KEYS_TABLE", "keys"),
            ("KEY_CACHE_SECONDS", seconds),
        ]);
        let table = config.ok().unwrap().keys_table.unwrap();
        assert_eq!(table.name, "keys");
        assert_eq!(table.cache_for.num_seconds(), expected, "{seconds}");
    }
    assert!(settings(&[]).ok().unwrap().keys_table.is_none());
    assert_eq!(
        settings(&[("API_KEY_SHA256", ""), ("KEYS_TABLE", "")]).err().unwrap().to_string(),
        "API_KEY_SHA256: it is not set, and neither is KEYS_TABLE"
    );
    let malformed = settings(&[("API_KEY_SHA256", "none"), ("KEYS_TABLE", "keys")]);
    assert!(malformed.err().unwrap().to_string().contains("entry 1"));
}

#[test]
fn settings_have_defaults_and_limits() {
    assert_eq!(rejection("METRICS_RETENTION_DAYS", None), "accepted");
    assert_eq!(rejection("OPERATION_TIMEOUT_MS", Some("9000")), "accepted");
    for required in [
        "SERVERS_TABLE",
        "METRICS_TABLE",
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ] {
        assert_eq!(rejection(required, None), format!("{required}: it is not set"));
    }
    for number in [
        "METRICS_RETENTION_DAYS",
        "KEY_CACHE_SECONDS",
        "CONNECT_TIMEOUT_MS",
        "ATTEMPT_TIMEOUT_MS",
        "OPERATION_TIMEOUT_MS",
        "IDLE_TIMEOUT_MS",
    ] {
        for value in ["0", "-1", "1.5", "ten", "4294967296"] {
            assert_eq!(
                rejection(number, Some(value)),
                format!("{number}: it is not a whole number above 0")
            );
        }
    }
}

// C6.4: connect ≤ attempt < operation.
#[test]
fn timeouts_are_nested() {
    assert_eq!(
        rejection("CONNECT_TIMEOUT_MS", Some("1501")),
        "CONNECT_TIMEOUT_MS: it is above ATTEMPT_TIMEOUT_MS"
    );
    assert_eq!(rejection("CONNECT_TIMEOUT_MS", Some("1500")), "accepted");
    assert_eq!(
        rejection("ATTEMPT_TIMEOUT_MS", Some("5000")),
        "ATTEMPT_TIMEOUT_MS: it is not below OPERATION_TIMEOUT_MS"
    );
}

// The connector would panic on a certificate that it cannot read.
#[test]
fn an_unusable_ca_bundle_is_named() {
    let good = String::from_utf8(aws::AMAZON_ROOTS.to_vec()).unwrap();
    let pem = |base64: &str| {
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    for (bundle, reason) in [
        (None, "No such file"),
        (Some(String::new()), "it holds no certificate"),
        (Some("no PEM".to_owned()), "it holds no certificate"),
        (Some(pem("?")), "base64 decode error"),
        (Some(pem("bm8gREVS")), "invalid peer certificate: BadEncoding"),
        (Some(good.clone() + &pem("bm8gREVS")), "invalid peer certificate: BadEncoding"),
        (Some(good.replacen("-----END", "----END", 1)), "base64 decode error"),
    ] {
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/ca-bundle.pem");
        let _ = std::fs::remove_file(path);
        if let Some(bundle) = &bundle {
            std::fs::write(path, bundle).unwrap();
        }
        let mut settings = crate::support::app::settings_for("servers", "metrics");
        settings.insert("AWS_CA_BUNDLE", path.to_owned());
        let config = crate::support::app::config(&settings);
        let rejection = aws::clients(&config.aws).err().unwrap().to_string();
        let reasons = rejection.strip_prefix("AWS_CA_BUNDLE: ").unwrap();
        assert!(reasons.contains(reason), "{reason}: {rejection}");
    }
}

#[test]
fn only_lambdas_log_levels_are_accepted() {
    let level = |value: Option<&str>| {
        log::level(|name| {
            assert_eq!(name, "AWS_LAMBDA_LOG_LEVEL");
            value.map(str::to_owned)
        })
    };
    for (value, expected) in [
        ("TRACE", Level::TRACE),
        ("DEBUG", Level::DEBUG),
        ("INFO", Level::INFO),
        ("WARN", Level::WARN),
        ("ERROR", Level::ERROR),
        ("FATAL", Level::ERROR),
        ("warn", Level::WARN),
    ] {
        assert_eq!(level(Some(value)).unwrap(), expected, "{value}");
    }
    assert_eq!(level(None).unwrap(), Level::INFO);
    assert_eq!(level(Some("")).unwrap(), Level::INFO);
    for value in ["LOUD", "WARNING", "3", "INFO ", "off"] {
        let error = level(Some(value)).unwrap_err().to_string();
        assert_eq!(
            error, "AWS_LAMBDA_LOG_LEVEL: it is not TRACE, DEBUG, INFO, WARN, ERROR or FATAL",
            "{value}"
        );
    }
}

#[test]
fn an_endpoint_must_be_an_http_or_https_url() {
    for url in [
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://dynamodb.us-east-1.amazonaws.com",
        "https://vpce.example.com/prefix/",
    ] {
        assert_eq!(rejection("AWS_ENDPOINT_URL_DYNAMODB", Some(url)), "accepted", "{url}");
    }
    for url in [
        "localhost",
        "localhost:8000",
        "127.0.0.1:8000",
        "//localhost",
        "http://",
        "http:///tables",
        "http://local host:8000",
        "http://localhost:port",
        "http://localhost:65536",
        "ftp://localhost:8000",
    ] {
        assert_eq!(
            rejection("AWS_ENDPOINT_URL_DYNAMODB", Some(url)),
            "AWS_ENDPOINT_URL_DYNAMODB: it is not an http or https URL",
            "{url}"
        );
    }
}
