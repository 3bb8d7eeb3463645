//! ntfy: the URL of a topic.

use super::{Request, Service};
use crate::notify::text::Style;
use announcement::Tone;
use announcement::words::unlinked;

pub const SERVICE: Service = Service {
    name: "ntfy",
    check: |url| match url.path().trim_matches('/') {
        "" => Err("it names no topic of ntfy"),
        _ => Ok(()),
    },
    request: |message, _| {
        let (priority, tag) = match message.tone {
            Tone::Bad if message.is_urgent => ("urgent", "rotating_light"),
            Tone::Bad => ("high", "rotating_light"),
            Tone::Good => ("default", "white_check_mark"),
            Tone::Neutral => ("default", "information_source"),
        };
        let headers = [
            ("content-type", "text/plain; charset=utf-8"),
            ("title", &message.title),
            ("priority", priority),
            ("tags", tag),
        ];
        let click = message.link.as_deref().map(|link| ("click", link));
        Request::new(headers.into_iter().chain(click), STYLE.text(message))
    },
    retry_after: "/retry_after",
    // The messages of a day, of whoever sends from this address. Other codes of status 429 are about the last minutes.
    is_quota: |response| response["code"] == 42_908,
};

/// A longer message would become an attachment.
const STYLE: Style = Style {
    is_everything: false,
    limit: 4_096,
    measure: str::len,
    words: str::to_owned,
    name: unlinked,
};
