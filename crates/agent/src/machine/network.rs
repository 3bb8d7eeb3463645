//! Bytes that the interfaces have received and sent.

use anyhow::Context;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Received and sent bytes of the physical interfaces; of all but `lo` where none is, as in a container.
pub fn read() -> anyhow::Result<(u64, u64)> {
    let content = super::read("/proc/net/dev")?;
    let lines = content.split(|byte| *byte == b'\n');
    let interfaces: Vec<_> = lines.filter_map(interface).collect();
    let has_physical = interfaces.iter().any(|(name, ..)| is_physical(name));
    let counted = interfaces.iter().filter(|(name, ..)| {
        if has_physical { is_physical(name) && !is_part_of_another(name) } else { *name != "lo" }
    });
    let sums = counted.fold(None, |sums, (_, received, sent)| {
        let (all_received, all_sent): (u64, u64) = sums.unwrap_or_default();
        Some((all_received.wrapping_add(*received), all_sent.wrapping_add(*sent)))
    });
    sums.context("there is no interface besides lo")
}

/// Name, received and sent bytes of a line of `/proc/net/dev`.
fn interface(line: &[u8]) -> Option<(&OsStr, u64, u64)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, counters) = line.split_at(colon);
    let mut counters = std::str::from_utf8(&counters[1..]).ok()?.split_whitespace();
    let received = counters.next()?.parse().ok()?;
    let sent = counters.nth(7)?.parse().ok()?;
    Some((OsStr::from_bytes(name.trim_ascii()), received, sent))
}

fn is_physical(name: &OsStr) -> bool {
    folder(name).join("device").exists()
}

/// Whether its bytes are counted by another physical interface: in some clouds, a virtual function of the network card
/// carries what the interface above it counts.
fn is_part_of_another(name: &OsStr) -> bool {
    let master = fs::read_link(folder(name).join("master")).ok();
    let master = master.as_deref().and_then(Path::file_name);
    master.is_some_and(is_physical)
}

fn folder(name: &OsStr) -> std::path::PathBuf {
    Path::new("/sys/class/net").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_interfaces_are_read_whatever_their_name_is() {
        let line = b"  eth0: 1234567 100 0 0 0 0 0 0 7654321 90 0 0 0 0 0 0";
        let name = OsStr::new("eth0");
        assert_eq!(interface(line), Some((name, 1_234_567, 7_654_321)));
        let line = b"\xff\xfe: 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0";
        let name = OsStr::from_bytes(b"\xff\xfe");
        assert_eq!(interface(line), Some((name, 1, 2)));
        assert_eq!(interface(b"Inter-|   Receive"), None);
    }
}
