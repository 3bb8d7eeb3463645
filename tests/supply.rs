//! Checks the dependencies against `deny.toml` offline. Advisories need the network: `make deny`.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use spdx::{Expression, ParseMode};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use toml::Table;

/// The rules of one section of `deny.toml`.
fn rules(section: &str) -> Table {
    let rules: Table = include_str!("../deny.toml").parse().unwrap();
    rules[section].as_table().unwrap().clone()
}

/// The names that a rule lists, plain or as `{ crate = … }`.
fn names<'a>(rules: &'a Table, rule: &str) -> BTreeSet<&'a str> {
    let list = rules[rule].as_array().unwrap().iter();
    list.map(|entry| entry.get("crate").unwrap_or(entry).as_str().unwrap())
        .collect()
}

/// Every package that is compiled for the targets of `deny.toml`, for tests too, except the workspace's own.
fn packages() -> Vec<Value> {
    let graph = rules("graph");
    let targets = names(&graph, "targets").into_iter();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(targets.flat_map(|target| ["--filter-platform", target]))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let own = metadata["workspace_members"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().cloned();
    let packages: Vec<_> = packages
        .filter(|package| !own.contains(&package["id"]))
        .collect();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    packages
}

/// The versions of each package, by its name.
fn versions(packages: &[Value]) -> BTreeMap<&str, Vec<&str>> {
    let mut versions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for package in packages {
        let text = |key: &str| package[key].as_str().unwrap();
        versions
            .entry(text("name"))
            .or_default()
            .push(text("version"));
    }
    versions
}

#[test]
fn every_licence_is_allowed() {
    let rules = rules("licenses");
    let allowed = names(&rules, "allow");
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        let expression = Expression::parse_mode(licence, ParseMode::LAX);
        let is_allowed = expression.is_ok_and(|expression| {
            expression.evaluate(|licence| {
                licence
                    .license
                    .id()
                    .is_some_and(|id| allowed.contains(id.name))
            })
        });
        assert!(is_allowed, "{}: {licence}", package["name"]);
    }
}

#[test]
fn there_is_one_tls_stack_and_no_openssl() {
    let rules = rules("bans");
    let packages = packages();
    let versions = versions(&packages);
    for banned in names(&rules, "deny") {
        assert!(!versions.contains_key(banned), "{banned} is banned");
    }
    let tls = ["rustls", "ring", "rustls-webpki"].map(|name| versions[name].len());
    assert_eq!(tls, [1, 1, 1], "versions of rustls, ring and rustls-webpki");
}

// The list has no stale entries, either.
#[test]
fn only_listed_crates_have_two_versions() {
    let rules = rules("bans");
    let packages = packages();
    let mut versions = versions(&packages);
    versions.retain(|_, versions| versions.len() > 1);
    let duplicated: BTreeSet<_> = versions.into_keys().collect();
    assert_eq!(duplicated, names(&rules, "skip"));
}

#[test]
fn everything_comes_from_one_registry() {
    let packages = packages();
    let sources: BTreeSet<_> = packages
        .iter()
        .map(|package| package["source"].as_str())
        .collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources.first().unwrap().unwrap().starts_with("registry+"));
}
