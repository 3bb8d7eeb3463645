//! A Telegram bot's `sendMessage`, with `chat_id` in the query.

use super::{Request, Service};
use crate::notify::text::{Style, html, utf_16};
use lambda_http::http::Uri;
use serde_json::json;

pub const SERVICE: Service = Service {
    name: "telegram",
    check,
    request: |message, _| {
        Request::json(&json!({
            "text": STYLE.text(message),
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
        }))
    },
    retry_after: "/parameters/retry_after",
    is_quota: |_| false,
};

const STYLE: Style = Style {
    is_everything: true,
    limit: 4_096,
    measure: utf_16,
    words: |text| html(&without_commands(text)),
    // In code, nothing becomes a link.
    name: |text| format!("<code>{}</code>", html(text)),
};

/// A word that starts with a slash would be a command: a character of no width follows the slash.
fn without_commands(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut before = ' ';
    for character in text.chars() {
        let is_word = character.is_alphanumeric() || character == '_';
        if is_word && before == '/' {
            let ahead = safe.strip_suffix('/').and_then(|text| text.chars().next_back());
            if ahead.is_none_or(|ahead| !ahead.is_alphanumeric() && ahead != '/') {
                safe.push('\u{200b}');
            }
        }
        safe.push(character);
        before = character;
    }
    safe
}

fn check(url: &Uri) -> Result<(), &'static str> {
    if !url.path().ends_with("/sendMessage") {
        return Err("it is not the URL of a Telegram bot's sendMessage");
    }
    let mut parameters = url.query().unwrap_or_default().split('&');
    match parameters.find_map(|parameter| parameter.strip_prefix("chat_id=")) {
        None | Some("") => Err("it has no chat_id in its query"),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C11.3
    #[test]
    fn no_word_is_a_command_and_a_link_is_unharmed() {
        for (text, expected) in [
            ("disk /stop_all 93 %", "disk /\u{200b}stop_all 93 %"),
            ("/stop_all", "/\u{200b}stop_all"),
            ("(/stop_all) \u{200b}/a", "(/\u{200b}stop_all) \u{200b}/\u{200b}a"),
            ("https://example.com/a and/or", "https://example.com/a and/or"),
        ] {
            assert_eq!(without_commands(text), expected, "{text}");
        }
    }
}
