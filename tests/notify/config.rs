//! C11.1: the list of webhooks.

use crate::service::SECRET;
use dev::process;
use dev::runtime_api::RuntimeApi;
use heartbeat::notify::Config;

fn read(urls: &str) -> Result<Config, String> {
    let variable = |name: &str| (name == "WEBHOOK_URLS").then(|| urls.to_owned());
    Config::read(variable).map_err(|error| error.to_string())
}

#[test]
fn every_format_is_known() {
    let urls = "slack:https://hooks.slack.com/services/T/B/X  discord:https://discord.com/api/webhooks/1/x \
                telegram:https://api.telegram.org/bot1:x/sendMessage?chat_id=-100 ntfy:https://ntfy.sh/topic \
                ntfy:https://user:p%40ssword@ntfy.example.com:8443/topic json:https://example.com \
                json:http://localhost:9/x json:http://[::1]:9/x json:http://127.9.9.9/x";
    let webhooks = read(urls).unwrap().webhooks;
    let formats: Vec<_> = webhooks
        .iter()
        .map(|webhook| webhook.format.name())
        .collect();
    let expected = "slack discord telegram ntfy ntfy json json json json";
    assert_eq!(formats.join(" "), expected);
    let header = webhooks[4].authorization.as_ref().unwrap();
    assert_eq!(header, "Basic dXNlcjpwQHNzd29yZA==");
}

#[test]
fn an_entry_that_cannot_be_used_is_named_by_its_position() {
    for (entry, reason) in [
        ("https://example.com/T0K3N", "it does not start with"),
        ("teams:https://example.com/T0K3N", "it does not start with"),
        ("Slack:https://example.com/T0K3N", "it does not start with"),
        ("T0K3N", "it does not start with"),
        ("slack:T0K3N", "it is not an https URL"),
        ("slack:/T0K3N", "it has no valid URL"),
        ("slack:https:///T0K3N", "it has no valid URL"),
        ("slack:https://host:T0K3N/", "it has no valid URL"),
        ("slack:https://host:99999/T0K3N", "it has no valid URL"),
        ("slack:ftp://example.com/T0K3N", "it is not an https URL"),
        (
            "slack:http://example.com/T0K3N",
            "http is for this machine only",
        ),
        (
            "slack:http://127.0.0.1.example.com/T0K3N",
            "http is for this machine only",
        ),
        ("ntfy:https://ntfy.sh/", "it names no topic"),
        (
            "telegram:https://api.telegram.org/botT0K3N/getMe?chat_id=1",
            "it is not the URL of",
        ),
        (
            "telegram:https://api.telegram.org/botT0K3N/sendMessage",
            "it has no chat_id",
        ),
        (
            "telegram:https://api.telegram.org/botT0K3N/sendMessage?chat_id=",
            "it has no chat_id",
        ),
    ] {
        let error = read(&format!("json:https://example.com/T0K3N {entry}")).unwrap_err();
        let expected = format!("WEBHOOK_URLS: entry 2: {reason}");
        assert!(error.starts_with(&expected), "{entry}: {error}");
        assert!(!error.contains(SECRET), "{error}");
    }
    for urls in ["", " "] {
        assert_eq!(read(urls).unwrap_err(), "WEBHOOK_URLS: it is not set");
    }
}

#[tokio::test]
async fn the_binary_does_not_start_and_keeps_the_secret() {
    let api = RuntimeApi::start().await.unwrap();
    let settings = [("WEBHOOK_URLS", "slack:http://example.com/T0K3N")];
    let output = process::command(env!("CARGO_BIN_EXE_notify"), &api, settings)
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let log =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(
        log.contains("WEBHOOK_URLS: entry 1: http is for this machine only"),
        "{log}"
    );
    assert!(
        !log.contains(SECRET) && !log.contains("example.com"),
        "{log}"
    );
}
