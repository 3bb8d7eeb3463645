//! What can be announced. A [`Message`] has [announcements](Announcement), each of a [`Kind`] and each about a server. It is JSON for
//! programs (C8.6, C9.8, C10); for people, each announcement is a [`Wording`], in an email, a chat, a terminal or a page.

mod kind;
mod message;
mod turn;
pub mod words;

pub use self::kind::{
    Absence, Announcement, Kind, Part, Problem, ProblemKind, Removal, Return, SHUT_DOWN, Silence,
    Solved, Tone, Wording,
};
pub use self::message::{Fleet, Message, Occasion, URGENT};
pub use self::turn::turns;
