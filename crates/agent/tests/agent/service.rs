//! The unit files: of the agent, and of the operator's checks.

use dev::command::has;
use std::process::{Command, Output};

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/debian/heartbeat-agent.service");

/// What systemd says about a unit file with a drop-in, if it is installed.
fn verify(name: &str, unit: &str, drop_in: &str) -> Option<Output> {
    let folder = format!("{}/units", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&folder).unwrap();
    let copy = format!("{folder}/{name}");
    // systemd-analyze requires the program to exist.
    let program = env!("CARGO_BIN_EXE_heartbeat-agent");
    std::fs::write(&copy, unit.replace("/usr/bin/heartbeat-agent", program)).unwrap();
    std::fs::create_dir_all(format!("{copy}.d")).unwrap();
    std::fs::write(format!("{copy}.d/override.conf"), drop_in).unwrap();
    let mut command = Command::new("systemd-analyze");
    has("systemd-analyze").then(|| command.args(["verify", "--man=no", &copy]).output().unwrap())
}

#[test]
fn the_unit_file_is_valid() {
    let unit = std::fs::read_to_string(UNIT).unwrap();
    assert!(unit.contains("SystemCallErrorNumber=EPERM") && !unit.contains("HEARTBEAT_API_KEY="));
    if let Some(Output { status, stderr, .. }) = verify("heartbeat-agent.service", &unit, "") {
        let warnings = String::from_utf8_lossy(&stderr);
        assert!(status.success() && warnings.is_empty(), "{warnings}");
    }
}

/// The drop-in of docs/agent.md.
fn drop_in() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/agent.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("```ini\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_drop_in_of_the_documentation_is_valid() {
    let unit = std::fs::read_to_string(UNIT).unwrap();
    let drop_in = drop_in();
    assert!(drop_in.contains("AmbientCapabilities=CAP_DAC_READ_SEARCH"));
    if let Some(Output { status, stderr, .. }) = verify("with-drop-in.service", &unit, &drop_in) {
        let warnings = String::from_utf8_lossy(&stderr);
        assert!(status.success() && warnings.is_empty(), "{warnings}");
    }
}

// What systemd thinks of it, from 0 (nothing is exposed) to 100.
#[test]
fn the_agent_is_hardly_exposed() {
    let exposure = |threshold: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=yes", "--no-pager", "--threshold", threshold]);
        command.arg(UNIT).output().unwrap().status.success()
    };
    if has("systemd-analyze") {
        assert_eq!((exposure("20"), exposure("10")), (true, false));
    }
}

fn check_unit(kind: &str) -> String {
    let file = format!("{}/debian/heartbeat-check@.{kind}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(file).unwrap()
}

// A check may run as root; the agent does not run it, and does not run as root.
#[test]
fn the_units_of_a_check_are_valid() {
    let service = check_unit("service");
    assert!(service.contains("\nTimeoutStartSec=30\n") && service.contains("\nMemoryMax="));
    let program = env!("CARGO_BIN_EXE_heartbeat-agent");
    let runnable = service.replace("/etc/heartbeat/checks.d/%i", program);
    assert_ne!(service, runnable);
    for (name, unit) in [
        ("heartbeat-check@backup.service", runnable),
        ("heartbeat-check@backup.timer", check_unit("timer")),
    ] {
        if let Some(Output { status, stderr, .. }) = verify(name, &unit, "") {
            let warnings = String::from_utf8_lossy(&stderr);
            assert!(status.success() && warnings.is_empty(), "{name}: {warnings}");
        }
    }
    let agent = std::fs::read_to_string(UNIT).unwrap();
    assert!(
        agent.contains("\nUser=heartbeat-agent\n") && agent.contains("\nCapabilityBoundingSet=\n")
    );
}

#[test]
fn a_typo_in_a_unit_file_or_a_drop_in_is_noticed() {
    let unit = std::fs::read_to_string(UNIT).unwrap();
    let mutated = unit.replace("ProtectClock=", "ProtectClok=");
    let drop_in = drop_in().replace("AmbientCapabilities=", "AmbentCapabilities=");
    for (number, (unit, drop_in, typo)) in
        [(mutated, String::new(), "ProtectClok"), (unit, drop_in, "AmbentCapabilities")]
            .into_iter()
            .enumerate()
    {
        if let Some(verified) = verify(&format!("with-a-typo-{number}.service"), &unit, &drop_in) {
            let warnings = String::from_utf8_lossy(&verified.stderr);
            assert!(warnings.contains(typo), "{warnings}");
        }
    }
}
