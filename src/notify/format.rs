//! A notice in the format of each service: its fields, its escapes, and its limit on length.

use super::config::Format;
use super::notice::{Entry, Notice, Part, Tone};
use serde_json::json;

/// Characters that are kept free for "and 37 more".
const FOR_OMITTED: usize = 40;

/// A request to a webhook, without its URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Payload {
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// How a service shows text.
struct Style {
    /// Whether the title is a part of the text.
    has_title: bool,
    /// The most that a message may hold, as `measure` counts.
    limit: usize,
    measure: fn(&str) -> usize,
    words: fn(&str) -> String,
    name: fn(&str) -> String,
}

const UTF_16: fn(&str) -> usize = |text| text.encode_utf16().count();

/// Recommended by Slack; Mattermost and Rocket.Chat accept more.
const SLACK: Style = Style {
    has_title: true,
    limit: 4_000,
    measure: UTF_16,
    words: |text| html(&text.replace("](", "]\u{200b}(")),
    name: |text| code(&html(text)),
};

const DISCORD: Style = Style {
    has_title: true,
    limit: 2_000,
    measure: UTF_16,
    words: escape_markdown,
    name: code,
};

const TELEGRAM: Style = Style {
    has_title: true,
    limit: 4_096,
    measure: UTF_16,
    words: html,
    // In code, nothing becomes a link.
    name: |text| format!("<code>{}</code>", html(text)),
};

const NTFY: Style = Style {
    has_title: false,
    limit: 4_096,
    measure: str::len,
    words: str::to_owned,
    name: |text| text.replace("://", ":\u{200b}//"),
};

/// Formats a message. `raw` is its text as it came.
pub fn payload(format: Format, notice: &Notice, raw: &str) -> Payload {
    let json = |body: serde_json::Value| Payload {
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_string(),
    };
    match format {
        Format::Slack => json(json!({
            "text": text(notice, &SLACK),
            "unfurl_links": false,
            "unfurl_media": false,
        })),
        Format::Discord => json(json!({
            "content": text(notice, &DISCORD),
            "allowed_mentions": { "parse": [] },
            // No previews of links.
            "flags": 1 << 2,
        })),
        Format::Telegram => json(json!({
            "text": text(notice, &TELEGRAM),
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
        })),
        Format::Ntfy => {
            let (priority, tag) = match notice.tone {
                Tone::Bad => ("high", "rotating_light"),
                Tone::Good => ("default", "white_check_mark"),
                Tone::Neutral => ("default", "information_source"),
            };
            let headers = [
                ("content-type", "text/plain; charset=utf-8"),
                ("title", &notice.title),
                ("priority", priority),
                ("tags", tag),
            ];
            Payload {
                headers: headers
                    .map(|(name, value)| (name, value.to_owned()))
                    .to_vec(),
                body: text(notice, &NTFY),
            }
        }
        Format::Json => {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(raw).is_ok();
            let kind = if is_json {
                "application/json"
            } else {
                "text/plain; charset=utf-8"
            };
            Payload {
                headers: vec![("content-type", kind.to_owned())],
                body: raw.to_owned(),
            }
        }
    }
}

/// As many lines as there is room for.
fn text(notice: &Notice, style: &Style) -> String {
    let mut lines = Vec::new();
    // One line says it all.
    let is_alone =
        notice.entries.len() == 1 && notice.omitted == 0 && notice.entries[0].is_about_server();
    if style.has_title && !is_alone {
        let title = (style.words)(&without_mentions(&notice.title));
        lines.push(format!("{} {title}", emoji(notice.tone)));
    }
    let room = style.limit - FOR_OMITTED;
    let mut used: usize = lines.iter().map(|line| (style.measure)(line) + 1).sum();
    let mut shown = 0;
    for entry in &notice.entries {
        let mut line = rendered(entry, style, usize::MAX);
        if shown == 0 {
            // A message has at least one line, even if only a part of it.
            let mut kept = 4_096;
            while used + (style.measure)(&line) > room && kept > 0 {
                kept = kept * 3 / 4;
                line = rendered(entry, style, kept);
            }
        }
        if used + (style.measure)(&line) > room {
            break;
        }
        used += (style.measure)(&line) + 1;
        lines.push(line);
        shown += 1;
    }
    let omitted = notice.entries.len() - shown + notice.omitted;
    if omitted > 0 {
        lines.push(format!("… and {omitted} more"));
    }
    lines.join("\n")
}

/// A line with at most this many characters of each part.
fn rendered(entry: &Entry, style: &Style, kept: usize) -> String {
    let mut line = String::new();
    if entry.is_about_server() {
        line = format!("{} ", emoji(entry.tone));
    }
    for part in &entry.parts {
        let (text, show) = match part {
            Part::Words(text) => (text, style.words),
            Part::Name(text) => (text, style.name),
        };
        let text = without_mentions(text);
        let mut cut: String = text.chars().take(kept).collect();
        if cut.len() < text.len() {
            cut.push('…');
        }
        line += &show(&cut);
    }
    line
}

/// Bad news and good news differ in shape, not only in colour.
const fn emoji(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "🚨",
        Tone::Good => "✅",
        Tone::Neutral => "ℹ️",
    }
}

/// `@everyone` with a character of no width in it, which mentions nobody anywhere.
fn without_mentions(text: &str) -> String {
    text.replace('@', "@\u{200b}")
}

/// In a span of code, no service sees a link or a mention.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'"))
}

/// What Slack and Telegram ask for.
fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

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
