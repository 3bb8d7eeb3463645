//! What a person reads: results on standard output, messages on standard error. What cannot be printed is lost, and the
//! agent goes on.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt::Display;
use std::io::{self, Write};
use tables::printable;

/// Prints a result.
pub fn result(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints a message, as one line. If nobody reads what was printed before and a pipe is full, the message is lost:
/// waiting would be the end of all heartbeats.
pub fn message(text: impl Display) {
    let line = printable(&text.to_string()) + "\n";
    if is_ready() {
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// Whether standard error takes a line without waiting.
fn is_ready() -> bool {
    let stderr = io::stderr();
    let mut waiting = [PollFd::new(&stderr, PollFlags::OUT)];
    poll(&mut waiting, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
