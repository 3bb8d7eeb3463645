//! The share of a core that Lambda gives to a function, as a cgroup.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Lambda gives a function a whole core with so many MB, and a proportional share below.
const WHOLE: f64 = 1769.0;

/// The period of the share, microseconds.
const PERIOD: u32 = 20_000;

/// A cgroup with the share of a core that so many MB have. Dropping it removes the cgroup.
pub struct CpuShare(PathBuf);

impl CpuShare {
    /// Creates the cgroup, version 1 or 2, below the bench's own.
    pub fn new(memory: u32) -> Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = |controllers: &str| {
            own.lines().find_map(|line| {
                let (names, path) = line.split_once(':')?.1.split_once(':')?;
                let found = names.split(',').any(|name| name == controllers);
                found.then(|| path.trim_start_matches('/'))
            })
        };
        let quota = (f64::from(PERIOD) * f64::from(memory) / WHOLE).round();
        let name = format!("heartbeat-bench-{memory}-{}", std::process::id());
        if let Some(path) = own("cpu") {
            let share = Self::create(Path::new("/sys/fs/cgroup/cpu").join(path).join(name))?;
            share.set("cpu.cfs_period_us", &PERIOD.to_string())?;
            share.set("cpu.cfs_quota_us", &quota.to_string())?;
            Ok(share)
        } else {
            let path = own("").context("no cgroup")?;
            let share = Self::create(Path::new("/sys/fs/cgroup").join(path).join(name))?;
            share.set("cpu.max", &format!("{quota} {PERIOD}"))?;
            Ok(share)
        }
    }

    /// Moves a process into the cgroup.
    pub fn admit(&self, process: u32) -> Result<()> {
        self.set("cgroup.procs", &process.to_string())
    }

    fn create(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let file = self.0.join(file);
        fs::write(&file, value).with_context(|| file.display().to_string())
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // On failure, an empty cgroup is left behind.
        let _ = fs::remove_dir(&self.0);
    }
}
