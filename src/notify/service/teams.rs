//! A workflow of Microsoft Teams, which posts an adaptive card. Its URL ends with a signature.

use super::{Request, Service};
use crate::notify::text::Style;
use announcement::words::unlinked;
use serde_json::{Value, json};

pub const SERVICE: Service = Service {
    name: "teams",
    check: |_| Ok(()),
    request: |message, _| {
        let text = STYLE.text(message);
        let mut blocks: Vec<_> = text.lines().map(block).collect();
        if let (Some(link), Some(last)) = (&message.link, blocks.last_mut()) {
            last["inlines"][0]["selectAction"] = json!({ "type": "Action.OpenUrl", "url": link });
        }
        Request::json(&card(&blocks))
    },
    retry_after: "/retry_after",
    is_quota: |_| false,
};

/// The most bytes of a request. Teams takes 28 KB, as it counts them.
const MAX_CARD: usize = 20_000;

/// What a card takes besides the blocks that are measured: itself, the line that says how much is missing, and the link once more.
const FRAME: usize = 2_000;

const STYLE: Style = Style {
    is_everything: true,
    limit: MAX_CARD - FRAME,
    measure: |line| block(line).to_string().len(),
    words: str::to_owned,
    name: unlinked,
};

/// A line. In a run of text, unlike in a block of it, there is no Markdown, and nobody is mentioned.
fn block(line: &str) -> Value {
    let run = json!({ "type": "TextRun", "text": line });
    json!({ "type": "RichTextBlock", "spacing": "None", "inlines": [run] })
}

fn card(blocks: &[Value]) -> Value {
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": blocks,
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": card,
    });
    json!({ "type": "message", "attachments": [attachment] })
}
