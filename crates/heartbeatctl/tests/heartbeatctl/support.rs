//! Shared by the tests: fresh tables, and the tool as a process.

use chrono::{TimeDelta, Utc};
use dev::tables::Tables;
pub use dev::tables::text;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Deref;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The result of one run of the tool.
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

pub struct Place(Tables);

impl Deref for Place {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.0
    }
}

/// The tool with a clean environment.
pub fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heartbeatctl"));
    command
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Run {
    Run::from(command.output().unwrap())
}

/// Runs the tool with this on its standard input.
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
    assert!(Command::new("kill").arg(id).status().unwrap().success());
}

/// A terminal of 80 columns and 24 rows.
pub struct Terminal {
    keyboard: File,
    device: String,
    output: Arc<Mutex<String>>,
}

impl Terminal {
    pub fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let keyboard = openpt(flags).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&keyboard, size).unwrap();
        let device = ptsname(&keyboard, Vec::new()).unwrap();
        let keyboard = File::from(keyboard);
        let mut screen = keyboard.try_clone().unwrap();
        let output = Arc::<Mutex<String>>::default();
        let shared = output.clone();
        // Opened before the thread reads: a terminal that no process has open cannot be read.
        let device = device.into_string().unwrap();
        let open = Self::open(&device);
        std::thread::spawn(move || {
            let _open = open;
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]);
                shared.lock().unwrap().push_str(&text);
            }
        });
        Self {
            keyboard,
            device,
            output,
        }
    }

    fn open(device: &str) -> File {
        let mut options = File::options();
        options.read(true).write(true).open(device).unwrap()
    }

    /// The terminal as a standard stream of a process.
    pub fn stream(&self) -> Stdio {
        Self::open(&self.device).into()
    }

    pub fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Everything that has been written to the terminal.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }
}

impl Place {
    pub async fn new() -> Self {
        Self(Tables::create().await)
    }

    pub fn tool(&self) -> Command {
        let mut command = tool();
        command.envs(self.settings()).env("KEYS_TABLE", &self.keys);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        run(self.tool().args(arguments))
    }
}

/// A time so many seconds ago, in the format of `last_seen`.
pub fn stored(ago: i64) -> String {
    dev::tables::stored(Utc::now() - TimeDelta::seconds(ago))
}

/// Stores a server that was last seen so many seconds ago.
pub async fn put_server(place: &Place, server: &str, status: &str, ago: i64) {
    let seen = stored(ago);
    let mut attributes = vec![
        ("server_id", text(server)),
        ("status", text(status)),
        ("last_seen", text(&seen)),
    ];
    if status == "offline" {
        attributes.push(("offline_since", text(&seen)));
    }
    place.put(&place.servers, attributes).await;
}
