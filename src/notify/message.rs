//! What a chat gets to read, in plain words: a message from the watchdog, from CloudWatch's alarms, or from anybody else.

use super::SnsMessage;
use announcement::words::{escape, moment};
use announcement::{Announcement, Message, Occasion, Part, Tone};
use chrono::{DateTime, Utc};
use serde::Deserialize;

/// What a message says to people.
#[derive(Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// A summary, in printable ASCII.
    pub title: String,
    pub tone: Tone,
    pub lines: Vec<Line>,
    /// How many more lines there are than these.
    pub omitted: usize,
    /// The time of the sweep, since the order of messages cannot be promised.
    pub time: Option<String>,
    /// Where to look at it.
    pub link: Option<String>,
}

/// A line of it: an announcement, or other words.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// About a server, whose name came from an agent.
    Server {
        tone: Tone,
        name: String,
        rest: Vec<Part>,
    },
    Text(String),
}

/// A message of CloudWatch about an alarm.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    alarm_name: String,
    alarm_description: Option<String>,
    new_state_value: String,
    new_state_reason: Option<String>,
    state_change_time: Option<String>,
}

impl ChatMessage {
    /// Puts a message into words, and links it to the page. One that cannot be read keeps its text.
    #[must_use]
    pub fn new(received: &SnsMessage, page_url: Option<&str>) -> Self {
        let text = &received.text;
        if let Ok(message) = serde_json::from_str(text) {
            return Self::of_message(message, page_url);
        }
        if let Ok(alarm) = serde_json::from_str(text) {
            return Self::of_alarm(alarm);
        }
        let subject = received.subject.as_deref().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Self {
            title: title(if subject.is_empty() { "Message" } else { subject }),
            tone: Tone::Neutral,
            lines: lines.map(Line::text).collect(),
            omitted: 0,
            time: None,
            link: None,
        }
    }

    /// Bad news comes first.
    fn of_message(mut message: Message, page_url: Option<&str>) -> Self {
        message.announcements.sort_by_key(|announcement| announcement.kind().tone());
        let time = message.time.as_deref().and_then(tables::time::parse);
        let lines = match &message.occasion {
            Occasion::Test(text) => vec![Line::text(text)],
            Occasion::Change | Occasion::Digest(_) => {
                let fleet = message.fleet().map(Line::text);
                let of = |announcement| Line::of(announcement, time);
                message.announcements.iter().map(of).chain(fleet).collect()
            }
        };
        Self {
            title: message.title(),
            tone: message.tone(),
            lines,
            omitted: message.omitted,
            time: time.map(|time| moment(Some(time))),
            link: page_url.map(|url| message.address(url)),
        }
    }

    fn of_alarm(alarm: Alarm) -> Self {
        let tone = match &*alarm.new_state_value {
            "ALARM" => Tone::Bad,
            "OK" => Tone::Good,
            _ => Tone::Neutral,
        };
        let description = alarm.alarm_description.filter(|_| tone == Tone::Bad);
        let since =
            alarm.state_change_time.map(|time| format!("since {}", time.replace(".000+0000", "Z")));
        let lines = [description, alarm.new_state_reason, since];
        Self {
            title: title(&format!("{}: {}", alarm.new_state_value, alarm.alarm_name)),
            tone,
            lines: lines.iter().flatten().map(|text| Line::text(text)).collect(),
            omitted: 0,
            time: None,
            link: None,
        }
    }
}

impl Line {
    fn of(announcement: &Announcement, time: Option<DateTime<Utc>>) -> Self {
        let wording = announcement.say(time);
        Self::Server { tone: announcement.kind().tone(), name: wording.name, rest: wording.rest }
    }

    fn text(text: &str) -> Self {
        Self::Text(escape(text))
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
