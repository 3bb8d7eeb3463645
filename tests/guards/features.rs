//! SAM builds the functions with `cargo build --bin`, without `-p`. No feature that only another member of the workspace
//! needs may get into them that way.

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// Every crate with its features that a build compiles.
fn crates(arguments: &[&str]) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--offline",
            "--release",
            "-Zunstable-options",
            "--unit-graph",
        ])
        .args(arguments)
        // The unit graph is unstable.
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let graph: Value = serde_json::from_slice(&output.stdout).unwrap();
    let units = graph["units"].as_array().unwrap();
    let name = |unit: &Value| (unit["pkg_id"].to_string(), unit["features"].to_string());
    units.iter().map(name).collect()
}

#[test]
fn no_other_member_adds_features_to_the_functions() {
    for program in ["heartbeat", "notify", "watchdog"] {
        let as_sam_builds_it = crates(&["--bin", program]);
        let on_its_own = crates(&["--bin", program, "--package", "heartbeat"]);
        assert!(on_its_own.len() > 100, "{} crates", on_its_own.len());
        assert_eq!(as_sam_builds_it, on_its_own, "{program}");
        let with_all_members = crates(&["--workspace", "--bin", program]);
        assert_ne!(
            with_all_members, on_its_own,
            "{program}: the comparison sees features"
        );
    }
}
