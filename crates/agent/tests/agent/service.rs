//! The unit file of the agent.

use std::process::{Command, Output};

const UNIT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/debian/heartbeat-agent.service"
);

/// What systemd says about a unit file, if it is installed.
fn verify(name: &str, unit: &str) -> Option<Output> {
    let copy = format!("{}/{name}.service", env!("CARGO_TARGET_TMPDIR"));
    // systemd-analyze requires the program to exist.
    let program = env!("CARGO_BIN_EXE_heartbeat-agent");
    std::fs::write(&copy, unit.replace("/usr/bin/heartbeat-agent", program)).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", &copy])
        .output();
    if verified.is_err() {
        eprintln!("skipped: systemd-analyze is not installed");
    }
    verified.ok()
}

#[test]
fn the_unit_file_is_valid() {
    let unit = std::fs::read_to_string(UNIT).unwrap();
    assert!(unit.contains("LoadCredential=api-key:") && !unit.contains("HEARTBEAT_API_KEY="));
    assert!(unit.contains("SystemCallErrorNumber=EPERM"));
    if let Some(Output { status, stderr, .. }) = verify("heartbeat-agent", &unit) {
        let warnings = String::from_utf8_lossy(&stderr);
        assert!(status.success() && warnings.is_empty(), "{warnings}");
    }
}

#[test]
fn a_typo_in_the_unit_file_is_noticed() {
    let unit = std::fs::read_to_string(UNIT).unwrap();
    let mutated = unit.replace("ProtectClock=", "ProtectClok=");
    assert_ne!(unit, mutated);
    if let Some(verified) = verify("heartbeat-agent-with-a-typo", &mutated) {
        let warnings = String::from_utf8_lossy(&verified.stderr);
        assert!(warnings.contains("ProtectClok"), "{warnings}");
    }
}
