//! What a server and a fleet are, by the rules, as of a time: the same for the watchdog and for every reader (C8.13 to C8.15). Pure.

pub mod absence;
pub mod announce;
mod condition;
pub mod digest;
mod fleet;
mod problem;
mod standing;

pub use self::condition::{Facts, Reading, Value};
pub use self::fleet::{Doubt, Fleet, Summary};
pub use self::problem::{Current, End, Judgement, ProblemAnnouncement, ProblemUpdate};
pub use self::standing::{Return, Standing, Unknown, Verdict};
