//! What people and programs read, and what people are asked.

use crossterm::terminal;
use std::io::{self, ErrorKind, IsTerminal, Write};

pub use tables::printable;

/// Prints data to standard output. A closed pipe is not an error.
///
/// # Errors
/// If it cannot be written for another reason.
pub fn print(text: &str) -> io::Result<()> {
    match print_all(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Prints bytes that are UTF-8, and a line break. A closed pipe is not an error.
///
/// # Errors
/// If they cannot be written for another reason.
pub fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(bytes)
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// The width to fill: the terminal's, or 80 if it has none.
pub fn columns() -> usize {
    let terminal = io::stdout().is_terminal().then(terminal::size);
    match terminal {
        Some(Ok((columns @ 1.., _))) => columns.into(),
        _ => 80,
    }
}

/// Prints data that must not be lost to standard output.
///
/// # Errors
/// If it cannot be written, or nobody reads it.
pub fn print_all(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Asks for confirmation, unless `--yes` was given.
///
/// # Errors
/// If the answer is not yes, or there is none.
pub fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let is_answered = io::stdin().read_line(&mut answer)? > 0;
    anyhow::ensure!(is_answered, "no answer on standard input: pass --yes");
    let is_yes = ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    anyhow::ensure!(is_yes, "nothing was changed");
    Ok(())
}
