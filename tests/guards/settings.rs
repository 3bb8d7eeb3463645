//! The environment that `template.yaml` gives each function, and what the function reads of it.

use crate::function::{FUNCTIONS, Function};
use dev::template::{self, Value};
use heartbeat::{aws::AwsConfig, log, notify, watchdog};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Lambda sets these itself.
const SET_BY_LAMBDA: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_LAMBDA_LOG_LEVEL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// These have no parameter: other endpoints than AWS's, and values that nobody needs to change.
const WITHOUT_PARAMETER: [&str; 7] = [
    "ATTEMPT_TIMEOUT_MS",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SNS",
    "CONNECT_TIMEOUT_MS",
    "IDLE_TIMEOUT_MS",
    "KEY_CACHE_SECONDS",
    "OPERATION_TIMEOUT_MS",
];

pub const CONTRACT: &str = include_str!("../../docs/contract.md");

/// The value that a deployment with the defaults gives a variable. A stack has `notify` only if it has webhooks, and `page` only
/// if it has a password.
fn deployed(name: &str, value: &Value) -> Option<String> {
    match (name, value) {
        ("WEBHOOK_URLS", _) => Some("json:https://example.com".into()),
        ("PAGE_PASSWORD_SHA256", _) => Some("ab".repeat(32)),
        (_, Value::Parameter(default)) => Some(default.clone()),
        (_, Value::Resource(name)) => Some(format!("arn:aws:sns:us-east-1:123456789012:{name}")),
        (_, Value::LeftOut) => None,
    }
}

/// The settings of a function that is deployed with the defaults, except for the variable that is left out.
pub fn environment(function: &str, left_out: &str) -> BTreeMap<String, String> {
    let by_lambda = SET_BY_LAMBDA.map(|name| (name.to_owned(), "INFO".to_owned()));
    let functions = template::functions();
    let by_template = functions[function]
        .variables
        .iter()
        .filter_map(|(name, value)| deployed(name, value).map(|value| (name.clone(), value)));
    let all = by_template.chain(by_lambda);
    all.filter(|(name, _)| name != left_out).collect()
}

#[test]
fn each_function_reads_what_it_is_given_and_is_given_what_it_reads() {
    let functions = template::functions();
    for Function { name, read, .. } in FUNCTIONS {
        let given = environment(name, "");
        let asked = RefCell::new(BTreeSet::new());
        let variable = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            given.get(name).cloned()
        };
        read(&variable).unwrap_or_else(|error| panic!("{name}: {error}"));
        log::level(variable).unwrap();
        let set: BTreeSet<_> = functions[name].variables.keys().cloned().collect();
        for variable in &set {
            assert!(CONTRACT.contains(&format!("`{variable}`")), "the contract lacks {variable}");
        }
        let asked = asked.into_inner();
        assert_eq!(&set - &asked, BTreeSet::new(), "{name} does not read these");
        let elsewhere = SET_BY_LAMBDA.into_iter().chain(WITHOUT_PARAMETER);
        let elsewhere = elsewhere.map(str::to_owned).collect();
        let missing = &(&asked - &set) - &elsewhere;
        assert_eq!(missing, BTreeSet::new(), "{name} is not given these");
    }
}

#[test]
fn each_parameter_has_the_default_of_the_code() {
    let mut compared = BTreeSet::new();
    for Function { name, read, .. } in FUNCTIONS {
        let function = &template::functions()[name];
        let settings = |left_out: &str| {
            let given = environment(name, left_out);
            read(&|variable| given.get(variable).cloned())
        };
        let expected = settings("").unwrap();
        for (variable, value) in &function.variables {
            // Those without a default, and one that is none in the code: whoever deploys nothing asks for no digest.
            let differs = ["DIGEST_AT", "PAGE_PASSWORD_SHA256", "WEBHOOK_URLS"];
            let has_default = !differs.contains(&variable.as_str());
            if matches!(value, Value::Parameter(_)) && has_default {
                assert_eq!(settings(variable).unwrap(), expected, "{variable}");
                compared.insert(variable.clone());
            }
        }
    }
    assert!(compared.contains("METRICS_RETENTION_DAYS"), "{compared:?}");
    assert!(compared.contains("OFFLINE_AFTER_SECONDS"), "{compared:?}");
}

// C6.4
#[test]
fn each_function_responds_before_lambda_ends_it() {
    let functions = template::functions();
    let milliseconds = |name: &str| u128::try_from(functions[name].timeout).unwrap() * 1000;
    let given = environment("heartbeat", "");
    let aws = AwsConfig::from_variables(|name| given.get(name).cloned()).unwrap();
    let (attempt, operation) = (aws.attempt_timeout.as_millis(), aws.operation_timeout.as_millis());
    assert!(attempt < operation);
    assert!(operation < milliseconds("heartbeat"));
    assert!(milliseconds("heartbeat") < 30_000);
    let slow = u128::try_from(template::threshold("LatencyAlarm")).unwrap();
    assert!(attempt < slow && slow < operation);
    assert!(watchdog::DEFAULT_TIME.as_millis() < milliseconds("watchdog"));
    assert!(notify::DEFAULT_TIME.as_millis() < milliseconds("notify"));
}
