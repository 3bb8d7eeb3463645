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
};

const STYLE: Style = Style {
    is_everything: true,
    limit: 4_096,
    measure: utf_16,
    // A word that starts with a slash would be a command.
    words: |text| html(&text.replace(" /", " \u{200b}/")),
    // In code, nothing becomes a link.
    name: |text| format!("<code>{}</code>", html(text)),
};

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
