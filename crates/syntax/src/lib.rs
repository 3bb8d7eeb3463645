//! What several programs read and write as text, each with one rule: lengths of time, URLs, `Retry-After`.

pub mod duration;
mod retry_after;
pub mod url;

pub use retry_after::{pause, retry_after};
