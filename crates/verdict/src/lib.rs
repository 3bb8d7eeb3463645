//! What a server and a fleet are, by the rules, as of a time: the same for the watchdog and for every reader (C8.13 to C8.15);
//! and what follows from that for a sweep: what it writes, announces and records (C8, C9). Pure.

mod absence;
pub mod announce;
#[cfg(test)]
mod autoscaling;
mod budget;
mod condition;
pub mod digest;
mod due;
mod fleet;
pub mod forecast;
mod lateness;
mod problem;
mod review;
mod silence;
#[cfg(test)]
mod simulation;
mod standing;
pub mod transition;
pub mod uptime;
mod wording;

pub use self::condition::Value;
pub use self::due::{Due, DueServer};
pub use self::fleet::{Doubt, Inspection, Outcome, Summary, order};
pub use self::problem::{Current, End};
pub use self::review::{Counts, Decision, Review};
pub use self::standing::{Standing, Unknown, Verdict};
pub use self::wording::Remark;
