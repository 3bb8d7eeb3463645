//! What people and programs read, and what people are asked.

use crossterm::terminal;
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};

pub use tables::printable;
use tables::printable_json;

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

/// Prints what may contain text from outside as JSON.
///
/// # Errors
/// If it cannot be written for another reason than a closed pipe.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(&printable_json(&serde_json::to_string(value)?))
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

/// The width of the terminal on standard output; `None` if that is none, for which nothing is cut. `COLUMNS` precedes it.
pub fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let own = || terminal::size().ok().map(|(columns, _)| columns.into());
    asked_columns().or_else(own).filter(|columns| *columns > 0).or(Some(USUAL_COLUMNS))
}

/// The width of a chart, which has one even without a terminal.
pub fn chart_columns() -> usize {
    columns().or_else(asked_columns).unwrap_or(USUAL_COLUMNS)
}

/// The width of a terminal that says none.
pub const USUAL_COLUMNS: usize = 80;

fn asked_columns() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok()?.parse().ok();
    columns.filter(|columns| *columns > 0)
}

/// Whether a terminal understands nothing but text.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}

/// Whether to use colours: on a terminal that knows them, unless `NO_COLOR` is set.
pub fn colours() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_dumb() && !is_unwanted
}

/// A line that is at most so many columns long.
pub fn cut(line: &str, columns: Option<usize>) -> String {
    match columns {
        Some(columns) if line.chars().count() > columns => {
            line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
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
