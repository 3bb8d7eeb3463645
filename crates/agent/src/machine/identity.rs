//! Which machine this is, and what runs it.

use super::lines;
use ring::hmac;
use serde_json::{Value, json};
use std::fs;

/// This application, for systemd's way of hashing the id of a machine.
const APPLICATION: [u8; 16] = [
    0x35, 0xb5, 0x94, 0x9d, 0xd2, 0x13, 0x42, 0xd5, 0x8c, 0xd8, 0xf3, 0xab, 0x1c, 0xe2, 0x23, 0x7a,
];

/// The host name.
pub fn hostname() -> String {
    let kernel = rustix::system::uname();
    let name = kernel.nodename().to_str().ok().filter(|name| !name.is_empty());
    name.unwrap_or("unnamed").to_owned()
}

/// What the endpoint calls `os_info`.
pub fn os_info() -> Value {
    let kernel = rustix::system::uname();
    let release = fs::read("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        let mut lines = lines(&release);
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = line?.trim().trim_matches(['"', '\'']);
        Some(value.chars().take(100).collect::<String>())
    };
    json!({
        "distribution": value("NAME"),
        "version": value("VERSION_ID"),
        "kernel": kernel.release().to_str().ok(),
        "architecture": kernel.machine().to_str().ok(),
    })
}

/// The machine's id, which is confidential, hashed for this application: as `systemd-id128 machine-id --app-specific` does.
pub fn guid() -> Option<String> {
    let id = fs::read_to_string("/etc/machine-id").ok()?;
    let id = u128::from_str_radix(id.trim(), 16).ok().filter(|_| id.trim().len() == 32)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &id.to_be_bytes());
    let hash = hmac::sign(&key, &APPLICATION);
    let first: [u8; 16] = hash.as_ref().first_chunk().copied()?;
    // The version and the variant of a random UUID.
    let random = u128::from_be_bytes(first) & !(0xf << 76) & !(0b11 << 62);
    Some(format!("{:032x}", random | 4 << 76 | 0b10 << 62))
}

/// What writes `/run/reboot-required`: the hook of unattended-upgrades, and what update-notifier and reboot-notifier bring.
const WRITERS: [&str; 2] = [
    "/etc/kernel/postinst.d/unattended-upgrades",
    "/usr/share/update-notifier/notify-reboot-required",
];

/// Whether a package asks for a restart of the machine: Debian's way to say so, and that of its descendants. Where nothing
/// would ask for one, that is not known.
pub fn reboot_required() -> Option<bool> {
    let exists = |file: &str| fs::exists(file).unwrap_or(false);
    let is_required = exists("/run/reboot-required");
    (is_required || WRITERS.into_iter().any(exists)).then_some(is_required)
}
