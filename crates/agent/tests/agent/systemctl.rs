//! What systemd knows: through a `systemctl` of the test, and the real one where there is one. `tests/systemd` starts the units
//! under a systemd that runs.

use crate::support::{Endpoint, agent, output};
use dev::command::{Run, has, run, skip, stop, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The agent, with a `systemctl` that is this script.
fn with_systemctl(name: &str, script: &str) -> Command {
    let mut agent = agent();
    agent.arg("--print").env("PATH", systemctl(name, script));
    agent
}

/// A path on which `systemctl` is this script.
fn systemctl(name: &str, script: &str) -> String {
    let folder = format!("{}/systemctl-{name}", env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(&folder).unwrap();
    let file = format!("{folder}/systemctl");
    // It is replaced as a whole: another test may just start a program, which would keep it busy.
    let new = format!("{file}.new");
    fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).unwrap();
    fs::rename(new, file).unwrap();
    format!("{folder}:/usr/bin:/bin")
}

const SYSTEMD: &str = "
case \"$*\" in
*list-units*)
    echo 'postfix.service loaded failed failed Postfix'
    echo 'heartbeat-check@backup.service loaded failed failed Heartbeat check backup'
    echo 'app.service loaded activating auto-restart An application'
    echo 'data.mount loaded failed failed /data' ;;
*show*)
    for unit; do case $unit in
    nginx.service) echo \"Names=$unit
Type=notify
ActiveState=active
SubState=running
Result=success
\" ;;
    app.service) echo \"Names=$unit
Type=simple
ActiveState=activating
SubState=auto-restart
Result=exit-code
\" ;;
    backup.service) echo \"Names=$unit
Type=oneshot
ActiveState=inactive
SubState=dead
Result=success
\" ;;
    cron.service) echo \"Names=$unit anacron.service
Type=simple
ActiveState=inactive
SubState=dead
Result=success
\" ;;
    backup.timer) echo \"Names=$unit
ActiveState=active
SubState=waiting
Result=success
\" ;;
    esac; done ;;
esac";

fn services(run: &Run) -> Vec<(String, String)> {
    let reading = run.json();
    let services = reading["services"].as_array().unwrap().iter();
    let text = |service: &Value, name: &str| service[name].as_str().unwrap().to_owned();
    services.map(|service| (text(service, "name"), text(service, "status"))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, status): &(&str, &str)| ((*name).to_owned(), (*status).to_owned());
    expected.iter().map(owned).collect()
}

#[test]
fn failed_units_and_named_ones_are_reported() {
    let failed =
        [("postfix", "failed"), ("backup", "failed"), ("app", "failed"), ("data.mount", "failed")];
    let all = run(&mut with_systemctl("failed", SYSTEMD));
    assert_eq!(services(&all), pairs(&failed), "{all:?}");
    assert_eq!(all.stderr, "");

    let named = [
        ("nginx", "running"),
        ("app", "failed"),
        ("cron", "stopped"),
        ("backup.timer", "running"),
        ("nothing", "unknown"),
    ];
    let rest = [("postfix", "failed"), ("backup", "failed"), ("data.mount", "failed")];
    let expected = pairs(&[&named[..], &rest].concat());
    let mut by_flag = with_systemctl("by-flag", SYSTEMD);
    for name in ["nginx", "app.service", "cron", "backup.timer", "nothing"] {
        by_flag.args(["--service", name]);
    }
    assert_eq!(services(&run(&mut by_flag)), expected);
    let mut by_variable = with_systemctl("by-variable", SYSTEMD);
    by_variable.env("HEARTBEAT_SERVICES", " nginx app\tcron.service\nbackup.timer  nothing ");
    assert_eq!(services(&run(&mut by_variable)), expected);

    // A oneshot that ended well has done what it should.
    let mut oneshot = with_systemctl("oneshot", SYSTEMD);
    let oneshot = run(oneshot.args(["--service", "backup"]));
    assert!(
        services(&oneshot).contains(&("backup".to_owned(), "running".to_owned())),
        "{oneshot:?}"
    );
}

#[test]
fn a_machine_on_which_all_is_well_says_so() {
    let well = run(&mut with_systemctl("well", "exit 0"));
    assert_eq!(well.json()["services"], json!([]));
}

#[test]
fn what_systemd_does_not_answer_is_unknown_and_in_time() {
    for (name, script, reason) in [
        ("no-bus", "echo 'Failed to connect to bus' >&2; exit 1", "systemctl cannot ask systemd"),
        ("killed", "kill -9 $$", "systemctl cannot ask systemd"),
        ("hangs", "sleep 60", "systemctl does not answer"),
        ("hangs-with-a-child", "sleep 60 & exit 0", "systemctl does not answer"),
        ("ignores-the-end", "exec >&-; sleep 60", "systemctl does not answer"),
        ("prints-without-end", "while :; do echo nginx; done", "systemctl does not answer"),
    ] {
        let started = Instant::now();
        let mut agent = with_systemctl(name, script);
        let run = run(agent.args(["--service", "nginx", "--service", "cron"]));
        let time = started.elapsed();
        assert!(time < Duration::from_secs(8), "{name}: {time:?}");
        let unknown = |service: &str| json!({ "name": service, "status": "unknown", "status_reason": reason });
        let reading = run.json();
        assert_eq!(reading["services"], json!([unknown("nginx"), unknown("cron")]), "{name}");
        assert!(reading["metrics"]["memory_percent"].is_number());
        assert_eq!(run.stderr, format!("not read: services: {reason}\n"), "{name}");
    }
    let mut nowhere = agent();
    nowhere.args(["--print", "--service", "nginx"]).env("PATH", "/nowhere");
    let nowhere = run(&mut nowhere);
    assert_eq!(services(&nowhere), pairs(&[("nginx", "unknown")]));
    let said = "not read: services: systemctl is not installed\n";
    assert_eq!(nowhere.stderr, said);
}

// As systemd 252 does, which says nothing of the names that follow.
#[test]
fn a_name_that_systemd_rejects_costs_no_other() {
    let script = "
case \"$*\" in
*show*)
    for unit; do case $unit in
    *@.service) echo \"Unit name $unit is neither a valid invocation ID nor unit name.\" >&2; exit 1 ;;
    *.service) printf \"Id=$unit\\nNames=$unit\\nActiveState=active\\nSubState=running\\n\\n\" ;;
    esac; done ;;
esac";
    let mut agent = with_systemctl("rejects", script);
    let run = run(agent.args(["--service", "nginx", "--service", "foo@", "--service", "cron"]));
    let expected = [("nginx", "running"), ("foo@", "unknown"), ("cron", "running")];
    assert_eq!(services(&run), pairs(&expected), "{run:?}");
}

// It dies at once, and is running whenever somebody looks. Each look takes two calls.
#[test]
fn a_service_that_is_restarted_again_and_again_has_failed_and_says_why() {
    let calls = format!("{}/calls", env!("CARGO_TARGET_TMPDIR"));
    let _ = fs::remove_file(&calls);
    let script = format!(
        "echo >> '{calls}'
case \"$*\" in
*show*) echo \"Id=app.service
Names=app.service
Type=simple
ActiveState=active
SubState=running
Result=success
NRestarts=$(wc -l < '{calls}')\" ;;
esac"
    );
    let endpoint = Endpoint::start(vec![]);
    let mut agent = endpoint.agent();
    agent.args(["--interval", "1", "--service", "app"]).env("PATH", systemctl("restarts", &script));
    let child = agent.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("heartbeats", || endpoint.received().len() >= 3);
    let ended = stop(child);
    assert_eq!(ended.stderr, "");
    let services = endpoint.received().into_iter().take(3).map(|one| one.body["services"].clone());
    let app = |status: &str| json!([{ "name": "app", "status": status }]);
    let mut failed = app("failed");
    failed[0]["status_reason"] = "restarted 4 times".into();
    assert_eq!(services.collect::<Vec<_>>(), [app("running"), app("running"), failed]);
}

// Else a job that fails at the same time would make a list without them, which says that they are well.
#[test]
fn what_had_failed_is_unknown_while_systemd_does_not_answer() {
    let count = format!("{}/looks", env!("CARGO_TARGET_TMPDIR"));
    let _ = fs::remove_file(&count);
    let script = format!(
        "case \"$*\" in *list-units*) echo >> '{count}'; [ $(wc -l < '{count}') != 2 ] || exit 1
        echo 'postfix.service loaded failed failed Postfix' ;; esac"
    );
    let endpoint = Endpoint::start(vec![]);
    let mut agent = endpoint.agent();
    agent.args(["--interval", "1"]).env("PATH", systemctl("forgets", &script));
    let child = agent.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("heartbeats", || endpoint.received().len() >= 3);
    stop(child);
    let status = |number: usize| endpoint.received()[number].body["services"][0]["status"].clone();
    assert_eq!([status(0), status(1), status(2)], ["failed", "unknown", "failed"]);
}

// Nothing that is secret is passed on.
#[test]
fn systemctl_gets_no_key() {
    let folder = format!("{}/environment", env!("CARGO_TARGET_TMPDIR"));
    let _ = fs::remove_file(&folder);
    let mut agent = with_systemctl("environment", &format!("env > '{folder}'"));
    run(agent.env("HEARTBEAT_API_KEY", "secret").env("CREDENTIALS_DIRECTORY", "/secret"));
    let environment = fs::read_to_string(folder).unwrap();
    assert!(environment.contains("LC_ALL=C") && !environment.contains("secret"), "{environment}");
}

/// The first process is not systemd here: no list of services, and no complaint.
#[test]
fn without_systemd_and_without_names_there_is_no_list() {
    if fs::exists("/run/systemd/system").unwrap() {
        skip("needs a machine without systemd");
        return;
    }
    if !has("systemctl") {
        return;
    }
    let run = run(agent().arg("--print"));
    assert_eq!(run.json().get("services"), None);
    assert_eq!(run.stderr, "");
}

#[test]
fn the_real_systemctl_is_understood() {
    if !fs::exists("/run/systemd/system").unwrap() {
        skip("needs a running systemd");
        return;
    }
    let active = output("systemctl", &["is-active", "systemd-journald"]);
    assert_eq!(active.trim(), "active");
    let run = run(agent().args(["--print", "--service", "systemd-journald"]));
    assert!(services(&run).contains(&("systemd-journald".to_owned(), "running".to_owned())));
}

#[test]
fn the_machine_is_named_as_systemd_hashes_its_id() {
    const APPLICATION: &str = "35b5949dd21342d58cd8f3ab1ce2237a";
    let page = include_str!("../../../../docs/agent.md");
    assert!(page.contains(APPLICATION));
    let reading = run(agent().arg("--print")).json();
    assert_eq!(reading["agent_version"], env!("CARGO_PKG_VERSION"));
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(reading["boot_id"], boot_id.trim());
    if has("systemd-id128") {
        let id = output("systemd-id128", &["machine-id", &format!("--app-specific={APPLICATION}")]);
        assert_eq!(reading["server_guid"], id.trim());
    }
}
