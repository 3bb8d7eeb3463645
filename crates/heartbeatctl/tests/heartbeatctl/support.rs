//! Shared by the tests: fresh tables, and the tool as a process.

use chrono::{TimeDelta, Utc};
pub use dev::command::{Run, closed_pipe, run, run_with_input, terminate, wait_until};
use dev::tables::Tables;
pub use dev::tables::text;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Deref;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

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
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
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
        Self { keyboard, device, output }
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
    let mut attributes =
        vec![("server_id", text(server)), ("status", text(status)), ("last_seen", text(&seen))];
    if status == "offline" {
        attributes.push(("offline_since", text(&seen)));
    }
    place.put(&place.servers, attributes).await;
}
