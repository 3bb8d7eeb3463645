//! Sets `HEARTBEAT_VERSION`: the package's version, and in a release build the commit if this is a checkout. Other builds
//! would start anew after each commit.

// This is how a build script talks to Cargo.
#![allow(clippy::print_stdout)]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
            version += &format!(" ({commit})");
        }
        // Git appends a line for each commit and checkout.
        if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
            println!("cargo::rerun-if-changed={log}");
        }
    }
    println!("cargo::rustc-env=HEARTBEAT_VERSION={version}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
