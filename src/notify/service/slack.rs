//! Slack's incoming webhooks, which Mattermost and Rocket.Chat understand, too.

use super::{Request, Service};
use crate::notify::text::{Style, code, html, utf_16};
use serde_json::json;

pub const SERVICE: Service = Service {
    name: "slack",
    check: |_| Ok(()),
    request: |message, _| {
        Request::json(&json!({
            "text": STYLE.text(message),
            "unfurl_links": false,
            "unfurl_media": false,
        }))
    },
    retry_after: "/retry_after",
    is_quota: |_| false,
};

/// The limit is recommended by Slack; Mattermost and Rocket.Chat accept more.
const STYLE: Style = Style {
    is_everything: true,
    limit: 4_000,
    measure: utf_16,
    // Mattermost and Rocket.Chat would see a link of Markdown.
    words: |text| html(&text.replace("](", "]\u{200b}(")),
    name: |text| code(&html(text)),
};
