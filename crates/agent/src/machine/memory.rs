//! Memory: as for `free`, what the kernel would give back at once is not used.

use super::{lines, mount};
use anyhow::Context;
use std::fs;

/// Total and used memory, bytes.
pub fn read() -> anyhow::Result<(u64, u64)> {
    let content = super::read("/proc/meminfo")?;
    let arc = fs::read("/proc/spl/kstat/zfs/arcstats").map_or(0, |stats| shrinkable(&stats));
    // A container's own /proc/meminfo counts the container, and the cache of ZFS is that of its host.
    let is_container =
        arc > 0 && mount::read()?.iter().any(|mount| mount.point == b"/proc/meminfo");
    let arc = if is_container { 0 } else { arc };
    usage(&content, arc).context("/proc/meminfo lacks MemTotal or MemAvailable")
}

/// Total and used memory. The cache of ZFS is not part of what the kernel calls available.
fn usage(meminfo: &[u8], shrinkable_cache: u64) -> Option<(u64, u64)> {
    let bytes = |name: &str| {
        let mut lines = lines(meminfo);
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib: u64 = line?.trim().strip_suffix(" kB")?.parse().ok()?;
        kib.checked_mul(1024)
    };
    let total = bytes("MemTotal").filter(|total| *total > 0)?;
    let available = bytes("MemAvailable")?.saturating_add(shrinkable_cache);
    Some((total, total.saturating_sub(available)))
}

/// By how much ZFS's cache can shrink: to `c_min`, bytes.
fn shrinkable(arcstats: &[u8]) -> u64 {
    let value = |name: &str| {
        let mut lines = lines(arcstats).map(str::split_whitespace);
        let mut columns = lines.find(|columns| columns.clone().next() == Some(name))?;
        columns.nth(2)?.parse::<u64>().ok()
    };
    let size_and_minimum = value("size").zip(value("c_min"));
    size_and_minimum.map_or(0, |(size, minimum)| size.saturating_sub(minimum))
}

#[cfg(test)]
mod tests {
    use super::*;

    // In the format of the kernel, as a server with 32 GB has it, of which ZFS's cache has 21 GiB.
    const MEMINFO: &[u8] =
        b"MemTotal:       32768000 kB\nMemFree:          612344 kB\nMemAvailable:    2621440 kB\n";
    const ARCSTATS: &[u8] = b"9 1 0x01 147 39984 8351823245 1912034561423\nname                            type data\n\
        hits                            4    93712345\nc                               4    22548578304\n\
        c_min                           4    1048576000\nc_max                           4    25165824000\n\
        size                            4    22548578304\ncompressed_size                 4    18548578304\n";

    #[test]
    fn the_cache_of_zfs_is_available_down_to_its_minimum() {
        assert_eq!(shrinkable(ARCSTATS), 21_500_002_304);
        let (total, used) = usage(MEMINFO, shrinkable(ARCSTATS)).expect("a reading");
        assert_eq!(used * 100 / total, 27);
        let (_, used) = usage(MEMINFO, 0).expect("a reading");
        assert_eq!(used * 100 / total, 92, "without it");
        assert_eq!(shrinkable(b"size 4"), 0);
        assert_eq!(usage(MEMINFO, u64::MAX), Some((total, 0)));
    }
}
