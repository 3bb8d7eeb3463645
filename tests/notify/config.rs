//! C11.1: the list of webhooks.

use crate::service::SECRET;
use crate::support::Format;
use dev::template;
use heartbeat::notify::{Config, SERVICES};

fn config(urls: &str) -> Result<Config, String> {
    let variable = |name: &str| (name == "WEBHOOK_URLS").then(|| urls.to_owned());
    Config::from_variables(variable).map_err(|error| error.to_string())
}

// C11.2
#[test]
fn a_zone_that_does_not_exist_stops_the_start() {
    let variable = |name: &str| match name {
        "WEBHOOK_URLS" => Some("json:https://example.com".to_owned()),
        "TIME_ZONE" => Some("Europe/Nowhere".to_owned()),
        _ => None,
    };
    let error = Config::from_variables(variable).map_err(|error| error.to_string()).unwrap_err();
    assert!(error.starts_with("TIME_ZONE: it is not the name of a time zone"), "{error}");
}

/// The names of all services.
fn names(separator: &str) -> String {
    SERVICES.map(|service| service.name).join(separator)
}

// C11.1
#[test]
fn the_contract_describes_every_format() {
    let described: Vec<_> = Format::all().iter().map(|format| format.name).collect();
    assert_eq!(described.join(" "), names(" "));
    for format in Format::all() {
        let entry = format!("{}:{}", format.name, format.url("x"));
        let webhooks = config(&entry).unwrap().webhooks;
        assert_eq!(webhooks[0].service.name, format.name);
        assert_eq!(webhooks[0].address.url, format.url("x").as_str());
    }
}

// C11.1
#[test]
fn the_template_accepts_and_names_every_format() {
    let entry = format!(r"({})(@[a-z0-9-]{{1,16}})?:https://[^\s]+", names("|"));
    let pattern = template::parameter("WebhookUrls", "AllowedPattern");
    assert_eq!(pattern, format!("^none$|^{entry}( {entry})*$"));
    let description = template::parameter("WebhookUrls", "Description");
    let words: Vec<_> = description.split([' ', ',', ';']).collect();
    for service in SERVICES {
        assert!(words.contains(&service.name), "{description}");
    }
}

// C14.4
#[test]
fn an_entry_may_name_a_group() {
    let urls =
        "slack@db:https://example.com/x ntfy:https://ntfy.sh/a@b:c json@a-1:https://u@example.com";
    let webhooks = config(urls).unwrap().webhooks;
    let names: Vec<_> = webhooks.iter().map(|webhook| webhook.name()).collect();
    assert_eq!(names, ["slack@db", "ntfy", "json@a-1"]);
    assert_eq!(webhooks[1].address.url, "https://ntfy.sh/a@b:c");
    assert_eq!(format!("{webhooks:?}"), "[slack@db:…, ntfy:…, json@a-1:…]");
}

// C11.1
#[test]
fn a_url_may_have_a_user_name_and_be_local() {
    let urls = "ntfy:https://user:p%40ssword@ntfy.example.com:8443/topic json:http://localhost:9/x \
                json:http://[::1]:9/x  json:http://127.9.9.9/x";
    let webhooks = config(urls).unwrap().webhooks;
    assert_eq!(webhooks.len(), 4);
    let header = webhooks[0].address.authorization.as_ref().unwrap();
    assert_eq!(header, "Basic dXNlcjpwQHNzd29yZA==");
}

// C11.1
#[test]
fn an_entry_that_cannot_be_used_is_named_by_its_position() {
    for (entry, reason) in [
        ("https://example.com/T0K3N-8x", "it does not start with"),
        ("pager:https://example.com/T0K3N-8x", "it does not start with"),
        ("Slack:https://example.com/T0K3N-8x", "it does not start with"),
        ("T0K3N-8x", "it does not start with"),
        ("pager@db:https://example.com/T0K3N-8x", "it does not start with"),
        ("slack@:https://example.com/T0K3N-8x", "a group has 1 to 16 characters"),
        ("slack@DB:https://example.com/T0K3N-8x", "a group has 1 to 16 characters"),
        ("slack@a@b:https://example.com/T0K3N-8x", "a group has 1 to 16 characters"),
        ("slack@none:https://example.com/T0K3N-8x", "a group has 1 to 16 characters"),
        ("slack@db:T0K3N-8x", "it is not an https URL"),
        ("slack:T0K3N-8x", "it is not an https URL"),
        ("slack:/T0K3N-8x", "it has no valid URL"),
        ("slack:https:///T0K3N-8x", "it has no valid URL"),
        ("slack:https://host:T0K3N-8x/", "it has no valid URL"),
        ("slack:https://host:99999/T0K3N-8x", "it has no valid URL"),
        ("slack:ftp://example.com/T0K3N-8x", "it is not an https URL"),
        ("slack:http://example.com/T0K3N-8x", "http is for this machine only"),
        ("slack:http://127.0.0.1.example.com/T0K3N-8x", "http is for this machine only"),
        ("ntfy:https://ntfy.sh/", "it names no topic"),
        ("telegram:https://api.telegram.org/botT0K3N-8x/getMe?chat_id=1", "it is not the URL of"),
        ("telegram:https://api.telegram.org/botT0K3N-8x/sendMessage", "it has no chat_id"),
        ("telegram:https://api.telegram.org/botT0K3N-8x/sendMessage?chat_id=", "it has no chat_id"),
    ] {
        let error = config(&format!("json:https://example.com/T0K3N-8x {entry}")).unwrap_err();
        let expected = format!("WEBHOOK_URLS: entry 2: {reason}");
        assert!(error.starts_with(&expected), "{entry}: {error}");
        assert!(!error.contains(SECRET), "{error}");
    }
    for urls in ["", " "] {
        assert_eq!(config(urls).unwrap_err(), "WEBHOOK_URLS: it is not set");
    }
}
