//! Discord's webhooks.

use super::{Request, Service};
use crate::notify::text::{Style, code, utf_16};
use serde_json::json;

pub const SERVICE: Service = Service {
    name: "discord",
    check: |_| Ok(()),
    request: |message, _| {
        Request::json(&json!({
            "content": STYLE.text(message),
            "allowed_mentions": { "parse": [] },
            // No previews of links.
            "flags": 1 << 2,
        }))
    },
    retry_after: "/retry_after",
    is_quota: |_| false,
};

const STYLE: Style = Style {
    is_everything: true,
    limit: 2_000,
    measure: utf_16,
    words: escape_markdown,
    name: code,
};

fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(
            char,
            '\\' | '*' | '_' | '~' | '|' | '`' | '>' | '<' | '#' | '[' | ']' | '(' | ')'
        ) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
