//! The contract names every attribute and every metric.

use tables::METRICS;
use tables::server::ATTRIBUTES;

const CONTRACT: &str = include_str!("../../../docs/contract.md");

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
