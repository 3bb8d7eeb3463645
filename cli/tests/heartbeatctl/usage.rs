//! Help, exit codes, and what is said when something is missing.

use crate::support::{Place, run, tool};

const COMMANDS: [&[&str]; 9] = [
    &[],
    &["agent"],
    &["fleet"],
    &["keys", "add"],
    &["keys", "list"],
    &["keys", "revoke"],
    &["keys", "rotate"],
    &["silence"],
    &["forget"],
];

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in COMMANDS {
        let help = run(tool().args(command).arg("--help"));
        assert_eq!(help.code, 0, "{command:?}");
        assert!(
            help.stdout.contains("heartbeatctl --stack heartbeat")
                || help.stdout.contains("heartbeatctl agent --url"),
            "{}",
            help.stdout
        );
    }
    assert!(run(tool().arg("--help")).stdout.contains("Exit codes: 0"));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["nonsense"][..],
        &["keys"],
        &["silence", "web-1"],
        &["fleet", "--offline-after", "x"],
        &["agent", "--api-key", "k"],
    ] {
        assert_eq!(run(tool().args(arguments)).code, 2, "{arguments:?}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let aws = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    let nameless = run(tool().envs(aws).args(["keys", "list"]));
    assert_eq!(nameless.code, 1);
    assert_eq!(
        nameless.stderr,
        "error: the table of keys is not named: pass --keys-table or --stack, or set KEYS_TABLE\n"
    );
    let no_credentials =
        run(tool()
            .env("AWS_REGION", "us-east-1")
            .args(["--keys-table", "keys", "keys", "list"]));
    assert_eq!(no_credentials.code, 1);
    assert!(
        no_credentials
            .stderr
            .starts_with("error: no AWS credentials"),
        "{no_credentials:?}"
    );
    assert_eq!(no_credentials.stdout, "");
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_so() {
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
            run.stderr, "error: there is no such table in this region\n",
            "{arguments:?}"
        );
    }
}
