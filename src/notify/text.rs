//! A message as a chat's text: its escapes, and its limit on length.

use super::message::{ChatMessage, Line};
use announcement::{Part, Tone};

/// Characters that are kept free for "and 37 more".
const FOR_OMITTED: usize = 40;

/// How a service shows text.
pub struct Style {
    /// Whether the text is everything: the title and the link are parts of it.
    pub is_everything: bool,
    /// The most that a message may hold, as `measure` counts.
    pub limit: usize,
    pub measure: fn(&str) -> usize,
    /// Escapes words.
    pub words: fn(&str) -> String,
    /// Escapes what came from an agent, and marks it.
    pub name: fn(&str) -> String,
}

/// The length of a text as chats count it.
pub fn utf_16(text: &str) -> usize {
    text.encode_utf16().count()
}

impl Style {
    /// As many lines as there is room for.
    pub fn text(&self, message: &ChatMessage) -> String {
        let mut lines = Vec::new();
        let says_it_all =
            matches!(message.lines[..], [Line::Server { .. }]) && message.omitted == 0;
        if self.is_everything && !says_it_all {
            let title = (self.words)(&without_mentions(&message.title));
            lines.push(format!("{} {title}", emoji(message.tone)));
        }
        let time = message.time.as_deref().map(self.words);
        // Nothing in it means anything to a service (`PAGE_URL`).
        let link = message.link.clone().filter(|_| self.is_everything);
        let end: Vec<_> = time.into_iter().chain(link).collect();
        let for_end: usize = end.iter().map(|line| (self.measure)(line) + 1).sum();
        let room = self.limit - FOR_OMITTED - for_end;
        let mut used: usize = lines.iter().map(|line| (self.measure)(line) + 1).sum();
        let mut shown = 0;
        for said in &message.lines {
            let mut line = self.line(said, usize::MAX);
            if shown == 0 {
                // A message has at least one line, even if only a part of it.
                let mut kept = 4_096;
                while used + (self.measure)(&line) > room && kept > 0 {
                    kept = kept * 3 / 4;
                    line = self.line(said, kept);
                }
            }
            if used + (self.measure)(&line) > room {
                break;
            }
            used += (self.measure)(&line) + 1;
            lines.push(line);
            shown += 1;
        }
        let omitted = message.lines.len() - shown + message.omitted;
        if omitted > 0 {
            lines.push(format!("… and {omitted} more"));
        }
        if lines.is_empty() {
            // No message is empty.
            lines.push((self.words)(&without_mentions(&message.title)));
        }
        lines.extend(end);
        lines.join("\n")
    }

    /// A line with at most this many characters of each part.
    fn line(&self, line: &Line, kept: usize) -> String {
        let cut = |text: &str| {
            let whole = without_mentions(text);
            let beginning: String = whole.chars().take(kept).collect();
            if beginning.len() < whole.len() { format!("{beginning}…") } else { beginning }
        };
        match line {
            Line::Server { tone, name, rest } => {
                let name = (self.name)(&cut(name));
                let rest = rest.iter().map(|part| match part {
                    Part::Words(words) => (self.words)(&cut(words)),
                    Part::Name(name) => (self.name)(&cut(name)),
                });
                format!("{} {name}{}", emoji(*tone), rest.collect::<String>())
            }
            Line::Text(text) => (self.words)(&cut(text)),
        }
    }
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
pub fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'"))
}

/// What Slack and Telegram ask for.
pub fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
