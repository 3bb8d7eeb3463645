//! What can be announced. A [`Message`] has [entries](Entry), each of a [`Kind`] and each about a server. It is JSON for
//! programs (C8.6, C9.8, C10); for people, each entry is a [`Sentence`], in an email, a chat, a terminal or a page.

mod entry;
mod message;
pub mod words;

pub use self::entry::{Absence, Entry, Kind, Part, Problem, Return, Sentence, Solved, Tone};
pub use self::message::{Fleet, Message, Occasion};
