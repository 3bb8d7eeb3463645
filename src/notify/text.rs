//! A message as a chat's text: its escapes, and its limit on length.

use super::message::{ChatMessage, Line};
use announcement::{Part, Tone};
use std::iter::successors;

/// Characters that are kept free for "and 37 more".
const FOR_OMITTED: usize = 40;

/// How many lines a text has about one server, its death aside.
const MAX_LINES: usize = 5;

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

/// A line that might be in the text.
struct Choice {
    /// The lower, the sooner there is room for it.
    turn: usize,
    /// How many lines it stands for.
    lines: usize,
    /// The line; `None` if there was no room for it.
    text: Option<String>,
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
        let title = self.words(&message.title);
        let says_it_all =
            message.announcements.len() == 1 && message.texts.is_empty() && message.omitted == 0;
        let mut lines = Vec::new();
        if self.is_everything && !says_it_all {
            lines.extend(budget.take(format!("{} {title}", emoji(message.tone))));
        }
        let mut choices = self.choices(message);
        let mut by_turn: Vec<_> = choices.iter_mut().collect();
        by_turn.sort_by_key(|choice| choice.turn);
        for choice in by_turn {
            choice.text = choice.text.take().and_then(|line| budget.take(line));
        }
        if choices.iter().all(|choice| choice.text.is_none())
            && let Some(first) = message.texts.first()
        {
            // A message has at least one line, even if only a part of it.
            let kept = successors(Some(3_072), |kept| (*kept > 0).then_some(kept * 3 / 4));
            let beginnings = kept.map(|kept| first.chars().take(kept).collect::<String>());
            let mut beginnings = beginnings.map(|beginning| self.words(&beginning) + "…");
            let place = choices.len() - message.texts.len();
            choices[place].text = beginnings.find_map(|line| budget.take(line));
        }
        let left_out = choices.iter().filter(|choice| choice.text.is_none());
        let omitted = left_out.map(|choice| choice.lines).sum::<usize>() + message.omitted;
        lines.extend(choices.into_iter().filter_map(|choice| choice.text));
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

    /// Every line that might be in the text, in its order.
    fn choices(&self, message: &ChatMessage) -> Vec<Choice> {
        let one = |turn, text| Choice { turn, lines: 1, text: Some(text) };
        let mut choices = Vec::new();
        let deaths = message.announcements.iter().take_while(|line| line.turn == 0);
        choices.extend(deaths.map(|line| one(0, self.line(line))));
        let others = &message.announcements[choices.len()..];
        let is_of_same =
            |line: &Line, next: &Line| line.wording.server_id == next.wording.server_id;
        for of_server in others.chunk_by(is_of_same) {
            let (lines, rest) = of_server.split_at(of_server.len().min(MAX_LINES));
            choices.extend(lines.iter().map(|line| one(line.turn, self.line(line))));
            if !rest.is_empty() {
                let name = self.part(&Part::name(&lines[0].wording.server_id));
                let text = format!("… and {} more of {name}", rest.len());
                choices.push(Choice { turn: MAX_LINES + 1, lines: rest.len(), text: Some(text) });
            }
        }
        choices.extend(message.texts.iter().map(|text| one(1, self.words(text))));
        choices
    }

    fn line(&self, Line { tone, wording, .. }: &Line) -> String {
        let name = wording.short_name(|text| self.name(text));
        let rest = wording.rest.iter().map(|part| self.part(part));
        format!("{} {name}{}", emoji(*tone), rest.collect::<String>())
    }

    fn part(&self, part: &Part) -> String {
        part.short(|text| self.words(text), |text| self.name(text))
    }

    fn words(&self, text: &str) -> String {
        (self.words)(&without_mentions(text))
    }

    fn name(&self, text: &str) -> String {
        (self.name)(&without_mentions(text))
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
