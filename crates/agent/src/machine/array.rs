//! Arrays and pools of disks that lack one. Anybody may ask the kernel for them. A container sees those of its host, and has none.

use super::lines;
use super::mount::{self, Mount};
use super::service::{Service, Status};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Those that have failed.
pub fn read() -> anyhow::Result<Vec<Service>> {
    if is_container() {
        return Ok(Vec::new());
    }
    let mut failed = arrays(&fs::read("/proc/mdstat").unwrap_or_default());
    failed.extend(pools());
    failed.extend(btrfs()?);
    Ok(failed)
}

/// The kernel gives the first namespace of processes this number. systemd tells of a container that shares it.
fn is_container() -> bool {
    const FIRST: &str = "pid:[4026531836]";
    let own = fs::read_link("/proc/self/ns/pid");
    own.is_ok_and(|own| own != Path::new(FIRST)) || Path::new("/run/systemd/container").exists()
}

fn failed(name: String, reason: String) -> Service {
    Service { name, status: Status::Failed, reason: Some(reason) }
}

/// The arrays of `/proc/mdstat` that lack a device, or have one that failed. For each array there is a line with its name, state,
/// level and devices, and one with the numbers of its devices: `[2/1]`, unless its level has no redundancy.
fn arrays(mdstat: &[u8]) -> Vec<Service> {
    let mut arrays: Vec<Service> = Vec::new();
    let lines: Vec<&str> = lines(mdstat).collect();
    for (number, line) in lines.iter().enumerate() {
        let Some((name, array)) = line.split_once(" : ").filter(|(name, _)| name.starts_with("md"))
        else {
            continue;
        };
        let details = lines.get(number + 1).copied().unwrap_or_default();
        let reason = match array.split(' ').next() {
            // A container of external metadata, whose arrays have lines of their own.
            Some("inactive") if details.contains("super external") => continue,
            Some(state @ ("inactive" | "broken")) => Some(state.to_owned()),
            _ => missing(details).or_else(|| failed_device(array)),
        };
        arrays.extend(reason.map(|reason| failed(format!("array {name}"), reason)));
    }
    arrays
}

/// `1 of 2 devices`, if some are missing.
fn missing(details: &str) -> Option<String> {
    let mut counts = details.split_whitespace().filter_map(|word| {
        let (all, there) = word.strip_prefix('[')?.strip_suffix(']')?.split_once('/')?;
        Some((all.parse::<u32>().ok()?, there.parse::<u32>().ok()?))
    });
    let (all, there) = counts.next().filter(|(all, there)| there < all)?;
    Some(format!("{there} of {all} devices"))
}

fn failed_device(array: &str) -> Option<String> {
    let mut devices = array.split(' ').filter(|device| device.contains("(F)"));
    let name = devices.next()?.split('[').next()?;
    Some(format!("{name} has failed"))
}

/// The pools of ZFS in any state but ONLINE.
fn pools() -> Vec<Service> {
    let pool = |folder: PathBuf| {
        let state = fs::read_to_string(folder.join("state")).ok()?;
        let state = state.trim();
        let name = folder.file_name()?.to_string_lossy().into_owned();
        (state != "ONLINE").then(|| failed(format!("pool {name}"), state.to_owned()))
    };
    entries(Path::new("/proc/spl/kstat/zfs")).into_iter().filter_map(pool).collect()
}

/// The file systems of btrfs that lack a device.
fn btrfs() -> anyhow::Result<Vec<Service>> {
    let mut pools = Vec::new();
    for folder in entries(Path::new("/sys/fs/btrfs")) {
        let is_missing = |device: &PathBuf| {
            fs::read(device.join("missing")).is_ok_and(|is| is.trim_ascii() == b"1")
        };
        let devices = entries(&folder.join("devinfo"));
        let missing = devices.iter().filter(|device| is_missing(device)).count();
        if missing > 0 {
            let label = fs::read_to_string(folder.join("label")).unwrap_or_default();
            let name = match label.trim() {
                "" => mount_point(&folder, &mount::read()?),
                label => label.to_owned(),
            };
            let reason = format!("{} of {} devices", devices.len() - missing, devices.len());
            pools.push(failed(format!("pool {name}"), reason));
        }
    }
    Ok(pools)
}

/// Its shortest mount point; without one, its id.
fn mount_point(folder: &Path, mounts: &[Mount]) -> String {
    let devices: Vec<_> = entries(&folder.join("devices"))
        .iter()
        .filter_map(|device| {
            let name = device.file_name()?.to_owned();
            // What a mount calls `/dev/mapper/NAME` is `dm-0` here.
            let mapped = fs::read(Path::new("/sys/block").join(&name).join("dm/name"));
            Some((name, mapped.unwrap_or_default().trim_ascii_end().to_owned()))
        })
        .collect();
    let is_own = |mount: &&Mount| {
        let source = Path::new(OsStr::from_bytes(&mount.source)).file_name().unwrap_or_default();
        mount.kind == "btrfs"
            && devices.iter().any(|(name, mapped)| source == name || source.as_bytes() == &**mapped)
    };
    let shortest = mounts.iter().filter(is_own).min_by_key(|mount| mount.point.len());
    let id = || folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    shortest.map_or_else(id, Mount::name)
}

/// The paths in a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mdstat: &str) -> Vec<String> {
        let text = |array: Service| format!("{}: {}", array.name, array.reason.unwrap_or_default());
        arrays(mdstat.as_bytes()).into_iter().map(text).collect()
    }

    // In the format of the kernel.
    #[test]
    fn arrays_that_are_whole_are_well_whatever_they_do() {
        let well = "Personalities : [raid1] [raid6] [raid5] [raid4] [raid0]
md0 : active raid1 sdb1[1] sda1[0]
      1046528 blocks super 1.2 [2/2] [UU]
      [==>..................]  check = 12.6% (132096/1046528) finish=0.9min speed=16512K/sec
      bitmap: 0/1 pages [0KB], 65536KB chunk

md1 : active (auto-read-only) raid5 sdd1[3](S) sdc1[2] sdb2[1] sda2[0]
      2093056 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/3] [UUU]
      \tresync=PENDING

md2 : active raid0 sdb3[1] sda3[0]
      2093056 blocks super 1.2 512k chunks

md127 : inactive sdb[1](S) sda[0](S)
      5288 blocks super external:imsm

unused devices: <none>
";
        assert_eq!(found(well), [""; 0]);
        assert_eq!(found(""), [""; 0]);
    }

    #[test]
    fn an_array_that_lacks_a_device_has_failed_until_it_is_rebuilt() {
        let degraded = "Personalities : [raid1]
md0 : active raid1 sdb1[1] sda1[0](F)
      1046528 blocks super 1.2 [2/1] [_U]

md1 : active raid1 sdc2[2] sdb2[1]
      1046528 blocks super 1.2 [2/1] [_U]
      [==>..................]  recovery = 12.6% (132096/1046528) finish=0.9min speed=16512K/sec

md2 : active raid1 sdc3[2] sdb3[1] sda3[0](F)
      1046528 blocks super 1.2 [2/2] [UU]

md3 : broken raid0 sdb4[1] sda4[0]
      2093056 blocks super 1.2 512k chunks

md4 : inactive sdb5[1](S)
      1046528 blocks super 1.2

unused devices: <none>
";
        let expected = [
            "array md0: 1 of 2 devices",
            "array md1: 1 of 2 devices",
            "array md2: sda3 has failed",
            "array md3: broken",
            "array md4: inactive",
        ];
        assert_eq!(found(degraded), expected);
    }
}
