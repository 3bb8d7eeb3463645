//! Systems other than Linux: what `sysinfo` says. Nobody has run the agent there.

use super::filesystem::{Condition, FileSystem, History, Usage};
use super::{Problem, Readings};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::thread;
use sysinfo::{Disks, MINIMUM_CPU_UPDATE_INTERVAL, Networks};

pub struct System {
    chosen: Vec<OsString>,
    pub history: History,
    system: Option<sysinfo::System>,
}

impl System {
    pub fn new(disks: Vec<OsString>, _services: Vec<String>) -> Self {
        Self { chosen: disks, history: History::default(), system: None }
    }

    pub fn read(&mut self, readings: &mut Readings) {
        let system = match &mut self.system {
            Some(system) => system,
            None => match sysinfo::System::new() {
                Ok(mut system) => {
                    system.refresh_cpu_usage();
                    // CPU in use is the difference between two readings.
                    thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL);
                    self.system.insert(system)
                }
                Err(reason) => {
                    readings.problems.push(Problem::not_read("machine", reason));
                    return;
                }
            },
        };
        system.refresh_cpu_usage();
        system.refresh_memory();
        readings.cpu(Ok::<_, String>(f64::from(system.global_cpu_usage())));
        let (total, used) = (system.total_memory(), system.used_memory());
        let memory = (total > 0).then_some((total, used));
        readings.memory(memory.ok_or("it is unknown"));
        let load = sysinfo::System::load_average();
        readings.load(load.map(|load| [load.one, load.five, load.fifteen]));
        readings.uptime(sysinfo::System::uptime());
        let networks = Networks::new_with_refreshed_list();
        readings.network(networks.map(|networks| {
            let outside = || networks.iter().filter(|(name, _)| !name.starts_with("lo"));
            let received = outside().map(|(_, network)| network.total_received()).sum();
            let sent = outside().map(|(_, network)| network.total_transmitted()).sum();
            (received, sent)
        }));
        match Disks::new_with_refreshed_list() {
            Err(reason) => readings.problems.push(Problem::not_read("disk", reason)),
            Ok(disks) => {
                let file_systems = disks.iter().filter(|disk| {
                    let is_chosen = self.chosen.iter().any(|chosen| disk.mount_point() == chosen);
                    (is_chosen || self.chosen.is_empty()) && !disk.is_read_only()
                });
                let file_systems = file_systems.map(|disk| FileSystem {
                    mount_point: disk.mount_point().to_string_lossy().into_owned(),
                    device: disk.name().to_string_lossy().into_owned(),
                    kind: disk.file_system().to_string_lossy().into_owned(),
                    condition: Condition::Ok(Usage {
                        total: disk.total_space(),
                        used: disk.total_space().saturating_sub(disk.available_space()),
                        available: disk.available_space(),
                    }),
                    inodes: None,
                });
                readings.file_systems(&file_systems.collect::<Vec<_>>());
            }
        }
    }
}

/// There is none.
pub const fn guid() -> Option<String> {
    None
}

/// The host name, and what the endpoint calls `os_info`.
pub fn identity() -> (Option<String>, Value) {
    let os_info = json!({
        "distribution": sysinfo::System::name().ok(),
        "version": sysinfo::System::os_version().ok(),
        "kernel": sysinfo::System::kernel_version().ok(),
        "architecture": sysinfo::System::cpu_arch(),
    });
    (sysinfo::System::host_name().ok(), os_info)
}
