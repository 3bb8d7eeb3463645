//! This machine's readings: what `/proc`, `/sys` and the kernel say. A value that was not read is not sent. These files hold
//! names that anybody may choose, in bytes that need not be UTF-8: an odd line costs that line, and not its file.

mod array;
mod cpu;
mod filesystem;
mod history;
mod identity;
mod job;
mod load;
mod memory;
mod mount;
mod network;
mod service;
mod statvfs;
mod temperature;
mod update;
mod worker;

use crate::clock::{self, Moment};
use anyhow::{Context, anyhow, ensure};
use cpu::Times;
use filesystem::{Condition, FileSystem, FileSystems};
use mount::Mount;
use serde_json::{Map, Value, json};
use service::{Service, Services, Status};
use statvfs::Usage;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::thread;
use tables::{Metric, ServerId, metric};
use update::Updates;
use worker::Worker;

pub use history::History;
pub use service::systemctl;

/// One heartbeat, and what is wrong with it.
pub struct Reading {
    pub heartbeat: Value,
    pub measured: Moment,
    pub problems: Vec<Problem>,
}

/// Something that could not be read, or that is broken.
#[derive(Debug)]
pub struct Problem {
    pub what: String,
    text: String,
}

impl Problem {
    pub fn not_read(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        let what = what.into();
        Self { text: format!("not read: {what}: {reason}"), what }
    }

    fn failed(what: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { what: format!("failed {what}"), text: format!("failed: {what}: {reason}") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The machine, and what its readings are compared with.
pub struct Machine {
    server_id: ServerId,
    worker: Worker<Source, Readings>,
    /// The processors, as they were at the previous heartbeat.
    times: Option<Times>,
    guid: Option<String>,
    pub boot_id: Option<String>,
    file_systems: FileSystems,
    pub history: History,
    services: Services,
    /// What of these has failed when it was last read.
    known: HashMap<Source, Vec<Service>>,
}

/// What is read of `/proc` and `/sys`. Each of these may never answer, such as a file behind FUSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Ids,
    Cpu,
    Memory,
    Load,
    Uptime,
    Network,
    Temperature,
    RebootRequired,
    Mounts,
    Updates,
    Arrays,
    Jobs,
}

impl Source {
    const ALL: [Self; 12] = [
        Self::Ids,
        Self::Cpu,
        Self::Memory,
        Self::Load,
        Self::Uptime,
        Self::Network,
        Self::Temperature,
        Self::RebootRequired,
        Self::Mounts,
        Self::Updates,
        Self::Arrays,
        Self::Jobs,
    ];

    /// Those that say what has failed besides units.
    const OF_SERVICES: [Self; 2] = [Self::Arrays, Self::Jobs];

    /// What is not read if it does not answer.
    const fn name(self) -> &'static str {
        match self {
            Self::Ids => "boot id",
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Load => "load average",
            Self::Uptime => "uptime",
            Self::Network => "network",
            Self::Temperature => "temperature",
            Self::RebootRequired => "reboot required",
            Self::Mounts => "disk",
            Self::Updates => "updates",
            Self::Arrays => "arrays and pools",
            Self::Jobs => "jobs",
        }
    }

    fn read(&self) -> Readings {
        let mut readings = Readings::default();
        match self {
            Self::Ids => {
                readings.guid = identity::guid();
                readings.boot_id = clock::boot_id();
            }
            Self::Cpu => readings.times = Some(Times::read()),
            Self::Memory => readings.memory(memory::read()),
            Self::Load => readings.load(load::average()),
            Self::Uptime => readings.uptime(load::uptime()),
            Self::Network => readings.network(network::read()),
            Self::Temperature => readings.temperature(temperature::read()),
            Self::RebootRequired => readings.reboot_required(identity::reboot_required()),
            Self::Mounts => readings.mounts = Some(mount::read()),
            Self::Updates => readings.updates = update::read(),
            Self::Arrays => readings.found = vec![(*self, array::read())],
            Self::Jobs => readings.found = vec![(*self, job::read())],
        }
        readings
    }
}

/// Bytes in a MB and in a GB of the readings.
const MIB: u64 = 1 << 20;
const GIB: f64 = (1_u64 << 30) as f64;

/// What the readings are collected in.
#[derive(Default)]
struct Readings {
    metrics: Map<String, Value>,
    /// None if nobody could say which there are.
    file_systems: Option<Vec<Value>>,
    /// None if nobody could say whether there are any.
    services: Option<Vec<Service>>,
    problems: Vec<Problem>,
    guid: Option<String>,
    boot_id: Option<String>,
    times: Option<anyhow::Result<Times>>,
    mounts: Option<anyhow::Result<Vec<Mount>>>,
    updates: Updates,
    /// What besides units has failed.
    found: Vec<(Source, anyhow::Result<Vec<Service>>)>,
}

impl Readings {
    fn extend(&mut self, part: Self) {
        self.metrics.extend(part.metrics);
        self.problems.extend(part.problems);
        self.guid = part.guid.or(self.guid.take());
        self.boot_id = part.boot_id.or(self.boot_id.take());
        self.times = part.times.or(self.times.take());
        self.mounts = part.mounts.or(self.mounts.take());
        self.updates.all = part.updates.all.or(self.updates.all);
        self.updates.security = part.updates.security.or(self.updates.security);
        self.found.extend(part.found);
    }

    /// Adds a reading, or what prevented it.
    fn add<T>(
        &mut self,
        what: &str,
        read: anyhow::Result<T>,
        metrics: impl FnOnce(T) -> Vec<(&'static Metric, Value)>,
    ) {
        match read {
            Ok(read) => {
                for (metric, value) in metrics(read) {
                    self.metrics.insert(metric.name.to_owned(), value);
                }
            }
            Err(reason) => self.problems.push(Problem::not_read(what, format_args!("{reason:#}"))),
        }
    }

    fn cpu(&mut self, percent: anyhow::Result<f64>) {
        self.add("CPU", percent, |percent| vec![(metric!("cpu_percent"), tenths(percent))]);
    }

    /// Total and used memory, bytes.
    fn memory(&mut self, memory: anyhow::Result<(u64, u64)>) {
        self.add("memory", memory, |(total, used)| {
            vec![
                (metric!("memory_percent"), tenths(used as f64 / total as f64 * 100.0)),
                (metric!("memory_total_mb"), json!(total / MIB)),
                (metric!("memory_used_mb"), json!(used / MIB)),
            ]
        });
    }

    /// The fullest of these file systems, and what is wrong with them.
    fn file_systems(&mut self, file_systems: &[FileSystem]) {
        let entries = file_systems.iter().flat_map(FileSystem::as_json);
        self.file_systems = Some(entries.collect());
        for file_system in file_systems {
            let name = &file_system.mount_point;
            let (status, reason, problem) = match &file_system.condition {
                Condition::Ok(_) => continue,
                Condition::Unknown(reason) => {
                    let problem = Problem::not_read(format!("disk {name}"), reason);
                    (Status::Unknown, reason, problem)
                }
                Condition::Failed(_, reason) => {
                    let problem = Problem::failed(format!("file system {name}"), reason);
                    (Status::Failed, reason, problem)
                }
            };
            self.problems.push(problem);
            self.services.get_or_insert_default().push(Service {
                name: format!("filesystem {name}"),
                status,
                reason: Some(reason.clone()),
            });
        }
        let fullness = |usage: &Usage| usage.percent().unwrap_or(-1.0);
        let usages = file_systems.iter().filter_map(FileSystem::usage);
        let fullest = usages.max_by(|a, b| fullness(a).total_cmp(&fullness(b)));
        let usage = match fullest {
            Some(usage) => Ok(usage),
            None if file_systems.is_empty() => Err(anyhow!("there is no local file system")),
            None => return,
        };
        let gigabytes = |bytes: u64| json!((bytes as f64 / GIB * 100.0).round() / 100.0);
        self.add("disk", usage, |usage| {
            let percent = usage.percent();
            let percent = percent.map(|percent| (metric!("disk_percent"), tenths(percent)));
            let sizes = [
                (metric!("disk_total_gb"), gigabytes(usage.total)),
                (metric!("disk_used_gb"), gigabytes(usage.used)),
            ];
            percent.into_iter().chain(sizes).collect()
        });
    }

    /// Received and sent bytes.
    fn network(&mut self, bytes: anyhow::Result<(u64, u64)>) {
        self.add("network", bytes, |(received, sent)| {
            vec![
                (metric!("network_rx_bytes"), json!(received)),
                (metric!("network_tx_bytes"), json!(sent)),
            ]
        });
    }

    fn load(&mut self, load: anyhow::Result<[f64; 3]>) {
        self.add("load average", load, |[one, five, fifteen]| {
            vec![
                (metric!("load_1m"), json!(one)),
                (metric!("load_5m"), json!(five)),
                (metric!("load_15m"), json!(fifteen)),
            ]
        });
    }

    /// Degrees Celsius, if there is a sensor.
    fn temperature(&mut self, degrees: Option<f64>) {
        let degrees = degrees.map(|degrees| json!((degrees * 10.0).round() / 10.0));
        self.metrics.extend(
            degrees.map(|degrees| (metric!("temperature_celsius").name.to_owned(), degrees)),
        );
    }

    /// Whether the machine has to be started anew, if that is known.
    fn reboot_required(&mut self, is_required: Option<bool>) {
        let is_required = is_required.map(Value::from);
        self.metrics.extend(
            is_required
                .map(|is_required| (metric!("reboot_required").name.to_owned(), is_required)),
        );
    }

    /// The services, if anybody could say which there are, and what could not be said.
    fn services(&mut self, services: Option<Vec<Service>>, problem: Option<String>) {
        self.services = services;
        let problem = problem.map(|reason| Problem::not_read("services", reason));
        self.problems.extend(problem);
    }

    fn uptime(&mut self, seconds: anyhow::Result<u64>) {
        self.add("uptime", seconds, |seconds| vec![(metric!("uptime_seconds"), json!(seconds))]);
    }
}

/// A percentage with one decimal, at most 100.
fn tenths(percent: f64) -> Value {
    json!((percent.clamp(0.0, 100.0) * 10.0).round() / 10.0)
}

impl FileSystem {
    /// The entries of a heartbeat: one, and one more if the inodes are fuller than the space.
    fn as_json(&self) -> Vec<Value> {
        let Some((usage, percent)) = self.usage().and_then(|usage| Some((usage, usage.percent()?)))
        else {
            return Vec::new();
        };
        let entry = |name: &str, percent: f64| {
            json!({
                "mount_point": name,
                "device": self.device,
                "fs_type": self.kind,
                "percent": tenths(percent),
            })
        };
        let mut space = entry(&self.mount_point, percent);
        for (name, bytes) in [
            ("total_bytes", usage.total),
            ("used_bytes", usage.used),
            ("available_bytes", usage.available),
        ] {
            space[name] = bytes.into();
        }
        let inodes = self.inodes.filter(|inodes| *inodes > percent);
        let name = format!("{} (inodes)", self.mount_point);
        let inodes = inodes.map(|inodes| entry(&name, inodes));
        [space].into_iter().chain(inodes).collect()
    }
}

impl Machine {
    /// `disks` are the mount points to choose from, or none for every local one. `services` are the units to report, besides
    /// those that have failed. Without an id, the machine keeps the one that its host name makes now.
    pub fn new(server_id: Option<ServerId>, disks: Vec<OsString>, services: Vec<String>) -> Self {
        let own_id = || ServerId::from_hostname(&identity::hostname());
        let mut machine = Self {
            server_id: server_id.unwrap_or_else(own_id),
            worker: Worker::new(Source::read),
            times: None,
            guid: None,
            boot_id: None,
            file_systems: FileSystems::new(disks),
            history: History::default(),
            services: Services::new(services),
            known: HashMap::new(),
        };
        machine.ask(&[Source::Ids]);
        machine
    }

    pub fn server_id(&self) -> ServerId {
        self.server_id.clone()
    }

    /// Reads everything. The first time, that takes as long as a sample of the processors.
    pub fn read(&mut self) -> Reading {
        let readings = self.readings();
        let measured = Moment::now();
        let (guid, boot_id) = (self.guid.clone(), self.boot_id.clone());
        let mut heartbeat = said_by(&self.server_id, measured, guid, boot_id);
        heartbeat["os_info"] = identity::os_info();
        heartbeat["metrics"] = readings.metrics.into();
        let services =
            readings.services.map(|services| services.iter().map(Service::as_json).collect());
        for (name, value) in [
            ("filesystems", readings.file_systems.map(Value::from)),
            ("services", services),
            ("updates_available", readings.updates.all.map(Value::from)),
            ("security_updates", readings.updates.security.map(Value::from)),
        ] {
            if let Some(value) = value {
                heartbeat[name] = value;
            }
        }
        Reading { heartbeat, measured, problems: readings.problems }
    }

    fn readings(&mut self) -> Readings {
        if self.times.is_none() {
            self.times = self.ask(&[Source::Cpu]).times.and_then(Result::ok);
            thread::sleep(cpu::SAMPLE);
        }
        let mut readings = self.ask(&Source::ALL);
        if let Some(times) = readings.times.take() {
            readings.cpu(times.and_then(|times| {
                let before = self.times.replace(times).context("there is no earlier reading")?;
                times.percent_since(&before)
            }));
        }
        let answer = self.services.read();
        readings.services(answer.services, answer.problem);
        self.found(&mut readings);
        match readings.mounts.take() {
            Some(Ok(mounts)) => {
                let file_systems = self.file_systems.read(&mounts, &mut self.history);
                readings.file_systems(&file_systems);
            }
            Some(Err(reason)) => {
                readings.problems.push(Problem::not_read("disk", format_args!("{reason:#}")));
            }
            None => {}
        }
        readings
    }

    /// Adds what has failed besides units. What cannot be read has not ended: it is unknown.
    fn found(&mut self, readings: &mut Readings) {
        let mut found: HashMap<_, _> = std::mem::take(&mut readings.found).into_iter().collect();
        for source in Source::OF_SERVICES {
            let services = match found.remove(&source) {
                Some(Ok(services)) => {
                    self.known.insert(source, services.clone());
                    services
                }
                unread => {
                    if let Some(Err(reason)) = unread {
                        let problem = Problem::not_read(source.name(), format_args!("{reason:#}"));
                        readings.problems.push(problem);
                    }
                    let known = self.known.get(&source).cloned().unwrap_or_default();
                    let unknown =
                        |service| Service { status: Status::Unknown, reason: None, ..service };
                    known.into_iter().map(unknown).collect()
                }
            };
            if !services.is_empty() {
                readings.services.get_or_insert_default().extend(services);
            }
        }
    }

    /// What these say, and which of them do not answer.
    fn ask(&mut self, sources: &[Source]) -> Readings {
        let mut answers = self.worker.ask(sources.iter().copied());
        let mut readings = Readings::default();
        for source in sources {
            match answers.remove(source) {
                Some(Ok(part)) => readings.extend(part),
                Some(Err(reason)) => {
                    readings.problems.push(Problem::not_read(source.name(), reason));
                }
                None => {}
            }
        }
        // They stay as long as the agent runs, and tell it from another one.
        self.guid = readings.guid.take().or(self.guid.take());
        self.boot_id = readings.boot_id.take().or(self.boot_id.take());
        readings
    }
}

/// The heartbeat of a machine that is switched off.
pub fn last_heartbeat(server_id: &ServerId) -> Value {
    let mut heartbeat = said_by(server_id, Moment::now(), identity::guid(), clock::boot_id());
    heartbeat["leaving"] = true.into();
    heartbeat
}

/// What every heartbeat says.
fn said_by(
    server_id: &ServerId,
    measured: Moment,
    guid: Option<String>,
    boot_id: Option<String>,
) -> Value {
    let mut heartbeat = json!({
        "server_id": server_id.as_str(),
        "hostname": identity::hostname(),
        "timestamp": tables::time::format(measured.wall),
        "agent_version": env!("CARGO_PKG_VERSION"),
    });
    for (name, value) in [("server_guid", guid), ("boot_id", boot_id)] {
        if let Some(value) = value {
            heartbeat[name] = value.into();
        }
    }
    heartbeat
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
