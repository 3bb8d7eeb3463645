//! Bytes that the interfaces have received and sent.

use anyhow::Context;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Received and sent bytes of the physical interfaces; of all that carry what no other one does where none is physical, as in
/// a container.
pub fn read() -> anyhow::Result<(u64, u64)> {
    let content = super::read("/proc/net/dev")?;
    let lines = content.split(|byte| *byte == b'\n');
    let interfaces: Vec<_> =
        lines.filter_map(interface).filter(|(name, ..)| *name != "lo").collect();
    let has_physical = interfaces.iter().any(|(name, ..)| is_physical(name));
    let is_end = |name: &OsStr| !is_above_another(name);
    let has_end =
        !has_physical && interfaces.iter().any(|(name, ..)| is_end(name) && master(name).is_none());
    let counted = interfaces.iter().filter(|(name, ..)| match has_physical {
        true => is_physical(name) && !is_part_of_another(name),
        // The ports of a bridge lead to containers in this one, unless there is nothing else.
        false => is_end(name) && (master(name).is_none() || !has_end),
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

/// Whether its bytes are counted by another physical interface. In some clouds, a virtual function of the network card
/// carries what the interface above it counts. A port of a switch on the board is above the interface that carries all of its
/// ports, and a representor stands for what a virtual machine sends through the port of the card.
fn is_part_of_another(name: &OsStr) -> bool {
    let is_representor = || {
        let port = fs::read(folder(name).join("phys_port_name")).unwrap_or_default();
        let is_function = |kind: &[u8]| port.windows(2).any(|part| part == kind);
        port.starts_with(b"pf") && (is_function(b"vf") || is_function(b"sf"))
    };
    let is_on_another =
        || lower(name).any(|below| is_physical(&below) && !has_physical_master(&below));
    has_physical_master(name) || is_on_another() || is_representor()
}

fn has_physical_master(name: &OsStr) -> bool {
    master(name).is_some_and(|master| is_physical(&master))
}

/// Whether it passes on what another one carries: a bridge, a VLAN, a bond, a tunnel.
fn is_above_another(name: &OsStr) -> bool {
    let uevent = fs::read_to_string(folder(name).join("uevent")).unwrap_or_default();
    let kind = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    kind.is_some_and(|kind| kind != "wlan")
        || folder(name).join("tun_flags").exists()
        || lower(name).next().is_some()
}

/// The bridge, bond or virtual interface that it is a port of.
fn master(name: &OsStr) -> Option<OsString> {
    let master = fs::read_link(folder(name).join("master")).ok()?;
    master.file_name().map(OsStr::to_owned)
}

/// The interfaces that it is above.
fn lower(name: &OsStr) -> impl Iterator<Item = OsString> + use<> {
    let entries = fs::read_dir(folder(name)).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name();
        name.as_bytes().strip_prefix(b"lower_").map(|name| OsStr::from_bytes(name).to_owned())
    })
}

fn folder(name: &OsStr) -> PathBuf {
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
