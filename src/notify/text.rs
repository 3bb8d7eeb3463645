//! A message as a chat's text: its escapes, and its limit on length.

use super::message::{ChatMessage, Line};
use announcement::{Part, Tone};
use std::iter::successors;

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

/// What is left of the length of a text.
struct Budget {
    measure: fn(&str) -> usize,
    left: usize,
}

impl Budget {
    /// Takes a line and its end, if there is room for it.
    fn take(&mut self, line: String) -> Option<String> {
        self.left = self.left.checked_sub((self.measure)(&line))?.saturating_sub(1);
        Some(line)
    }
}

impl Style {
    /// As many lines as there is room for.
    pub fn text(&self, message: &ChatMessage) -> String {
        let mut budget = Budget { measure: self.measure, left: self.limit - FOR_OMITTED };
        let time = message.time.as_deref().map(self.words);
        // Nothing in it means anything to a service (`PAGE_URL`).
        let link = message.link.clone().filter(|_| self.is_everything);
        let end = time.into_iter().chain(link).filter_map(|line| budget.take(line));
        let end: Vec<_> = end.collect();
        let title = (self.words)(&without_mentions(&message.title));
        let says_it_all =
            matches!(message.lines[..], [Line::Server { .. }]) && message.omitted == 0;
        let mut lines = Vec::new();
        if self.is_everything && !says_it_all {
            lines.extend(budget.take(format!("{} {title}", emoji(message.tone))));
        }
        let head = lines.len();
        let whole = message.lines.iter().map(|line| self.line(line, usize::MAX));
        lines.extend(whole.map_while(|line| budget.take(line)));
        if lines.len() == head
            && let Some(first) = message.lines.first()
        {
            // A message has at least one line, even if only a part of it.
            let kept = successors(Some(3_072), |kept| (*kept > 0).then_some(kept * 3 / 4));
            lines
                .extend(kept.map(|kept| self.line(first, kept)).find_map(|line| budget.take(line)));
        }
        let omitted = head + message.lines.len() - lines.len() + message.omitted;
        if omitted > 0 {
            lines.push(format!("… and {omitted} more"));
        }
        if lines.is_empty() {
            // No message is empty.
            lines.push(title);
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
