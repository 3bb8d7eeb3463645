//! Runs a command as if it had been started without this program: it has the same standard input and output, gets the signals that
//! this program is sent, and its status is that of this program.
//!
//! Standard error passes through a pipe, for its last line, unless it is a terminal.

use super::folder::JobFile;
use super::{Name, now};
use crate::print;
use anyhow::ensure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use signal_hook::consts::signal::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use signal_hook::low_level::{emulate_default_handler, signal_name};
use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tables::printable;

#[derive(clap::Args)]
pub struct Arguments {
    /// The job has failed if no run has ended well for so long. A flag that is not given keeps its last value.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    within: Option<i64>,
    /// The job has failed if it runs for longer.
    #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
    longest: Option<i64>,
    /// 1 to 30 characters of a-z0-9._-, first a letter or a digit.
    name: Name,
    /// The command. Without one, the job is declared, and has never run.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn seconds(text: &str) -> Result<i64, String> {
    syntax::duration::parse_positive(text).map(|duration| duration.num_seconds())
}

/// How long what a background child of the command holds open is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs a job or declares it. The command runs whether or not that can be written down.
///
/// # Errors
/// If a job cannot be declared.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some((program, rest)) = arguments.command.split_first() else {
        JobFile::open(&arguments.name)?.update(&arguments.name, |record| {
            record.within = arguments.within.or(record.within);
            record.longest = arguments.longest.or(record.longest);
        })?;
        return Ok(ExitCode::SUCCESS);
    };
    let started = now();
    let file = arguments.recorded(|| {
        let file = JobFile::open(&arguments.name)?;
        ensure!(file.is_locked(), "another run of it has not ended");
        arguments.update(&file, |record| record.start(started))?;
        Ok(file)
    });
    let (ended, line) = execute(Command::new(program).args(rest));
    let (failure, line, code) = match &ended {
        Ok(status) => (failure(*status), line, ExitCode::SUCCESS),
        Err(reason) => {
            let text = format!("{}: {reason}", program.to_string_lossy());
            print::message(format_args!("error: {text}"));
            // As a shell says it.
            let code = if reason.kind() == ErrorKind::NotFound { 127 } else { 126 };
            (Some(format!("exit code {code}")), Some(printable(&text)), ExitCode::from(code))
        }
    };
    arguments.recorded(|| {
        let file = file.map_or_else(|| JobFile::open(&arguments.name), Ok)?;
        ensure!(file.is_locked(), "another run of it has not ended");
        arguments.update(&file, |record| record.end(started, now(), failure, line))
    });
    Ok(ended.map_or(code, leave))
}

impl Arguments {
    fn update(
        &self,
        file: &JobFile,
        change: impl FnOnce(&mut super::Record),
    ) -> anyhow::Result<()> {
        file.update(&self.name, |record| {
            record.within = self.within.or(record.within);
            record.longest = self.longest.or(record.longest);
            change(record);
        })
    }

    /// Says why something is not written down.
    fn recorded<T>(&self, write: impl FnOnce() -> anyhow::Result<T>) -> Option<T> {
        let written = write();
        if let Err(reason) = &written {
            print::message(format_args!("job {} is not recorded: {reason:#}", self.name));
        }
        written.ok()
    }
}

fn failure(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, signal) => {
            let name = signal.and_then(signal_name);
            Some(format!("ended by {}", name.unwrap_or("a signal")))
        }
    }
}

/// Ends this program as the command has ended.
fn leave(status: ExitStatus) -> ExitCode {
    let Some(signal) = status.signal() else {
        return ExitCode::from(status.code().unwrap_or_default() as u8);
    };
    // The command has left the core that there is to look at.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // The first process of a container ignores its own signals.
    if std::process::id() != 1 {
        let _ = emulate_default_handler(signal);
    }
    ExitCode::from(128_u8.wrapping_add(signal as u8))
}

/// Runs a command; returns how it ended, and the last line of its standard error.
fn execute(command: &mut Command) -> (io::Result<ExitStatus>, Option<String>) {
    let mut line = LastLine::default();
    let ended = start(command).and_then(|run| run.wait(&mut line));
    (ended, line.text())
}

/// A command that runs.
struct Running {
    child: Child,
    /// Its standard error, until that is closed.
    stderr: Option<ChildStderr>,
    signals: SignalDelivery<UnixStream, WithOrigin>,
}

fn start(command: &mut Command) -> io::Result<Running> {
    // What is ignored, as by nohup, the command is to ignore as well: a handler would change that.
    let ignored = ignored();
    let is_caught = |signal: &i32| *signal == SIGCHLD || ignored >> (signal - 1) & 1 == 0;
    let passed_on = [SIGCHLD, SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
    let (read, write) = UnixStream::pair()?;
    let caught = passed_on.into_iter().filter(is_caught);
    let signals = SignalDelivery::with_pipe(read, write, WithOrigin::default(), caught)?;
    if !io::stderr().is_terminal() {
        command.stderr(Stdio::piped());
    }
    let mut child = command.spawn()?;
    Ok(Running { stderr: child.stderr.take(), child, signals })
}

/// The signals that this process ignores: bit 0 is signal 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

impl Running {
    fn wait(mut self, line: &mut LastLine) -> io::Result<ExitStatus> {
        let mut ended: Option<(ExitStatus, Instant)> = None;
        // What was read of its standard error, and not written yet.
        let mut unwritten: Vec<u8> = Vec::new();
        loop {
            self.pass_signals_on(ended.is_some());
            if ended.is_none() {
                let status = self.child.try_wait()?;
                ended = status.map(|status| (status, Instant::now() + PATIENCE));
            }
            // A slow reader of what was written gets all of it.
            let mut left = None;
            if let Some((status, deadline)) = ended.filter(|_| unwritten.is_empty()) {
                let time = deadline.saturating_duration_since(Instant::now());
                if self.stderr.is_none() || time.is_zero() {
                    return Ok(status);
                }
                left = Timespec::try_from(time).ok();
            }
            let own = io::stderr();
            let mut waiting = vec![PollFd::new(self.signals.get_read(), PollFlags::IN)];
            match &self.stderr {
                _ if !unwritten.is_empty() => waiting.push(PollFd::new(&own, PollFlags::OUT)),
                Some(stderr) => waiting.push(PollFd::new(stderr, PollFlags::IN)),
                None => {}
            }
            let polled = poll(&mut waiting, left.as_ref());
            let is_ready = waiting.get(1).is_some_and(|stream| !stream.revents().is_empty());
            if polled.is_err() || !is_ready {
                continue;
            }
            if unwritten.is_empty() {
                self.read(&mut unwritten);
                line.add(&unwritten);
            } else {
                pass_on(&mut unwritten);
            }
        }
    }

    /// Passes on what another process has sent. What the kernel sends, such as Ctrl-C of a terminal, the command gets itself.
    fn pass_signals_on(&mut self, has_ended: bool) {
        let id = Pid::from_child(&self.child);
        for origin in self.signals.pending() {
            // An alarm may have been set before this program was executed, and is its own.
            let is_terminals = origin.cause == Cause::Kernel && origin.signal != SIGALRM;
            let is_own = origin.signal == SIGCHLD || is_terminals;
            if let Some(signal) =
                Signal::from_named_raw(origin.signal).filter(|_| !is_own && !has_ended)
            {
                let _ = kill_process(id, signal);
            }
        }
    }

    fn read(&mut self, to: &mut Vec<u8>) {
        // A pipe that is ready takes so much without waiting.
        let mut part = [0; 4096];
        let read = self.stderr.as_mut().map_or(Ok(0), |stderr| stderr.read(&mut part));
        match read {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => self.stderr = None,
            Ok(length) => to.extend_from_slice(&part[..length]),
        }
    }
}

/// Writes to standard error. If that fails, it is lost, and the command goes on.
fn pass_on(unwritten: &mut Vec<u8>) {
    match rustix::io::write(io::stderr().as_fd(), unwritten).map_err(io::Error::from) {
        Ok(length) => {
            unwritten.drain(..length);
        }
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
        Err(_) => unwritten.clear(),
    }
}

/// The last line that is not empty, or its beginning.
#[derive(Default)]
struct LastLine {
    last: Vec<u8>,
    current: Vec<u8>,
}

impl LastLine {
    const LONGEST: usize = 200;

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // A line that shows a progress is overwritten.
            if matches!(byte, b'\n' | b'\r') {
                self.end();
            } else if self.current.len() < Self::LONGEST {
                self.current.push(*byte);
            }
        }
    }

    fn end(&mut self) {
        if !self.current.trim_ascii().is_empty() {
            self.last = std::mem::take(&mut self.current);
        }
        self.current.clear();
    }

    fn text(mut self) -> Option<String> {
        self.end();
        let text = printable(String::from_utf8_lossy(&self.last).trim());
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_one_that_says_something_and_forges_nothing() {
        let long = "x".repeat(1_000);
        for (printed, expected) in [
            ("", None),
            ("\n \n", None),
            ("first\nlast", Some("last")),
            ("first\n last \n\n  \n", Some("last")),
            ("10 %\r20 %\r", Some("20 %")),
            ("a\x1b[2Jb\0c\u{202e}", Some("a\u{fffd}[2Jb\u{fffd}c\u{fffd}")),
            (&long, Some(&long[..LastLine::LONGEST])),
        ] {
            let mut line = LastLine::default();
            for byte in printed.bytes() {
                line.add(&[byte]);
            }
            assert_eq!(line.text().as_deref(), expected, "{printed:?}");
        }
    }
}
