//! The features of dependencies. SAM builds the functions with `cargo build --bin`, without `-p`: no feature that only another
//! member of the workspace needs may get into them that way. And `make run`, the tests and the documentation build the
//! whole workspace: what one of them compiles, the others must be able to use.

use crate::function::FUNCTIONS;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// Every crate with its features that a build compiles.
fn crates(arguments: &[&str]) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "-Zunstable-options", "--unit-graph"])
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
    for program in FUNCTIONS.map(|function| function.name) {
        let build = |selected: &[&str]| {
            crates(&[&["build", "--release", "--bin", program], selected].concat())
        };
        let as_sam_builds_it = build(&[]);
        let on_its_own = build(&["--package", "heartbeat"]);
        assert!(on_its_own.len() > 100, "{} crates", on_its_own.len());
        assert_eq!(as_sam_builds_it, on_its_own, "{program}");
        let with_all_members = build(&["--workspace"]);
        assert_ne!(with_all_members, on_its_own, "{program}: the comparison sees features");
    }
}

#[test]
fn nothing_is_compiled_twice_with_and_without_tests() {
    let with_tests = crates(&["test", "--workspace", "--no-run"]);
    for without in [&["build", "--workspace", "--bins"][..], &["doc", "--workspace", "--no-deps"]] {
        let without_tests = crates(without);
        assert!(without_tests.len() > 200, "{} crates", without_tests.len());
        // Only the fuzz target needs these.
        let is_of_fuzzing = |package: &str| {
            ["fuzz", "libfuzzer", "arbitrary"].iter().any(|name| package.contains(name))
        };
        let twice: Vec<_> = without_tests
            .difference(&with_tests)
            .filter(|(package, _)| !is_of_fuzzing(package))
            .collect();
        assert_eq!(twice, Vec::<&(String, String)>::new(), "{without:?}");
    }
}

#[test]
fn the_page_adds_no_features_to_the_other_functions() {
    for program in
        FUNCTIONS.map(|function| function.name).into_iter().filter(|name| *name != "page")
    {
        let build = ["build", "--release", "--bin", program, "-p", "heartbeat"];
        let without_page = crates(&[&build[..], &["--no-default-features"]].concat());
        let with_page = crates(&build);
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "#");
        let others = |crates: BTreeSet<(String, String)>| -> BTreeSet<_> {
            let others = crates.into_iter().filter(|(package, _)| !package.contains(own));
            // It stands for other features, which are in the list.
            others
                .map(|(package, features)| (package, features.replace("\"default\",", "")))
                .collect()
        };
        let (needed, built) = (others(without_page), others(with_page));
        let missing: Vec<_> = needed.difference(&built).collect();
        assert!(needed.len() > 100, "{} crates", needed.len());
        assert!(missing.is_empty(), "{program}: the page changes the features of {missing:#?}");
    }
}
