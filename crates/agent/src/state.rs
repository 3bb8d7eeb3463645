//! What outlives the agent: the backlog, and what it knows of the file systems. On a stop, it is written to a file in the
//! state directory, which only the agent can read; the next start reads it and removes it.
//!
//! The first line says whose it is; each other line is a heartbeat.

use crate::backlog::{Backlog, Kept};
use crate::clock;
use crate::machine::History;
use crate::sender::Outgoing;
use anyhow::{Context, ensure};
use chrono::DateTime;
use serde_json::{Value, json};
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tables::ServerId;

/// What is written on a stop.
pub struct State {
    pub backlog: Backlog,
    /// The live heartbeat, until it is accepted or kept.
    pub sending: Option<Kept>,
    pub history: History,
}

/// Where it is written.
pub struct StateFile {
    folder: PathBuf,
    url: String,
    server_id: ServerId,
    boot_id: Option<String>,
}

impl StateFile {
    /// The file of an agent that sends as this server to this URL, if systemd gives it a state directory.
    pub fn new(url: String, server_id: ServerId) -> Option<Self> {
        let folders = env::var_os("STATE_DIRECTORY").filter(|folders| !folders.is_empty())?;
        Some(Self {
            // The others, if there are any, are for purposes that the agent does not have.
            folder: env::split_paths(&folders).next()?,
            url,
            server_id,
            boot_id: clock::boot_id(),
        })
    }

    fn path(&self, end: &str) -> PathBuf {
        self.folder.join(format!("backlog{end}"))
    }

    /// Adds what the last stop has written. A file that cannot be understood, or that belongs to another server or
    /// endpoint, is set aside; returns what a person should know of it.
    pub fn read(&self, state: &mut State) -> anyhow::Result<()> {
        let path = self.path("");
        let name = path.display();
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened,
        };
        let read =
            file.context("it cannot be opened").and_then(|file| self.parse(BufReader::new(file)));
        match read {
            Ok((heartbeats, history)) => {
                for heartbeat in heartbeats {
                    state.backlog.keep(heartbeat);
                }
                state.history = history;
                // If it stayed, a crash would bring back heartbeats whose times have been corrected since.
                fs::remove_file(&path).with_context(|| format!("{name} cannot be removed"))
            }
            Err(reason) => {
                let aside = self.path(".set-aside");
                let moved = fs::rename(&path, &aside);
                moved.with_context(|| {
                    format!("{name} is not used, and cannot be set aside: {reason:#}")
                })?;
                Err(reason.context(format!(
                    "{name} is not used, and was set aside as {}",
                    aside.display()
                )))
            }
        }
    }

    fn parse(&self, file: impl BufRead) -> anyhow::Result<(Vec<Kept>, History)> {
        let mut lines = file.lines();
        let first = lines.next().context("it is empty")?;
        let owner: Value = serde_json::from_str(&first?).context("it cannot be understood")?;
        for (name, own) in [("url", self.url.as_str()), ("server_id", self.server_id.as_str())] {
            let other = owner[name].as_str().context("it cannot be understood")?;
            ensure!(other == own, "it belongs to the {name} {other}");
        }
        let is_same_boot =
            self.boot_id.is_some() && owner["boot_id"].as_str() == self.boot_id.as_deref();
        let heartbeats =
            lines.map(|line| kept(&line?, is_same_boot).context("it cannot be understood"));
        let heartbeats = heartbeats.collect::<anyhow::Result<_>>()?;
        let history = History::parse(&owner["file_systems"]).filter(|_| is_same_boot);
        Ok((heartbeats, history.unwrap_or_default()))
    }

    /// Writes everything. If that fails, nothing is left behind, because half a backlog takes the room of a whole one.
    pub fn write(&self, state: &State) -> anyhow::Result<()> {
        let (new, path) = (self.path(".new"), self.path(""));
        let write = || {
            let _ = fs::remove_file(&new);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut file = BufWriter::new(options.open(&new)?);
            let owner = json!({
                "url": self.url,
                "server_id": self.server_id.as_str(),
                "boot_id": self.boot_id,
                "file_systems": state.history.as_json(),
            });
            writeln!(file, "{owner}")?;
            for kept in state.backlog.iter().chain(&state.sending) {
                let line = json!({
                    "body": kept.outgoing.body,
                    "idempotency_key": kept.outgoing.idempotency_key,
                    "measured": tables::time::format(kept.measured),
                    "since_boot_ms": kept.since_boot.map(|time| time.as_millis() as u64),
                    "may_have_arrived": kept.may_have_arrived,
                });
                writeln!(file, "{line}")?;
            }
            file.into_inner()?.sync_all()?;
            fs::rename(&new, &path)
        };
        write().with_context(|| {
            let _ = fs::remove_file(&new);
            format!("{} cannot be written", path.display())
        })
    }
}

/// A heartbeat from a line of the file.
fn kept(line: &str, is_same_boot: bool) -> Option<Kept> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| line[name].as_str();
    Some(Kept {
        outgoing: Outgoing {
            body: text("body")?.to_owned(),
            idempotency_key: text("idempotency_key")?.to_owned(),
        },
        measured: DateTime::parse_from_rfc3339(text("measured")?).ok()?.to_utc(),
        since_boot: line["since_boot_ms"]
            .as_u64()
            .map(Duration::from_millis)
            .filter(|_| is_same_boot),
        may_have_arrived: line["may_have_arrived"].as_bool()?,
    })
}
