//! Linux: what `/proc`, `/sys` and the kernel say. Their files hold names that anybody may choose, in bytes that need not
//! be UTF-8: an odd line costs that line, and not its file.

mod cpu;
mod filesystem;
mod identity;
mod load;
mod memory;
mod mount;
mod network;
mod service;
mod statvfs;
mod temperature;

use super::filesystem::History;
use super::{Problem, Readings};
use anyhow::{Context, ensure};
use cpu::Cpu;
use filesystem::FileSystems;
use service::Services;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;

pub use identity::{guid, identity};

pub struct System {
    cpu: Cpu,
    file_systems: FileSystems,
    pub history: History,
    services: Services,
}

impl System {
    pub fn new(disks: Vec<OsString>, services: Vec<String>) -> Self {
        Self {
            cpu: Cpu::default(),
            file_systems: FileSystems::new(disks),
            history: History::default(),
            services: Services::new(services),
        }
    }

    pub fn read(&mut self, readings: &mut Readings) {
        let mounts = mount::read();
        readings.cpu(one_line(self.cpu.percent()));
        readings.memory(one_line(memory::read(mounts.as_deref().unwrap_or_default())));
        readings.load(one_line(load::average()));
        readings.uptime(one_line(load::uptime()));
        readings.network(one_line(network::read()));
        readings.temperature(temperature::read());
        readings.reboot_required(identity::reboot_required());
        let answer = self.services.read();
        readings.services(answer.services, answer.problem);
        match one_line(mounts) {
            Ok(mounts) => {
                let file_systems = self.file_systems.read(&mounts, &mut self.history);
                readings.file_systems(&file_systems);
            }
            Err(reason) => readings.problems.push(Problem::not_read("disk", reason)),
        }
    }
}

/// The content of a file, which is never empty.
fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    // The size of these files is said to be 0: without some room, they are read in many small parts.
    let mut content = Vec::with_capacity(8192);
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut content));
    read.with_context(|| path.to_owned())?;
    ensure!(!content.is_empty(), "{path} is empty");
    Ok(content)
}

/// The lines of a file that are text.
fn lines(content: &[u8]) -> impl Iterator<Item = &str> {
    let lines = content.split(|byte| *byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok())
}

fn one_line<T>(read: anyhow::Result<T>) -> Result<T, String> {
    read.map_err(|reason| format!("{reason:#}"))
}
