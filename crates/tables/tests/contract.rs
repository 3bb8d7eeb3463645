//! The contract names every attribute and every metric.

use tables::METRICS;
use tables::problem::{Key, Kind};
use tables::server::ATTRIBUTES;

const CONTRACT: &str = include_str!("../../../docs/contract.md");
const TEMPLATE: &str = include_str!("../../../template.yaml");

// C5 C8 C9
#[test]
fn the_contract_names_every_attribute_of_the_servers_table() {
    for attribute in ATTRIBUTES {
        let name = attribute.name();
        assert!(CONTRACT.contains(&format!("`{name}`")), "{name}");
    }
}

// C3.3
#[test]
fn the_contract_names_every_metric() {
    for metric in &METRICS {
        let name = metric.name;
        let is_named = ["`metrics.", "`.", "`"]
            .iter()
            .any(|before| CONTRACT.contains(&format!("{before}{name}`")));
        assert!(is_named, "{name}");
    }
}

// C9.1 C9.8
#[test]
fn the_contract_names_every_kind_of_problem_and_a_key_of_it() {
    let (_, table) = CONTRACT.split_once("| key | the problem | judged by |\n").expect("C9.1");
    let rows = table.lines().skip(1).map_while(|row| row.trim().strip_prefix("| `"));
    let key = |row: &str| row.split_once('`').and_then(|(key, _)| Key::parse(key));
    let keys: Vec<_> = rows.map(|row| key(row).expect(row)).collect();
    // Urgent limits have a row of their own.
    let kinds: Vec<_> = keys.iter().filter(|key| !key.is_urgent()).map(Key::kind).collect();
    assert_eq!(kinds, Kind::ALL);
    for key in keys.iter().filter(|key| key.name().is_none()) {
        assert!(
            TEMPLATE.contains(&format!("|{key}=off)")),
            "the pattern of Limits lacks {key}=off"
        );
    }
    let (_, names) = CONTRACT.split_once("`kind` is ").expect("C9.8");
    let (names, _) = names.split_once(';').expect("a list");
    for name in kinds.into_iter().map(<&str>::from) {
        assert!(names.contains(&format!("`{name}`")), "C9.8 lacks {name}");
    }
}
