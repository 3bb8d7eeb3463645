//! Runs programs as a person does.

use serde_json::Value;
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The result of one run of a program.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }
}

pub fn run(command: &mut Command) -> Run {
    Run::from(command.output().unwrap())
}

/// Runs a program with this on its standard input.
pub fn run_with_input(command: &mut Command, input: &str) -> Run {
    let command = command.stdin(Stdio::piped());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    Run::from(child.wait_with_output().unwrap())
}

/// A pipe that nobody reads.
pub fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Says that a test is skipped. `eprintln` would be kept from whoever runs the tests, because the test passes.
pub fn skip(reason: &str) {
    std::io::stderr().write_all(format!("skipped: {reason}\n").as_bytes()).unwrap();
}

/// Whether a program is installed. If not, a test says that it is skipped; on CI, where `.ci/install` has run, it fails.
pub fn has(program: &str) -> bool {
    let mut shell = Command::new("sh");
    let found = shell.args(["-c", &format!("command -v {program}")]).stdout(Stdio::null());
    let is_found = found.status().unwrap().success();
    if !is_found {
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!is_ci, "{program} is not installed");
        skip(&format!("needs {program}"));
    }
    is_found
}

/// Waits until something is true, for a minute at most.
pub fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends SIGTERM to a process.
pub fn terminate(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("sh").args(["-c", &format!("kill {id}")]).status().unwrap().success());
}

/// Ends a process with SIGTERM, and returns its output.
pub fn stop(child: Child) -> Run {
    terminate(&child);
    Run::from(child.wait_with_output().unwrap())
}
