//! What a chat gets to read, in plain words: a message from the watchdog, from CloudWatch's alarms, or from anybody else.

use super::SnsMessage;
use announcement::words::{Natural, at, escape, moment};
use announcement::{Message, Occasion, Tone, Wording, turns};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use tables::{Group, Zone};

/// A message of the topic, as it was read.
pub struct Received<'a> {
    /// As it came.
    text: &'a str,
    content: Content<'a>,
}

enum Content<'a> {
    Announcements(Message),
    Alarm(Alarm),
    /// With its subject.
    Other(&'a str),
}

/// What a message says to people.
#[derive(Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// A summary, in printable ASCII.
    pub title: String,
    pub tone: Tone,
    /// Whether something begins that is urgent.
    pub is_urgent: bool,
    /// What is announced: deaths, then server by server in natural order.
    pub announcements: Vec<Line>,
    /// Other words, a line each.
    pub texts: Vec<String>,
    /// How many more lines there are than these.
    pub omitted: usize,
    /// The time of the sweep, since the order of messages cannot be promised.
    pub time: Option<String>,
    /// Where to look at it.
    pub link: Option<String>,
}

/// An announcement, a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its turn, if there is not enough room for all.
    pub turn: usize,
    pub tone: Tone,
    pub wording: Wording,
}

/// A message of CloudWatch about an alarm.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    alarm_name: String,
    alarm_description: Option<String>,
    old_state_value: Option<String>,
    new_state_value: String,
    new_state_reason: Option<String>,
    state_change_time: Option<String>,
}

impl<'a> Received<'a> {
    /// Reads a message. One that cannot be read keeps its text. `None` if there is nothing to say.
    #[must_use]
    pub fn read(message: &'a SnsMessage) -> Option<Self> {
        let text = &*message.text;
        let content = match serde_json::from_str(text) {
            Ok(announcements) => Content::Announcements(announcements),
            Err(_) => match serde_json::from_str::<Alarm>(text) {
                Ok(alarm) if alarm.is_news() => Content::Alarm(alarm),
                Ok(_) => return None,
                Err(_) => Content::Other(message.subject.as_deref().unwrap_or_default()),
            },
        };
        Some(Self { text, content })
    }

    /// Says it in words, with times in this zone and a link to the page, and as it came. With a group, only what it says of that;
    /// `None` if this is nothing (C14.4).
    #[must_use]
    pub fn say(
        &self,
        group: Option<&Group>,
        zone: &Zone,
        page_url: Option<&str>,
    ) -> Option<(ChatMessage, Cow<'a, str>)> {
        let said = match (&self.content, group) {
            (Content::Announcements(message), Some(group)) => {
                let of_group = message.of_group(group.as_str())?;
                let said = ChatMessage::of_message(&of_group, zone, page_url);
                return Some((said, json!(of_group).to_string().into()));
            }
            (Content::Alarm(_) | Content::Other(_), Some(_)) => return None,
            (Content::Announcements(message), None) => {
                ChatMessage::of_message(message, zone, page_url)
            }
            (Content::Alarm(alarm), None) => ChatMessage::of_alarm(alarm, zone),
            (Content::Other(subject), None) => ChatMessage::of_text(subject, self.text),
        };
        Some((said, self.text.into()))
    }
}

impl ChatMessage {
    fn of_message(message: &Message, zone: &Zone, page_url: Option<&str>) -> Self {
        let time = message.time.as_deref().and_then(tables::time::parse);
        let texts = match &message.occasion {
            Occasion::Test(text) => vec![escape(text)],
            Occasion::Change | Occasion::Digest(_) => message.fleet().map(escape).collect(),
        };
        let announcements = message.announcements.iter().zip(turns(&message.announcements));
        let mut announcements: Vec<_> = announcements
            .map(|(announcement, turn)| Line {
                turn,
                tone: announcement.kind().tone(),
                wording: announcement.say(time, zone),
            })
            .collect();
        announcements.sort_by_cached_key(|line| {
            (line.turn > 0, Natural::of(&line.wording.server_id), line.turn)
        });
        Self {
            title: message.title(),
            tone: message.tone(),
            is_urgent: message.is_urgent(),
            announcements,
            texts,
            omitted: message.omitted,
            time: time.map(|time| moment(Some(time), zone)),
            link: page_url.map(|url| message.address(url)),
        }
    }

    fn of_alarm(alarm: &Alarm, zone: &Zone) -> Self {
        let tone = match &*alarm.new_state_value {
            "ALARM" => Tone::Bad,
            "OK" => Tone::Good,
            _ => Tone::Neutral,
        };
        let description = alarm.alarm_description.as_ref().filter(|_| tone == Tone::Bad);
        let since = alarm.state_change_time.as_ref().map(|time| {
            // As CloudWatch writes it: `2026-01-18T10:34:00.000+0000`.
            let changed = DateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S%.f%z");
            format!(
                "since {}",
                changed.map_or_else(|_| time.clone(), |changed| at(changed.to_utc(), None, zone))
            )
        });
        let lines = [description, alarm.new_state_reason.as_ref(), since.as_ref()];
        Self {
            title: title(&format!("{}: {}", alarm.new_state_value, alarm.alarm_name)),
            tone,
            is_urgent: false,
            announcements: Vec::new(),
            texts: lines.into_iter().flatten().map(|text| escape(text)).collect(),
            omitted: 0,
            time: None,
            link: None,
        }
    }

    fn of_text(subject: &str, text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Self {
            title: title(if subject.is_empty() { "Message" } else { subject }),
            tone: Tone::Neutral,
            is_urgent: false,
            announcements: Vec::new(),
            texts: lines.map(escape).collect(),
            omitted: 0,
            time: None,
            link: None,
        }
    }
}

impl Alarm {
    /// Whether it sounds, or is over after it has: an alarm that is new is "over", too, once it has data.
    fn is_news(&self) -> bool {
        self.new_state_value != "OK"
            || self.old_state_value.as_deref().is_none_or(|old| old == "ALARM")
    }
}

/// At most 200 characters of printable ASCII, which fit into a header.
fn title(text: &str) -> String {
    let printable = text.chars().map(|char| match char {
        ' '..='~' => char,
        _ => '?',
    });
    printable.take(200).collect()
}
