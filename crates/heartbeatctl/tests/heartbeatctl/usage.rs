//! Help, exit codes, and the errors for missing settings.

use crate::support::{Place, closed_pipe, run, tool};

#[test]
fn the_help_names_exit_codes_and_variables() {
    let help = run(tool().arg("--help")).stdout;
    assert!(help.contains("Exit codes: 0"));
    for variable in ["HEARTBEAT_STACK", "SERVERS_TABLE", "METRICS_TABLE", "KEYS_TABLE"] {
        let line = help.lines().find(|line| line.contains(&format!("{variable}]")));
        assert!(line.is_some(), "{variable}: {help}");
    }
}

// The disk of the log is full, or nobody reads it any more.
#[test]
fn an_error_that_cannot_be_printed_is_still_an_exit_code() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut fleet = tool();
    let failed = fleet.arg("fleet").stderr(full()).status().unwrap();
    assert_eq!(failed.code(), Some(1));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["nonsense"][..],
        &["keys"],
        &["silence", "web-1"],
        &["silence", "web-1", "0s"],
        &["keys", "add", "web-1", "--expires", "0s"],
        &["keys", "rotate", "web-1", "--expires", "999ms"],
        &["keys", "revoke", "--digest", ""],
        &["keys", "revoke", "--digest", "xyz"],
        &["fleet", "--watch", "0s"],
        &["fleet", "--watch", "--json"],
        &["--json", "fleet", "--watch"],
        &["restore", "servers"],
        &["restore", "metrics", "restored"],
    ] {
        assert_eq!(run(tool().args(arguments)).code, 2, "{arguments:?}");
    }
}

#[test]
fn errors_name_what_is_missing() {
    let aws =
        [("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let nameless = run(tool().envs(aws).args(["keys", "list"]));
    assert_eq!(nameless.code, 1);
    assert_eq!(
        nameless.stderr,
        "error: the name of the keys table is missing: pass --keys-table or --stack, or set KEYS_TABLE\n"
    );
    let no_credentials =
        run(tool().env("AWS_REGION", "us-east-1").args(["--keys-table", "keys", "keys", "list"]));
    assert_eq!(no_credentials.code, 1);
    assert!(no_credentials.stderr.starts_with("error: no AWS credentials"), "{no_credentials:?}");
    assert_eq!(no_credentials.stdout, "");
    let no_region =
        run(tool().envs(aws[1..].iter().copied()).args(["--keys-table", "keys", "keys", "list"]));
    assert_eq!(no_region.code, 1);
    assert!(no_region.stderr.starts_with("error: no AWS region"), "{no_region:?}");
    let nowhere =
        run(tool().envs(aws[1..].iter().copied()).args(["--stack", "heartbeat", "keys", "list"]));
    assert_eq!(nowhere.stderr.split(": ").nth(2), Some("no AWS region"), "{nowhere:?}");
    for run in [no_credentials, no_region, nowhere] {
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(!run.stderr.contains(['{', '\u{fffd}']), "plain text: {run:?}");
    }
}

// A stack that cannot be read shows that it was asked.
#[tokio::test]
async fn flags_precede_the_environment_and_names_precede_the_stack() {
    let place = Place::new().await;
    let tool = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut tool = place.tool();
        tool.env("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:1")
            .env("AWS_MAX_ATTEMPTS", "1")
            .envs(variables.iter().copied())
            .args(arguments);
        run(&mut tool)
    };
    let unreadable = |stack: &str| format!("error: the stack {stack} cannot be read: ");
    let flags = ["--servers-table", &place.servers];
    let flags = [&flags[..], &["--metrics-table", &place.metrics, "fleet"]].concat();

    let named = tool(&[], &[&["--stack", "one"], &flags[..]].concat());
    assert_eq!(named.code, 0, "a name's flag precedes --stack: {named:?}");
    let by_stack = tool(&[("HEARTBEAT_STACK", "two")], &["--stack", "one", "fleet"]);
    assert_eq!(by_stack.code, 1);
    assert!(
        by_stack.stderr.starts_with(&unreadable("one")),
        "--stack precedes all variables: {by_stack:?}"
    );
    let by_variable = tool(&[("HEARTBEAT_STACK", "two")], &["fleet"]);
    assert_eq!(by_variable.code, 0, "a name's variable precedes HEARTBEAT_STACK: {by_variable:?}");
    let variables = [("HEARTBEAT_STACK", "two"), ("SERVERS_TABLE", "")];
    let by_last = tool(&variables, &["fleet"]);
    assert!(by_last.stderr.starts_with(&unreadable("two")), "{by_last:?}");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new().await;
    for arguments in [&["fleet"][..], &["fleet", "--json"], &["keys", "list"]] {
        let child = place
            .tool()
            .args(arguments)
            .stdout(closed_pipe())
            .stderr(std::process::Stdio::piped())
            .spawn();
        let run = crate::support::Run::from(child.unwrap().wait_with_output().unwrap());
        assert_eq!((run.code, &*run.stderr), (0, ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_missing_table_is_reported() {
    let place = Place::new().await;
    for arguments in [
        &["keys", "list"][..],
        &["keys", "add", "web-1"],
        &["silence", "web-1", "1h"],
        &["forget", "web-1", "--yes"],
        &["fleet"],
    ] {
        let tables = ["--keys-table", "nowhere", "--servers-table", "nowhere"];
        let run = place.run(&[arguments, &tables].concat());
        assert_eq!((run.code, &*run.stdout), (1, ""), "{arguments:?}");
        assert_eq!(
            run.stderr, "error: there is no table nowhere in this region\n",
            "{arguments:?}"
        );
    }
}
