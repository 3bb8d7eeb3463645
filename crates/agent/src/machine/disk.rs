//! The fullest file system. A mount that hangs never delays a heartbeat.

use super::{Problem, Usage};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long all mounts together may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// File systems on a disk of this machine. `fuseblk` is a disk behind FUSE, such as NTFS.
const LOCAL: [&str; 21] = [
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfs", "hfsplus",
    "jfs", "msdos", "nilfs2", "ntfs", "ntfs3", "reiserfs", "ubifs", "ufs", "vfat", "xfs", "zfs",
];

pub struct Disks {
    /// The mount points to choose from; none means every local one.
    chosen: Vec<String>,
    /// Mounts that have been asked and have not answered yet, each by one thread.
    asked: HashMap<String, Receiver<io::Result<Usage>>>,
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    point: String,
    kind: String,
    is_read_only: bool,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let device = mount.next()?.to_owned();
        let point = unescape(mount.nth(1)?);
        let mut file_system = file_system.split(' ');
        let kind = file_system.next()?.to_owned();
        // The options of the superblock: those of the mount may be read-only just for this process.
        let options = file_system.nth(1)?;
        Some(Self {
            device,
            point,
            kind,
            is_read_only: options.split(',').any(|option| option == "ro"),
        })
    }

    fn is_local(&self) -> bool {
        // A container's root is an overlay on a disk of its host.
        let is_known =
            LOCAL.contains(&&*self.kind) || (self.kind == "overlay" && self.point == "/");
        is_known && !self.is_read_only
    }
}

/// Decodes the octal escapes of white space and backslashes.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let octal = after.get(..3).filter(|_| *byte == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[3..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Disks {
    pub fn new(chosen: Vec<String>) -> Self {
        Self {
            chosen,
            asked: HashMap::new(),
        }
    }

    /// The fullest of the mounts, and those that could not be read.
    pub fn fullest(&mut self, mountinfo: &str) -> (Option<Usage>, Vec<Problem>) {
        let (points, mut problems) = self.candidates(mountinfo);
        for point in &points {
            if !self.asked.contains_key(point) {
                match ask(point.clone()) {
                    Ok(answer) => drop(self.asked.insert(point.clone(), answer)),
                    Err(reason) => problems.push(Problem::new(format!("disk {point}"), reason)),
                }
            }
        }
        let deadline = Instant::now() + PATIENCE;
        let mut usages = Vec::new();
        for point in points {
            let Some(answer) = self.asked.get(&point) else {
                continue;
            };
            let problem = |reason: String| Problem::new(format!("disk {point}"), reason);
            match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {
                    problems.push(problem("it does not answer".to_owned()));
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => {}
                Ok(Err(reason)) => problems.push(problem(reason.to_string())),
                Ok(Ok(usage)) => usages.push(usage),
            }
            self.asked.remove(&point);
        }
        let fullness = |usage: &Usage| usage.percent().unwrap_or(-1.0);
        let fullest = usages
            .into_iter()
            .max_by(|a, b| fullness(a).total_cmp(&fullness(b)));
        if fullest.is_none() && problems.is_empty() {
            problems.push(Problem::new("disk", "there is no local file system"));
        }
        (fullest, problems)
    }

    /// The mount points to ask.
    fn candidates(&self, mountinfo: &str) -> (Vec<String>, Vec<Problem>) {
        let mounts = mountinfo.lines().filter_map(Mount::parse);
        // A later mount hides an earlier one at the same point.
        let by_point: HashMap<_, _> = mounts.map(|mount| (mount.point.clone(), mount)).collect();
        if !self.chosen.is_empty() {
            let (known, unknown): (Vec<_>, Vec<_>) = self
                .chosen
                .iter()
                .cloned()
                .partition(|point| by_point.contains_key(point));
            let problem = |point: String| {
                let reason = "no file system is mounted there";
                Problem::new(format!("disk {point}"), reason)
            };
            return (known, unknown.into_iter().map(problem).collect());
        }
        let mut local: Vec<_> = by_point.into_values().filter(Mount::is_local).collect();
        local.sort_by(|a, b| (a.point.len(), &a.point).cmp(&(b.point.len(), &b.point)));
        let mut devices = HashSet::new();
        local.retain(|mount| devices.insert(mount.device.clone()));
        (
            local.into_iter().map(|mount| mount.point).collect(),
            Vec::new(),
        )
    }
}

/// Asks for the usage of a mount in a thread of its own, because the answer may never come.
fn ask(point: String) -> io::Result<Receiver<io::Result<Usage>>> {
    let (sender, answer) = channel();
    let thread = thread::Builder::new().stack_size(64 * 1024);
    thread.spawn(move || drop(sender.send(usage(&point))))?;
    Ok(answer)
}

fn usage(point: &str) -> io::Result<Usage> {
    let stat = rustix::fs::statvfs(point)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Usage {
        total: bytes(stat.f_blocks),
        used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        available: bytes(stat.f_bavail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = r"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /proc rw - proc proc rw
24 22 8:1 / /data ro,relatime shared:2 - xfs /dev/sda1 rw,attr2
25 22 8:1 /bind /srv/bind rw - xfs /dev/sda1 rw
26 22 8:2 / /mnt/read\040only rw - ext4 /dev/sda2 ro
27 22 0:50 / /mnt/nas rw - nfs4 nas:/ rw
28 22 0:51 / /mnt/cloud rw - fuse.rclone cloud: rw
29 22 8:3 / /mnt/ntfs\134disk rw - fuseblk /dev/sda3 rw
30 22 0:52 / /tmp rw - tmpfs tmpfs rw
31 22 7:1 / /snap/core ro - squashfs /dev/loop1 ro
32 24 8:4 / /data rw - btrfs /dev/sdb rw
";

    fn candidates(chosen: &[&str]) -> (Vec<String>, usize) {
        let chosen = chosen.iter().map(|point| (*point).to_owned()).collect();
        let (points, problems) = Disks::new(chosen).candidates(MOUNTS);
        (points, problems.len())
    }

    #[test]
    fn local_file_systems_are_counted_once_and_no_others() {
        // /data is hidden by a later mount, so the device behind it is counted at its bind mount.
        let local = ["/", "/data", "/srv/bind", "/mnt/ntfs\\disk"];
        assert_eq!(candidates(&[]), (local.map(str::to_owned).to_vec(), 0));
    }

    #[test]
    fn a_chosen_disk_is_compared_as_text() {
        let chosen = ["/mnt/cloud", "/mnt/read only", "/data/", "/nowhere"];
        let known = ["/mnt/cloud", "/mnt/read only"].map(str::to_owned).to_vec();
        assert_eq!(candidates(&chosen), (known, 2));
    }

    #[test]
    fn what_only_the_superuser_may_use_is_not_used() {
        let usage = Usage {
            total: 100,
            used: 13,
            available: 82,
        };
        assert_eq!(usage.percent().map(f64::round), Some(14.0));
        let empty = Usage {
            total: 0,
            used: 0,
            available: 0,
        };
        assert_eq!(empty.percent(), None);
    }
}
