//! The functions: one table, which has what the template, the programs and `make run` have.

use dev::runtime_api::RuntimeApi;
use dev::{process, template};
use heartbeat::settings::InvalidSetting;
use heartbeat::{endpoint, notify, page, watchdog};
use std::collections::BTreeSet;
use std::fs;

/// What a variable of the environment holds.
type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A function of the template.
pub struct Function {
    /// That of its program.
    pub name: &'static str,
    program: &'static str,
    /// Reads its settings, and returns them as text.
    pub read: fn(Variable<'_>) -> Result<String, InvalidSetting>,
}

macro_rules! function {
    ($name:literal, $module:ident) => {
        Function {
            name: $name,
            program: env!(concat!("CARGO_BIN_EXE_", $name)),
            read: |variable| Ok(format!("{:?}", $module::Config::from_variables(variable)?)),
        }
    };
}

pub const FUNCTIONS: [Function; 4] = [
    function!("heartbeat", endpoint),
    function!("notify", notify),
    function!("page", page),
    function!("watchdog", watchdog),
];

#[test]
fn every_function_is_a_program_in_the_template_and_in_this_table() {
    let table = BTreeSet::from(FUNCTIONS.map(|function| function.name.to_owned()));
    assert_eq!(template::functions().into_keys().collect::<BTreeSet<_>>(), table);
    let contract = crate::settings::CONTRACT;
    let undescribed = table.iter().find(|name| !contract.contains(&format!("function, `{name}`")));
    assert_eq!(undescribed, None, "the contract does not describe it");
    // `make run` builds what is in this folder.
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let programs = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(programs.collect::<BTreeSet<_>>(), table);
    // Otherwise, Cargo finds it, and links a test binary that has no test.
    let manifest = include_str!("../../Cargo.toml");
    let is_listed = |name: &str| manifest.contains(&format!("path = \"src/bin/{name}.rs\""));
    assert!(table.iter().all(|name| is_listed(name)), "Cargo.toml lists no program of {table:?}");
}

// C7
#[tokio::test]
async fn every_function_logs_its_start() {
    for Function { name, program, .. } in FUNCTIONS {
        let api = RuntimeApi::start().await.unwrap();
        let mut settings = crate::settings::environment(name, "");
        // Nothing listens there.
        settings.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), "http://127.0.0.1:1".to_owned());
        let process = process::start(program, &api, settings);
        // It is ready for its first event.
        api.next().await.unwrap();
        let log = process::kill(process).await;
        let started = log.iter().find(|line| line["message"] == "started");
        let started = started.unwrap_or_else(|| panic!("{name}: {log:?}"));
        assert_eq!(started["level"], "INFO", "{name}");
        assert_eq!(started["version"], heartbeat::VERSION, "{name}");
    }
}
