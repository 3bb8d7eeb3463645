//! The file systems: how full they are, and whether they work.

use super::history::{History, Past};
use super::mount::Mount;
use super::statvfs::{self, Usage, Used};
use super::worker::Worker;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;

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

/// File systems on a disk of this machine. `fuseblk` is a disk behind FUSE, such as NTFS.
const LOCAL: [&str; 21] = [
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfs", "hfsplus",
    "jfs", "msdos", "nilfs2", "ntfs", "ntfs3", "reiserfs", "ubifs", "ufs", "vfat", "xfs", "zfs",
];

pub struct FileSystems {
    /// The mount points to choose from; none means every local one.
    chosen: Vec<OsString>,
    worker: Worker<Mount, io::Result<Used>>,
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
        let asked = candidates(&visible, &self.chosen);
        let answers = self.worker.ask(asked.iter().map(|mount| (*mount).clone()));
        let used = |mount: &Mount| answers.get(mount)?.as_ref().ok()?.as_ref().ok();
        let errors = asked.iter().filter_map(|mount| Some((&*mount.device, used(mount)?.errors?)));
        let failures = failures(&visible, history, &errors.collect());
        let is_file = |mount: &Mount| used(mount).is_some_and(|used| !used.is_folder);
        let groups = groups(&visible, &failures, &self.chosen, is_file);
        let mut file_systems: Vec<_> =
            groups.into_iter().map(|group| file_system(group, &answers)).collect();
        let is_missing =
            |point: &&OsString| !visible.iter().any(|mount| mount.point == point.as_bytes());
        file_systems.extend(self.chosen.iter().filter(is_missing).map(|point| FileSystem {
            mount_point: point.to_string_lossy().into_owned(),
            device: String::new(),
            kind: String::new(),
            inodes: None,
            condition: Condition::Failed(None, "not mounted".to_owned()),
        }));
        file_systems
    }
}

type Answers = HashMap<Mount, Result<io::Result<Used>, String>>;

fn file_system(group: Group, answers: &Answers) -> FileSystem {
    let answer = |mount: &&Mount| match answers.get(mount) {
        Some(Ok(Ok(used))) => Ok(*used),
        Some(Ok(Err(reason))) => Err(reason.to_string()),
        Some(Err(reason)) => Err(reason.clone()),
        None => Err("it was not asked".to_owned()),
    };
    let used: Result<Vec<Used>, String> = group.mounts.iter().map(answer).collect();
    let first = group.mounts[0];
    let inodes = used.as_ref().ok().and_then(|used| used.first()?.inodes.percent());
    let usage = used.map(|used| together(used.into_iter().map(|used| used.space).collect()));
    FileSystem {
        mount_point: first.name(),
        device: String::from_utf8_lossy(pool(first).unwrap_or(&first.source)).into_owned(),
        kind: first.kind.clone(),
        inodes: inodes.filter(|_| first.is_ext()),
        condition: match (group.failure, usage) {
            (Some(reason), usage) => Condition::Failed(usage.ok(), reason),
            (None, Ok(usage)) => Condition::Ok(usage),
            (None, Err(reason)) => Condition::Unknown(reason),
        },
    }
}

/// The mounts that can be reached: a later mount hides an earlier one at the same point. A file system is best shown at the
/// root, else where all of it is mounted, else at its shortest point.
fn visible(mounts: &[Mount]) -> Vec<&Mount> {
    let by_point: HashMap<_, _> = mounts.iter().map(|mount| (&mount.point, mount)).collect();
    let mut visible: Vec<_> = by_point.into_values().collect();
    visible.sort_by_key(|mount| {
        (mount.point != b"/", !mount.is_whole, mount.point.len(), &mount.point)
    });
    visible
}

/// What may be reported, and is asked for that: of a local file system one mount, or all of them if they may be files; the
/// chosen ones, and the datasets of their pools.
fn candidates<'a>(visible: &[&'a Mount], chosen: &[OsString]) -> Vec<&'a Mount> {
    let is_chosen = |mount: &Mount| chosen.iter().any(|point| point.as_bytes() == mount.point);
    let chosen_pools: HashSet<_> =
        visible.iter().filter(|mount| is_chosen(mount)).filter_map(|mount| pool(mount)).collect();
    let mut surely_folders = HashSet::new();
    let mut is_candidate = |mount: &Mount| match chosen {
        [] if !is_local(mount) || surely_folders.contains(&mount.device) => false,
        [] => {
            if mount.is_whole || mount.point == b"/" {
                surely_folders.insert(mount.device.clone());
            }
            true
        }
        _ => is_chosen(mount) || pool(mount).is_some_and(|pool| chosen_pools.contains(pool)),
    };
    visible.iter().copied().filter(|mount| is_candidate(mount)).collect()
}

/// Whether a mount is on a disk of this machine. A container's root is an overlay on a disk of its host.
fn is_local(mount: &Mount) -> bool {
    LOCAL.contains(&&*mount.kind) || (mount.kind == "overlay" && mount.point == b"/")
}

/// The pool that a mount of ZFS belongs to; a snapshot counts what its dataset counts.
fn pool(mount: &Mount) -> Option<&[u8]> {
    let is_dataset = mount.kind == "zfs" && !mount.source.contains(&b'@');
    let mut names = mount.source.split(|byte| *byte == b'/');
    names.next().filter(|_| is_dataset)
}

/// What to report: every local file system once, at the first of its mounts that is no file, and every pool once. Of chosen
/// mount points, exactly these; for a dataset, its pool.
fn groups<'a>(
    visible: &[&'a Mount],
    failures: &HashMap<&'a [u8], String>,
    chosen: &[OsString],
    is_file: impl Fn(&Mount) -> bool,
) -> Vec<Group<'a>> {
    let is_chosen = |mount: &Mount| match chosen {
        [] => {
            is_local(mount)
                && (!mount.has_option("ro") || failures.contains_key(&*mount.point))
                && !is_file(mount)
        }
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
    errors: &HashMap<&str, u64>,
) -> HashMap<&'a [u8], String> {
    let mut failures = HashMap::new();
    let before = std::mem::take(history).into_iter();
    let mut before: HashMap<_, _> =
        before.map(|past| ((past.device.clone(), past.mount_point.clone()), past)).collect();
    for mount in visible.iter().copied().filter(|mount| is_local(mount)) {
        let place = (mount.device.clone(), mount.name());
        let past = before.remove(&place);
        let before = past.as_ref().and_then(|past| past.errors);
        let errors = errors.get(&*mount.device).copied();
        let is_shut = mount.has_option("emergency_ro") || mount.has_option("shutdown");
        let is_read_only = is_shut || mount.has_option("ro");
        // What was read-only at the first look may be writable for a while: some remount their root for an update.
        let was_writable = past.map_or(!is_read_only, |past| past.was_writable);
        let reason = match errors.zip(before) {
            // A dataset is read-only because somebody wants it to be.
            _ if is_shut || (is_read_only && was_writable && mount.kind != "zfs") => {
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
            was_writable,
            errors: [errors, before].into_iter().flatten().min(),
        });
    }
    failures
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
        let groups = groups(&visible(&mounts), &HashMap::new(), &chosen, |mount| {
            mount.point.starts_with(b"/etc/host")
        });
        let names = |group: Group| group.mounts.iter().map(|mount| mount.name()).collect();
        groups.into_iter().map(names).collect()
    }

    #[test]
    fn local_file_systems_are_counted_once_and_no_others() {
        // /data is hidden by a later mount, so the device behind it is counted at its bind mount.
        let local = [["/"], ["/data"], ["/mnt/ntfs\\disk"], ["/srv/bind"]];
        assert_eq!(reported(MOUNTS, &[]), local);
    }

    // As podman and Docker do it.
    const CONTAINER: &[u8] =
        b"700 600 0:99 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
701 700 8:1 /var/lib/containers/hosts /etc/hosts rw - ext4 /dev/sda1 rw
702 700 8:1 /var/lib/containers/hostname /etc/hostname rw - ext4 /dev/sda1 rw
703 700 8:1 /var/lib/volumes/data /srv/app/data rw - ext4 /dev/sda1 rw
704 700 8:2 /resolv.conf /etc/hostconf rw - ext4 /dev/sda2 rw
";

    #[test]
    fn a_file_is_no_disk() {
        assert_eq!(reported(CONTAINER, &[]), [["/"], ["/srv/app/data"]]);
        let mounts = parse(CONTAINER);
        let asked = candidates(&visible(&mounts), &[]);
        assert_eq!(asked.len(), 5, "any of them may be a file");
        assert_eq!(reported(CONTAINER, &["/etc/hosts"]), [["/etc/hosts"]]);
    }

    // As an image-based system mounts it: the root is a view of objects on the disk, and never fuller.
    const COMPOSEFS: &[u8] = b"60 1 0:30 / / ro,relatime - overlay composefs ro,lowerdir+=/l,datadir+=/d,redirect_dir=on,metacopy=on
61 60 8:3 /ostree/deploy/os/deploy/a.0/etc /etc rw,relatime - ext4 /dev/sda3 rw
62 60 8:3 / /sysroot ro,relatime - ext4 /dev/sda3 rw
63 60 8:3 /ostree/deploy/os/var /var rw,relatime - ext4 /dev/sda3 rw
64 62 8:2 / /boot rw,relatime - ext4 /dev/sda2 rw
";

    #[test]
    fn a_file_system_is_shown_where_all_of_it_is_mounted() {
        assert_eq!(reported(COMPOSEFS, &[]), [["/boot"], ["/sysroot"]]);
        let mounts = parse(COMPOSEFS);
        let asked = candidates(&visible(&mounts), &[]);
        let points: Vec<_> = asked.iter().map(|mount| mount.name()).collect();
        assert_eq!(points, ["/", "/boot", "/sysroot"]);
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
            let failures = failures(&visible, &mut history, &HashMap::from([("8:1", *count)]));
            let groups = groups(&visible, &failures, &[], |_| false);
            groups.into_iter().next().and_then(|group| group.failure)
        });
        states.collect()
    }

    #[test]
    fn a_file_system_has_failed_if_it_can_no_longer_be_written_to() {
        let shut = Some("it can no longer be written to".to_owned());
        assert_eq!(failed(&[("ro", 0), ("ro", 0)]), [None, None]);
        assert_eq!(failed(&[("rw", 0), ("ro", 0)]), [None, shut.clone()]);
        let updated = [("ro", 0), ("rw", 0), ("ro", 0)];
        assert_eq!(failed(&updated), [None, None, None], "it was written to for an update");
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
