//! The file systems: how full they are, and whether they work.

use super::history::{History, Past};
use super::mount::Mount;
use super::statvfs::{self, Used};
use super::worker::Worker;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{fs, io};

/// A file system of this machine, or a pool of them.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSystem {
    pub mount_point: String,
    /// The name of its device, or of its pool.
    pub device: String,
    pub kind: String,
    pub condition: Condition,
    /// How full its inodes are, if it has a fixed number of them, percent.
    pub inodes: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Ok(Usage),
    /// It does not work as it should, for this reason. It may still say how full it is.
    Failed(Option<Usage>, String),
    /// It could not be read, for this reason.
    Unknown(String),
}

impl FileSystem {
    pub const fn usage(&self) -> Option<Usage> {
        match self.condition {
            Condition::Ok(usage) => Some(usage),
            Condition::Failed(usage, _) => usage,
            Condition::Unknown(_) => None,
        }
    }
}

/// The usage of a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub total: u64,
    pub used: u64,
    /// What a user without privileges may still use.
    pub available: u64,
}

impl Usage {
    /// As `df` computes it: what only the superuser may use is neither used nor available.
    pub fn percent(self) -> Option<f64> {
        let usable = self.used + self.available;
        (usable > 0).then(|| self.used as f64 / usable as f64 * 100.0)
    }
}

/// File systems on a disk of this machine. `fuseblk` is a disk behind FUSE, such as NTFS.
const LOCAL: [&str; 21] = [
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfs", "hfsplus",
    "jfs", "msdos", "nilfs2", "ntfs", "ntfs3", "reiserfs", "ubifs", "ufs", "vfat", "xfs", "zfs",
];

pub struct FileSystems {
    /// The mount points to choose from; none means every local one.
    chosen: Vec<OsString>,
    worker: Worker<Vec<u8>, io::Result<Used>>,
}

/// What is reported as one: a file system, or the mounted datasets of a pool.
struct Group<'a> {
    /// The one with the shortest mount point comes first.
    mounts: Vec<&'a Mount>,
    failure: Option<String>,
}

impl FileSystems {
    pub fn new(chosen: Vec<OsString>) -> Self {
        Self { chosen, worker: Worker::new(statvfs::read) }
    }

    /// Each file system, of all mounts of this process; notes what it has seen of them.
    pub fn read(&mut self, mounts: &[Mount], history: &mut History) -> Vec<FileSystem> {
        let visible = visible(mounts);
        let failures = failures(&visible, history, errors);
        let groups = groups(&visible, &failures, &self.chosen);
        let all = groups.iter().flat_map(|group| &group.mounts);
        let answers = self.worker.ask(all.map(|mount| mount.point.clone()));
        let mut file_systems: Vec<_> =
            groups.into_iter().map(|group| file_system(group, &answers)).collect();
        let is_missing =
            |point: &&OsString| !visible.iter().any(|mount| mount.point == point.as_bytes());
        file_systems.extend(self.chosen.iter().filter(is_missing).map(|point| FileSystem {
            mount_point: point.to_string_lossy().into_owned(),
            device: String::new(),
            kind: String::new(),
            inodes: None,
            condition: Condition::Unknown("no file system is mounted there".to_owned()),
        }));
        file_systems
    }
}

fn file_system(
    group: Group,
    answers: &HashMap<Vec<u8>, Result<io::Result<Used>, String>>,
) -> FileSystem {
    let answer = |mount: &&Mount| match &answers[&mount.point] {
        Ok(Ok(used)) => Ok(*used),
        Ok(Err(reason)) => Err(reason.to_string()),
        Err(reason) => Err(reason.clone()),
    };
    let used: Result<Vec<Used>, String> = group.mounts.iter().map(answer).collect();
    let first = group.mounts[0];
    let inodes = used.as_ref().ok().and_then(|used| used.first()?.inodes.percent());
    let usage = used.map(|used| together(used.into_iter().map(|used| used.space).collect()));
    FileSystem {
        mount_point: first.name(),
        device: String::from_utf8_lossy(pool(first).unwrap_or(&first.source)).into_owned(),
        kind: first.kind.clone(),
        inodes: inodes.filter(|_| is_ext(first)),
        condition: match (group.failure, usage) {
            (Some(reason), usage) => Condition::Failed(usage.ok(), reason),
            (None, Ok(usage)) => Condition::Ok(usage),
            (None, Err(reason)) => Condition::Unknown(reason),
        },
    }
}

/// The mounts that can be reached: a later mount hides an earlier one at the same point. The shortest point comes first.
fn visible(mounts: &[Mount]) -> Vec<&Mount> {
    let by_point: HashMap<_, _> = mounts.iter().map(|mount| (&mount.point, mount)).collect();
    let mut visible: Vec<_> = by_point.into_values().collect();
    visible.sort_by_key(|mount| (mount.point.len(), &mount.point));
    visible
}

/// Whether a mount is on a disk of this machine. A container's root is an overlay on a disk of its host.
fn is_local(mount: &Mount) -> bool {
    LOCAL.contains(&&*mount.kind) || (mount.kind == "overlay" && mount.point == b"/")
}

fn is_ext(mount: &Mount) -> bool {
    matches!(&*mount.kind, "ext2" | "ext3" | "ext4")
}

/// The pool that a mount of ZFS belongs to; a snapshot counts what its dataset counts.
fn pool(mount: &Mount) -> Option<&[u8]> {
    let is_dataset = mount.kind == "zfs" && !mount.source.contains(&b'@');
    let mut names = mount.source.split(|byte| *byte == b'/');
    names.next().filter(|_| is_dataset)
}

/// What to report: every local file system once, at its shortest mount point, and every pool once. Of chosen mount
/// points, exactly these; for a dataset, its pool.
fn groups<'a>(
    visible: &[&'a Mount],
    failures: &HashMap<&'a [u8], String>,
    chosen: &[OsString],
) -> Vec<Group<'a>> {
    let is_chosen = |mount: &Mount| match chosen {
        [] => is_local(mount) && (!mount.has_option("ro") || failures.contains_key(&*mount.point)),
        chosen => chosen.iter().any(|point| point.as_bytes() == mount.point),
    };
    let mut devices = HashSet::new();
    let mut pools = HashSet::new();
    let mut groups = Vec::new();
    for mount in visible.iter().copied().filter(|mount| is_chosen(mount)) {
        let mounts = match pool(mount) {
            Some(pool) if pools.insert(pool) => datasets(visible, pool),
            Some(_) => continue,
            None if mount.kind == "zfs" && chosen.is_empty() => continue,
            None if !chosen.is_empty() || devices.insert(&mount.device) => vec![mount],
            None => continue,
        };
        groups.push(Group { failure: failures.get(&*mount.point).cloned(), mounts });
    }
    groups
}

/// The mounted datasets of a pool, each once.
fn datasets<'a>(visible: &[&'a Mount], wanted: &[u8]) -> Vec<&'a Mount> {
    let mut seen = HashSet::new();
    let visible = visible.iter().copied();
    visible.filter(|mount| pool(mount) == Some(wanted) && seen.insert(&mount.device)).collect()
}

/// What datasets of one pool use together: what they refer to, over that plus the largest available.
fn together(usages: Vec<Usage>) -> Usage {
    if let [usage] = *usages {
        return usage;
    }
    let used = usages.iter().map(|usage| usage.used).sum();
    let available = usages.iter().map(|usage| usage.available).max().unwrap_or(0);
    Usage { total: used + available, used, available }
}

/// Why a file system has failed, by mount point; and what there is to remember.
fn failures<'a>(
    visible: &[&'a Mount],
    history: &mut History,
    errors: impl Fn(&Mount) -> Option<u64>,
) -> HashMap<&'a [u8], String> {
    let mut failures = HashMap::new();
    let before = std::mem::take(history).into_iter();
    let mut before: HashMap<_, _> =
        before.map(|past| ((past.device.clone(), past.mount_point.clone()), past)).collect();
    for mount in visible.iter().copied().filter(|mount| is_local(mount)) {
        let place = (mount.device.clone(), mount.name());
        let past = before.remove(&place).unwrap_or_default();
        let errors = errors(mount);
        let is_shut = mount.has_option("emergency_ro") || mount.has_option("shutdown");
        // A dataset is read-only because somebody wants it to be.
        let is_read_only = mount.has_option("ro") && mount.kind != "zfs";
        let reason = match errors.zip(past.errors) {
            _ if is_shut || (is_read_only && past.was_writable) => {
                Some("it can no longer be written to".to_owned())
            }
            Some((errors, before)) if errors > before => {
                Some(format!("it has counted {} errors", errors - before))
            }
            _ => None,
        };
        if let Some(reason) = reason {
            failures.insert(&*mount.point, reason);
        }
        let (device, mount_point) = place;
        history.push(Past {
            device,
            mount_point,
            was_writable: past.was_writable || !(is_shut || mount.has_option("ro")),
            errors: past.errors.map_or(errors, |before| errors.map(|errors| errors.min(before))),
        });
    }
    failures
}

/// How many errors a file system of the kind ext4 has counted since it was last repaired.
fn errors(mount: &Mount) -> Option<u64> {
    if !is_ext(mount) {
        return None;
    }
    let device = fs::read_link(Path::new("/sys/dev/block").join(&mount.device)).ok()?;
    let file = Path::new("/sys/fs/ext4").join(device.file_name()?);
    let count = fs::read(file.join("errors_count")).ok()?;
    std::str::from_utf8(&count).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::mount::parse;

    const MOUNTS: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /proc rw - proc proc rw
24 22 8:1 / /data ro,relatime shared:2 - xfs /dev/sda1 rw,attr2
25 22 8:1 /bind /srv/bind rw - xfs /dev/sda1 rw
26 22 8:2 / /mnt/read\\040only rw - ext4 /dev/sda2 ro
27 22 0:50 / /mnt/nas rw - nfs4 nas:/ rw
28 22 0:51 / /mnt/cloud rw - fuse.rclone cloud: rw
29 22 8:3 / /mnt/ntfs\\134disk rw - fuseblk /dev/sda3 rw
30 22 0:52 / /tmp rw - tmpfs tmpfs rw
31 22 7:1 / /snap/core ro - squashfs /dev/loop1 ro
32 24 8:4 / /data rw - btrfs /dev/sdb rw
";

    /// The mount points of each group.
    fn reported(mounts: &[u8], chosen: &[&str]) -> Vec<Vec<String>> {
        let mounts = parse(mounts);
        let chosen: Vec<_> = chosen.iter().map(OsString::from).collect();
        let groups = groups(&visible(&mounts), &HashMap::new(), &chosen);
        let names = |group: Group| group.mounts.iter().map(|mount| mount.name()).collect();
        groups.into_iter().map(names).collect()
    }

    #[test]
    fn local_file_systems_are_counted_once_and_no_others() {
        // /data is hidden by a later mount, so the device behind it is counted at its bind mount.
        let local = [["/"], ["/data"], ["/srv/bind"], ["/mnt/ntfs\\disk"]];
        assert_eq!(reported(MOUNTS, &[]), local);
    }

    #[test]
    fn a_chosen_disk_is_compared_as_text() {
        let chosen = ["/mnt/cloud", "/mnt/read only", "/data/", "/nowhere"];
        let known = [["/mnt/cloud"], ["/mnt/read only"]];
        assert_eq!(reported(MOUNTS, &chosen), known);
    }

    // In the format of the kernel, for a pool on which Proxmox lives.
    const POOL: &[u8] =
        b"30 1 0:27 / / rw,relatime shared:1 - zfs rpool/ROOT/pve-1 rw,xattr,posixacl,casesensitive
41 30 0:40 / /rpool rw,relatime shared:20 - zfs rpool rw,xattr,noacl,casesensitive
42 41 0:41 / /rpool/ROOT rw,relatime shared:21 - zfs rpool/ROOT rw,xattr,noacl,casesensitive
43 41 0:42 / /rpool/data rw,relatime shared:22 - zfs rpool/data ro,xattr,noacl,casesensitive
44 30 0:43 / /tank rw,relatime shared:23 - zfs tank rw,xattr,noacl,casesensitive
45 30 0:44 / /tank/.zfs/snapshot/daily ro,relatime - zfs tank@daily ro,xattr,noacl,casesensitive
46 30 0:42 / /srv/data rw,relatime shared:22 - zfs rpool/data ro,xattr,noacl,casesensitive
";

    #[test]
    fn the_datasets_of_a_pool_count_together() {
        let rpool = ["/", "/rpool", "/srv/data", "/rpool/ROOT"].map(str::to_owned).to_vec();
        let tank = vec!["/tank".to_owned()];
        assert_eq!(reported(POOL, &[]), [rpool.clone(), tank]);
        assert_eq!(reported(POOL, &["/rpool/ROOT"]), [rpool]);
        let usage = |used, available| Usage { total: used + available, used, available };
        let datasets: Vec<_> = (0..20).map(|_| usage(45, 100)).collect();
        let pool = together(datasets);
        assert_eq!(pool, usage(900, 100));
    }

    /// What is reported as failed after each of these states of a file system, with the number of its errors.
    fn failed(states: &[(&str, u64)]) -> Vec<Option<String>> {
        let mut history = History::default();
        let states = states.iter().map(|(options, count)| {
            let line = format!("25 22 8:1 / /data rw - ext4 /dev/sda1 {options}\n");
            let mounts = parse(line.as_bytes());
            let visible = visible(&mounts);
            let failures = failures(&visible, &mut history, |_| Some(*count));
            let groups = groups(&visible, &failures, &[]);
            groups.into_iter().next().and_then(|group| group.failure)
        });
        states.collect()
    }

    #[test]
    fn a_file_system_has_failed_if_it_can_no_longer_be_written_to() {
        let shut = Some("it can no longer be written to".to_owned());
        assert_eq!(failed(&[("ro", 0), ("ro", 0)]), [None, None]);
        assert_eq!(failed(&[("rw", 0), ("ro", 0)]), [None, shut.clone()]);
        for options in ["rw,emergency_ro", "rw,shutdown"] {
            assert_eq!(failed(&[(options, 0)])[0], shut, "{options}");
        }
    }

    #[test]
    fn a_file_system_has_failed_if_it_counts_more_errors_until_it_is_repaired() {
        let errors = |count| Some(format!("it has counted {count} errors"));
        let states = [("rw", 3), ("rw", 5), ("rw", 5), ("rw", 0), ("rw", 1)];
        let expected = [None, errors(2), errors(2), None, errors(1)];
        assert_eq!(failed(&states), expected);
    }

    #[test]
    fn what_only_the_superuser_may_use_is_not_used() {
        let usage = Usage { total: 100, used: 13, available: 82 };
        assert_eq!(usage.percent().map(f64::round), Some(14.0));
        let empty = Usage { total: 0, used: 0, available: 0 };
        assert_eq!(empty.percent(), None);
    }
}
