//! What outlives the agent: the backlog, and what it knows of the file systems. On a stop, it is written to a file in the
//! state directory, which only the agent can read; the next start reads it and removes it.
//!
//! The first line says whose it is; each other line is a heartbeat.

use crate::backlog::{Backlog, Kept};
use crate::machine::{History, Machine};
use anyhow::{Context, ensure};
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

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
    owner: Owner,
}

/// The first line: whose it is, and what does not outlive a start of the machine.
#[derive(Clone, Deserialize, Serialize)]
struct Owner {
    url: String,
    server_id: String,
    boot_id: Option<String>,
    #[serde(default)]
    file_systems: History,
}

impl StateFile {
    /// The file of an agent that sends as this server to this URL, if systemd gives it a state directory.
    pub fn new(url: String, machine: &Machine) -> Option<Self> {
        let folders = env::var_os("STATE_DIRECTORY").filter(|folders| !folders.is_empty())?;
        Some(Self {
            // The others, if there are any, are for purposes that the agent does not have.
            folder: env::split_paths(&folders).next()?,
            owner: Owner {
                url,
                server_id: machine.server_id().to_string(),
                boot_id: machine.boot_id.clone(),
                file_systems: History::default(),
            },
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
            Err(error) if error.kind() == ErrorKind::NotFound => return self.has_place(),
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

    /// Without a place for the file, the agent runs, and a person should know it before it stops.
    fn has_place(&self) -> anyhow::Result<()> {
        access(&self.folder, Access::WRITE_OK | Access::EXEC_OK).with_context(|| {
            let folder = self.folder.display();
            format!("{folder} cannot be written to, so a restart loses what could not be sent")
        })
    }

    fn parse(&self, file: impl BufRead) -> anyhow::Result<(Vec<Kept>, History)> {
        let mut lines = file.lines();
        let first = lines.next().context("it is empty")?;
        let (owner, own): (Owner, _) = (understand(&first?)?, &self.owner);
        for (name, own, other) in
            [("url", &own.url, owner.url), ("server_id", &own.server_id, owner.server_id)]
        {
            ensure!(other == *own, "it belongs to the {name} {other}");
        }
        let is_same_boot = own.boot_id.is_some() && owner.boot_id == own.boot_id;
        let heartbeats = lines.map(|line| {
            let kept: Kept = understand(&line?)?;
            Ok(Kept { since_boot: kept.since_boot.filter(|_| is_same_boot), ..kept })
        });
        let history = if is_same_boot { owner.file_systems } else { History::default() };
        Ok((heartbeats.collect::<anyhow::Result<_>>()?, history))
    }

    /// Writes everything. If that fails, nothing is left behind, because half a backlog takes the room of a whole one.
    pub fn write(&self, state: &State) -> anyhow::Result<()> {
        let (new, path) = (self.path(".new"), self.path(""));
        let write = || {
            let _ = fs::remove_file(&new);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut file = BufWriter::new(options.open(&new)?);
            let owner = Owner { file_systems: state.history.clone(), ..self.owner.clone() };
            writeln!(file, "{}", serde_json::to_string(&owner)?)?;
            for kept in state.backlog.iter().chain(&state.sending) {
                writeln!(file, "{}", serde_json::to_string(kept)?)?;
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

/// What a line says.
fn understand<'a, T: Deserialize<'a>>(line: &'a str) -> anyhow::Result<T> {
    serde_json::from_str(line).context("it cannot be understood")
}
