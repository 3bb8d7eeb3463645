//! The unit file of the agent.

use std::process::Command;

#[test]
fn the_unit_file_is_valid() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/heartbeat-agent.service");
    let text = std::fs::read_to_string(unit).unwrap();
    assert!(text.contains("LoadCredential=api-key:") && !text.contains("HEARTBEAT_API_KEY="));
    let copy = concat!(env!("CARGO_TARGET_TMPDIR"), "/heartbeat-agent.service");
    // The check wants the program to be there.
    let program = env!("CARGO_BIN_EXE_heartbeatctl");
    std::fs::write(copy, text.replace("/usr/local/bin/heartbeatctl", program)).unwrap();
    match Command::new("systemd-analyze")
        .args(["verify", "--man=no", copy])
        .output()
    {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(_) => eprintln!("skipped: systemd-analyze is not installed"),
    }
}
