//! The contract's clauses and the tests that name them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A clause (`C8.5`), or a section (`C10`).
type Clause = String;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The contract's clauses, and its sections that have none; and all sections.
fn contract() -> (BTreeSet<Clause>, BTreeSet<Clause>) {
    let text = fs::read_to_string(root().join("docs/contract.md")).unwrap();
    let (mut clauses, mut sections) = (BTreeSet::new(), BTreeSet::new());
    for section in text.split("\n## C").skip(1) {
        let (number, _) = section.split_once(' ').unwrap();
        let numbered = section.lines().filter_map(|line| {
            let (item, _) = line.split_once(". ")?;
            item.parse::<u32>().ok()
        });
        let before = clauses.len();
        clauses.extend(numbered.map(|item| format!("C{number}.{item}")));
        if clauses.len() == before {
            clauses.insert(format!("C{number}"));
        }
        sections.insert(format!("C{number}"));
    }
    (clauses, sections)
}

/// Every Rust and Python file of the repository.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = ["src", "crates", "fuzz", "tests"].map(|name| root().join(name)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs" || end == "py") {
                files.push(path);
            }
        }
    }
    files
}

/// The clauses that a comment names, as in `// C2.9 C2.11: …`.
fn named(line: &str) -> Vec<Clause> {
    let Some(start) = line.find("//").or_else(|| line.find('#')) else {
        return Vec::new();
    };
    let words = line[start..].split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let clauses = words.map(|word| word.trim_end_matches('.')).filter(|word| {
        word.strip_prefix('C').is_some_and(|numbers| {
            numbers.split('.').count() <= 2
                && numbers.split('.').all(|part| part.parse::<u32>().is_ok())
        })
    });
    clauses.map(str::to_owned).collect()
}

#[test]
fn every_clause_is_named_by_a_test_and_every_clause_that_is_named_exists() {
    let (clauses, sections) = contract();
    assert!(clauses.len() > 60, "{clauses:?}");
    let mut untested = clauses.clone();
    let mut unknown = Vec::new();
    for file in sources() {
        let path = file.strip_prefix(root()).unwrap();
        let is_test_file = path.iter().any(|part| part == "tests" || part == "tests.rs");
        let mut is_test = is_test_file;
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            is_test |= line.contains("#[cfg(test)]");
            for clause in named(line) {
                if !clauses.contains(&clause) && !sections.contains(&clause) {
                    unknown.push(format!("{}:{}: {clause}", path.display(), number + 1));
                }
                if is_test {
                    untested.remove(&clause);
                }
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new(), "the contract has no such clause");
    assert_eq!(untested, BTreeSet::new(), "no test names these clauses");
}
