//! The terminal's alternate screen, which is drawn over in place.

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, size};
use crossterm::{execute, queue, style};
use std::io::{self, Write};

/// The alternate screen; dropping it restores the terminal.
pub struct Screen(io::Stdout);

impl Screen {
    pub fn enter() -> io::Result<Self> {
        let mut screen = Self(io::stdout());
        execute!(screen.0, EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        Ok(screen)
    }

    /// Draws as many lines as fit over the previous ones, to avoid flicker.
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        let rows = size().map_or(usize::MAX, |(_, rows)| rows.into());
        for (row, line) in (0..).zip(text.lines().take(rows)) {
            queue!(self.0, MoveTo(0, row), style::Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.0, Clear(ClearType::FromCursorDown))?;
        self.0.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(self.0, Show, LeaveAlternateScreen);
    }
}
