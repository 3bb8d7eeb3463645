//! `heartbeatctl enroll` and `retire`, with an ssh that runs each command in a root of its own.

use crate::machines::Machines;
use crate::support::{Place, put_server, text};
use dev::command::Run;
use ring::digest::SHA256;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const URL: &str = "https://api.example.com/api/v1/agents/heartbeat";

/// Enrolls, while every agent that is started sends a heartbeat.
async fn enroll(place: &Place, machines: &Machines, arguments: &[&str]) -> Run {
    let release = machines.release();
    let common = ["enroll", "--url", URL, "--agent", &release];
    let tool = machines.tool(place, &[&common, arguments].concat());
    machines.heard(place, tool).await
}

// C2.7
#[tokio::test]
async fn user_data_holds_a_key_for_the_prefix_and_only_what_ec2_takes() {
    let place = Place::new().await;
    let release = format!("{}/user-data-release", env!("CARGO_TARGET_TMPDIR"));
    let print = |arguments: &[&str]| {
        let common = ["enroll", "--print", "cloud-init", "--url", URL];
        place.run(&[&common, arguments].concat())
    };
    let web = ["--group", "web", "--prefix", "web-"];
    let run = print(&web);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("#!/bin/sh\n") && run.stdout.len() < 16_384, "{run:?}");
    assert!(run.stderr.contains("The image has to have the agent"), "{run:?}");
    let [item] = &place.items(&place.keys).await[..] else { panic!("one key") };
    assert_eq!((&item["server_id"], &item["group"]), (&text("web-*"), &text("web")));
    let secret = run.stdout.split("secret='").nth(1).and_then(|rest| rest.split('\'').next());
    assert_eq!(item["key_sha256"], text(&digest(secret.unwrap())));
    for line in ["prefix='web-'".to_owned(), format!("url='{URL}'"), "from=''".to_owned()] {
        assert!(run.stdout.contains(&format!("\n{line}\n")), "{line}");
    }

    let again = print(&web);
    assert!(again.code == 1 && again.stdout.is_empty(), "{again:?}");
    fs::create_dir_all(&release).unwrap();
    let from = ["--from", "https://example.com/agents/", "--agent", &release, "--force"];
    let run = print(&[&web[..], &from].concat());
    assert!(run.code == 1 && run.stderr.contains("has no agent for arm64"), "{run:?}");
    assert_eq!(keys(&place).await.len(), 1, "nothing is made before it can be printed");
    let printed = print(&[&web[..], &["--force", "--json"]].concat()).json();
    assert!(printed["user_data"].as_str().unwrap().starts_with("#!/bin/sh\n"), "{printed}");
    for wrong in [
        &["--group", "web"][..],
        &["--prefix", "web-", "--ssh", "root@web-1"],
        &["--prefix", "web-", "web-1"],
        &["--prefix", "web"],
    ] {
        assert_eq!(print(wrong).code, 2, "{wrong:?}");
    }
    for of_the_print in [&["--prefix", "web-"][..], &["--group", "web"], &["--force"]] {
        let run = place.run(&[&["enroll", "--ssh", "a"], of_the_print].concat());
        assert_eq!(run.code, 2, "{of_the_print:?}: {run:?}");
    }
}

/// The digests of the keys in the table.
async fn keys(place: &Place) -> Vec<String> {
    let items = place.items(&place.keys).await;
    let mut digests: Vec<_> =
        items.iter().map(|item| item["key_sha256"].as_s().unwrap().clone()).collect();
    digests.sort();
    digests
}

fn digest(key: &str) -> String {
    hex::encode(ring::digest::digest(&SHA256, key.as_bytes()))
}

#[tokio::test]
async fn a_machine_is_enrolled_and_its_first_heartbeat_is_shown() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    let run = enroll(&place, &machines, &["web-1", "--ssh", "root@web-1"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let machine = machines.get("web-1");
    for (file, mode) in [
        ("usr/local/bin/heartbeat-agent", 0o755),
        ("etc/systemd/system/heartbeat-agent.service", 0o644),
        ("etc/systemd/system/heartbeat-check@.service", 0o644),
        ("etc/systemd/system/heartbeat-check@.timer", 0o644),
        ("etc/heartbeat/agent.env", 0o640),
        ("etc/heartbeat/api-key", 0o640),
    ] {
        let found = fs::metadata(machine.join(file)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    assert_eq!(
        fs::metadata(machine.join("etc/heartbeat")).unwrap().permissions().mode() & 0o777,
        0o755
    );
    let settings = machine.content("etc/heartbeat/agent.env");
    assert!(
        settings.ends_with(&format!("\nHEARTBEAT_URL={URL}\nHEARTBEAT_SERVER_ID=web-1\n")),
        "{settings}"
    );
    let unit = machine.content("etc/systemd/system/heartbeat-agent.service");
    assert!(unit.contains("ExecStart=/usr/local/bin/heartbeat-agent "), "{unit}");
    let key = machine.content("etc/heartbeat/api-key");
    assert_eq!(keys(&place).await, [digest(&key)]);
    let items = place.items(&place.keys).await;
    assert_eq!(items[0]["server_id"], text("web-1"));
    assert_eq!(
        machine.systemctl(),
        ["daemon-reload", "--quiet enable heartbeat-agent", "restart heartbeat-agent"]
    );
    for step in [
        "checked that the program runs here, as web-1",
        "installed /usr/local/bin/heartbeat-agent",
        "wrote /etc/heartbeat/agent.env",
        "started",
        "heard from web-1 after",
    ] {
        assert!(run.stderr.contains(&format!("✓ root@web-1: {step}")), "{step}: {run:?}");
    }
    assert!(run.stderr.contains("cpu 23.5 %"), "{run:?}");
    // Decision 19: the key is in its file and nowhere else, and nothing that was copied is left.
    assert_eq!(machines.files_with(&key), [machine.join("etc/heartbeat/api-key")]);
    assert!(!format!("{run:?}").contains(&key));
    assert_eq!(machine.list("tmp"), [] as [String; 0]);
    assert!(
        machines
            .commands()
            .iter()
            .all(|line| line.contains(" -- root@web-1 ") || line.contains("-O exit"))
    );
}

#[tokio::test]
async fn a_second_run_repairs_and_revokes_the_old_key() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    assert_eq!(enroll(&place, &machines, &["--ssh", "web-1"]).await.code, 0);
    let machine = machines.get("web-1");
    let first = machine.content("etc/heartbeat/api-key");
    let settings = machine.content("etc/heartbeat/agent.env");
    machine.write(
        "etc/heartbeat/agent.env",
        &format!("HEARTBEAT_API_KEY=old\nHEARTBEAT_INTERVAL=30\n{settings}"),
    );
    // The id was heard just now, but by this machine.
    let run = enroll(&place, &machines, &["--ssh", "web-1", "--json"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        (&run.json()["server_id"], &run.json()["metrics"]["cpu_percent"]),
        (&"web-1".into(), &23.5.into())
    );
    let second = machine.content("etc/heartbeat/api-key");
    assert_ne!(first, second);
    assert_eq!(keys(&place).await, [digest(&second)]);
    assert!(run.stderr.contains("revoked 1 older key(s) of web-1"), "{run:?}");
    assert_eq!(
        machine.content("etc/heartbeat/agent.env"),
        format!("HEARTBEAT_INTERVAL=30\n{settings}")
    );
    assert_eq!(machine.list("etc/heartbeat"), ["agent.env", "api-key"]);
}

#[tokio::test]
async fn where_the_package_is_installed_only_settings_and_key_are_written() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    let machine = machines.get("web-1");
    machine.program("dpkg-query", "echo installed");
    let program = "echo \"  \\\"server_id\\\": \\\"$HEARTBEAT_SERVER_ID\\\",\"";
    machine.program("heartbeat-agent", program);
    let run = enroll(&place, &machines, &["--ssh", "root@web-1"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(machine.content("usr/local/bin/heartbeat-agent").contains(program));
    assert_eq!(machine.list("etc/systemd/system"), [] as [String; 0]);
    assert_eq!(machine.list("etc/heartbeat"), ["agent.env", "api-key"]);
}

// A connection that is lost before a command, and after it.
#[tokio::test]
async fn after_a_lost_connection_no_key_is_left_behind_unnoticed() {
    let place = Place::new().await;
    let all = {
        let Some(machines) = Machines::new(&["web-1"]) else {
            return;
        };
        assert_eq!(enroll(&place, &machines, &["a", "--ssh", "web-1"]).await.code, 0);
        machines.commands().iter().filter(|line| line.contains(" -- ")).count()
    };
    assert!(all >= 8, "{all} commands");
    let keys_of = async |server: &str| {
        let items = place.items(&place.keys).await;
        items.iter().filter(|item| item["server_id"] == text(server)).count()
    };
    // The last one only removes the folder. To lose a connection before a command is mostly to lose it after the one before.
    let breaks = (1..all).map(|call| (call, "BREAK_AFTER"));
    let breaks = breaks.chain([1, 6, 8].map(|call| (call, "BREAK_BEFORE")));
    let breaks = breaks.map(async |(call, when)| {
        let machines = Machines::new(&["web-1"]).unwrap();
        machines.set(when, call);
        let server = format!("{}-{call}", when.to_ascii_lowercase().replace('_', "-"));
        let run = enroll(&place, &machines, &[&server, "--ssh", "web-1"]).await;
        assert_eq!(run.code, 1, "{server}: {run:?}");
        let made = keys_of(&server).await;
        let command = "heartbeatctl keys revoke --digest";
        assert_eq!(made == 1, run.stderr.contains(command), "{server}: {run:?}");
        machines.set(when, 0);
        // It may have been heard before everything was put back.
        let run = enroll(&place, &machines, &[&server, "--ssh", "web-1", "--replace"]).await;
        assert_eq!(run.code, 0, "{server}: {run:?}");
        assert_eq!(keys_of(&server).await, 1, "{server}");
        made
    });
    let made = futures_util::future::join_all(breaks).await;
    assert!(made.contains(&0) && made.contains(&1), "{made:?}");
}

// Before the key is made, nothing is left; once the agent may have it, its owner decides.
#[tokio::test]
async fn an_interrupted_enrolment_leaves_no_key_behind_unnoticed() {
    for (call, has_key) in [(5, false), (7, true)] {
        let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
            return;
        };
        machines.set("HANG", call);
        let release = machines.release();
        let arguments = ["enroll", "--url", URL, "--agent", &release, "--ssh", "root@web-1"];
        let mut tool = machines.tool(&place, &arguments);
        let tool = tool.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = tool.spawn().unwrap();
        dev::command::wait_until("the call that hangs", || machines.calls() == call);
        let run = dev::command::stop(child);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("interrupted"), "{run:?}");
        assert_eq!(!keys(&place).await.is_empty(), has_key, "{run:?}");
        let command = "heartbeatctl keys revoke --digest";
        assert_eq!(run.stderr.contains(command), has_key, "{run:?}");
    }
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_old_key_in_force() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    assert_eq!(enroll(&place, &machines, &["--ssh", "web-1"]).await.code, 0);
    let machine = machines.get("web-1");
    let key = machine.content("etc/heartbeat/api-key");
    for (program, what) in [
        ("mktemp", "exit 1"),
        ("systemctl", "[ \"$2\" != enable ] || { echo no enabling >&2; exit 1; }"),
        ("systemctl", "[ $1 != daemon-reload ] || { echo no reload >&2; exit 1; }"),
        ("chmod", "exit 1"),
    ] {
        machine.program(program, what);
        let run = enroll(&place, &machines, &["--ssh", "web-1"]).await;
        machine.restore();
        assert_eq!(run.code, 1, "{program}: {run:?}");
        assert_eq!(machine.content("etc/heartbeat/api-key"), key, "{program}");
        assert_eq!(keys(&place).await, [digest(&key)], "{program}: {run:?}");
        assert_eq!(machine.list("etc/heartbeat"), ["agent.env", "api-key"], "{program}");
        assert_eq!(machine.list("tmp"), [] as [String; 0], "{program}");
    }
}

#[tokio::test]
async fn a_first_enrolment_that_fails_leaves_no_key() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    let machine = machines.get("web-1");
    machine.program("systemctl", "[ $1 != restart ] || { echo 'Unit is broken' >&2; exit 1; }");
    let run = enroll(&place, &machines, &["--ssh", "web-1"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stderr.contains("✗ web-1: Unit is broken") && run.stderr.contains("is revoked"),
        "{run:?}"
    );
    assert_eq!(machine.list("etc/heartbeat"), [] as [String; 0]);
    assert!(!machine.join("usr/local/bin/heartbeat-agent").exists());
    assert_eq!(keys(&place).await, [] as [String; 0]);
}

#[tokio::test]
async fn a_missing_heartbeat_is_said_with_what_to_do() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    machines.get("web-1").program("systemctl", "[ $1 != status ] || echo 'code=exited, status=1'");
    let release = machines.release();
    let arguments = ["enroll", "--url", URL, "--agent", &release, "--ssh", "web-1", "--wait", "2s"];
    let run = dev::command::run(&mut machines.tool(&place, &arguments));
    assert_eq!(run.code, 1, "{run:?}");
    for words in ["no heartbeat within 2s", "everything is as it was", "status=1", "is revoked"] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
}

#[tokio::test]
async fn what_does_not_work_is_said_before_anything_is_copied() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    let machine = machines.get("web-1");
    for (program, says, reason) in [
        ("getconf", "case $1 in LONG_BIT) echo 64;; *) exit 1;; esac", ""),
        ("getconf", "case $1 in LONG_BIT) echo 32;; *) echo glibc 2.36;; esac", "32-bit"),
        ("uname", "case $1 in -m) echo riscv64;; -s) echo Linux;; *) echo web-1;; esac", "riscv64"),
        ("systemctl", "exit 1", "no systemd"),
    ] {
        if reason.is_empty() {
            machine.program("ldd", "echo 'musl libc (x86_64)' >&2");
        }
        machine.program(program, says);
        let run = enroll(&place, &machines, &["--ssh", "web-1"]).await;
        machine.restore();
        let reason = if reason.is_empty() { "musl" } else { reason };
        assert_eq!(run.code, 1, "{reason}: {run:?}");
        assert!(run.stderr.contains(reason), "{reason}: {run:?}");
        assert_eq!(machine.list("tmp"), [] as [String; 0], "{reason}");
    }
    assert_eq!(keys(&place).await, [] as [String; 0]);
    assert!(machines.commands().iter().all(|line| !line.contains("mktemp")));
}

#[tokio::test]
async fn of_three_machines_the_one_that_is_down_is_named() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["a", "c"])) else {
        return;
    };
    let run =
        enroll(&place, &machines, &["--ssh", "root@a", "--ssh", "root@b", "--ssh", "root@c"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("✗ root@b: ssh cannot connect: "), "{run:?}");
    assert!(run.stderr.ends_with("error: 1 of 3 machines are not enrolled: root@b\n"), "{run:?}");
    assert_eq!(keys(&place).await.len(), 2);
    for name in ["a", "c"] {
        assert!(
            machines
                .get(name)
                .content("etc/heartbeat/agent.env")
                .contains(&format!("SERVER_ID={name}\n"))
        );
    }
}

#[tokio::test]
async fn a_user_who_is_not_root_runs_one_script_with_sudo() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    let machine = machines.get("web-1");
    machine.program("id", "[ -n \"$SUDO\" ] && echo 0 || echo 1000");
    machine.program(
        "sudo",
        "[ \"$1\" != -n ] || exit 1; echo \"$*\" >> /run/sudo.log; SUDO=1 exec \"$@\"",
    );
    let run = enroll(&place, &machines, &["--ssh", "me@web-1"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let log = machine.content("run/sudo.log");
    assert_eq!(log.lines().count(), 1, "{log}");
    let key = machine.content("etc/heartbeat/api-key");
    assert_eq!(machines.files_with(&key), [machine.join("etc/heartbeat/api-key")]);
    let on_terminal: Vec<_> =
        machines.commands().into_iter().filter(|line| line.contains(" -t -- ")).collect();
    assert_eq!(on_terminal.len(), 1, "{on_terminal:?}");
    assert!(on_terminal[0].contains("sudo sh /tmp/"), "{on_terminal:?}");

    machine.program("sudo", "exit 1");
    let run = enroll(&place, &machines, &["--ssh", "me@web-1", "--replace"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(keys(&place).await, [digest(&key)], "{run:?}");
    assert_eq!(machine.list("tmp"), [] as [String; 0]);
}

#[tokio::test]
async fn a_host_that_would_be_an_option_is_rejected() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&[])) else {
        return;
    };
    for command in [&["enroll", "--url", URL][..], &["retire", "web-1"]] {
        let host = "--ssh=-oProxyCommand=touch${IFS}owned";
        let run = dev::command::run(&mut machines.tool(&place, &[command, &[host]].concat()));
        assert_eq!(run.code, 2, "{run:?}");
    }
    assert_eq!(machines.commands(), [] as [String; 0]);
}

#[tokio::test]
async fn what_a_machine_calls_itself_never_selects_a_known_server() {
    let address = "192.0.2.7";
    let (place, Some(machines)) = (Place::new().await, Machines::new(&[address])) else {
        return;
    };
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let own = tables::ServerId::from_hostname(own.trim());
    let ssh = format!("root@{address}");
    let ask = format!("--as NAME, or HOST=NAME={ssh} for make enroll; with --replace");
    // The first has been silent for long.
    put_server(&place, own.as_str(), "offline", 700).await;
    let run = enroll(&place, &machines, &["--ssh", &ssh]).await;
    assert_eq!(run.code, 1, "{run:?}");
    let told = format!("it calls itself {own}, and {own} is a known server");
    assert!(run.stderr.contains(&told) && run.stderr.contains(&ask), "{run:?}");
    assert_eq!(place.run(&["forget", own.as_str()]).code, 0);
    assert_eq!(place.run(&["keys", "add", own.as_str()]).code, 0);
    let of_other = keys(&place).await;
    let run = enroll(&place, &machines, &["--ssh", &ssh]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stderr.contains(&format!("{own} has keys")) && run.stderr.contains(&ask),
        "{run:?}"
    );
    assert_eq!(keys(&place).await, of_other);

    for arguments in [&["--as", "db-1", "--ssh", &ssh][..], &["--ssh", &format!("db-2={ssh}")]] {
        let run = enroll(&place, &machines, arguments).await;
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
    }
    assert_eq!(keys(&place).await.len(), of_other.len() + 2);
    let settings = machines.get(address).content("etc/heartbeat/agent.env");
    assert!(settings.ends_with("HEARTBEAT_SERVER_ID=db-2\n"), "{settings}");
    // Nor does an agent that is said to be installed there.
    let again = ["--as", "db-2", "--ssh", &ssh, "--replace"];
    let run = enroll(&place, &machines, &again[..4]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stderr.contains("db-2 is a known server") && run.stderr.contains("--replace"),
        "{run:?}"
    );
    assert_eq!(enroll(&place, &machines, &again).await.code, 0);
}

#[tokio::test]
async fn an_id_that_another_machine_uses_needs_replace() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["new"])) else {
        return;
    };
    put_server(&place, "web-1", "online", 60).await;
    let run = enroll(&place, &machines, &["web-1", "--ssh", "new"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("web-1 was heard") && run.stderr.contains("--replace"), "{run:?}");
    assert_eq!(keys(&place).await, [] as [String; 0]);
    let machine = machines.get("new");
    assert_eq!(machine.list("tmp"), [] as [String; 0]);
    let run = enroll(&place, &machines, &["web-1", "--ssh", "new", "--replace"]).await;
    assert_eq!(run.code, 0, "{run:?}");

    // One that fell silent longer ago does not.
    put_server(&place, "web-2", "offline", 700).await;
    let run = enroll(&place, &machines, &["web-2", "--ssh", "new"]).await;
    assert_eq!(run.code, 0, "{run:?}");
}

#[tokio::test]
async fn a_server_is_retired() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&["web-1"])) else {
        return;
    };
    assert_eq!(enroll(&place, &machines, &["--ssh", "web-1"]).await.code, 0);
    let machine = machines.get("web-1");
    let other = dev::command::run(
        &mut machines.tool(&place, &["retire", "web-2", "--ssh", "web-1", "--yes"]),
    );
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains("the agent that is installed is web-1"), "{other:?}");
    assert!(machine.join("etc/heartbeat/api-key").exists());

    let run = dev::command::run(&mut machines.tool(&place, &["retire", "web-1", "--ssh", "web-1"]));
    assert_eq!(run.code, 1, "without an answer: {run:?}");
    let run = dev::command::run(
        &mut machines.tool(&place, &["retire", "web-1", "--ssh", "web-1", "--yes", "--json"]),
    );
    assert_eq!((run.code, run.json()), (0, serde_json::json!(["web-1"])), "{run:?}");
    assert!(machine.systemctl().contains(&"disable --now heartbeat-agent".to_owned()));
    for folder in ["etc/systemd/system", "etc/heartbeat", "tmp"] {
        assert_eq!(machine.list(folder), [] as [String; 0], "{folder}");
    }
    assert!(!machine.join("usr/local/bin/heartbeat-agent").exists());
    assert_eq!(keys(&place).await, [] as [String; 0]);
    assert_eq!(place.items(&place.servers).await, []);
    let again = dev::command::run(&mut machines.tool(&place, &["retire", "web-1", "--yes"]));
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("there is no server web-1"), "{again:?}");
}

#[tokio::test]
async fn nothing_is_retired_if_the_machine_cannot_be_reached() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&[])) else {
        return;
    };
    put_server(&place, "web-1", "online", 0).await;
    let run = dev::command::run(
        &mut machines.tool(&place, &["retire", "web-1", "--ssh", "web-1", "--yes"]),
    );
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("nothing else is changed"), "{run:?}");
    assert_eq!(place.items(&place.servers).await.len(), 1);
}

#[tokio::test]
async fn servers_that_have_been_silent_for_long_are_retired_together() {
    let (place, Some(machines)) = (Place::new().await, Machines::new(&[])) else {
        return;
    };
    for (server, days) in [("old", 40), ("older", 50), ("new", 1)] {
        put_server(&place, server, "offline", days * 86_400).await;
        assert_eq!(place.run(&["keys", "add", server]).code, 0);
    }
    let silent = |arguments: &[&str]| {
        let run = dev::command::run(
            &mut machines.tool(&place, &[&["retire", "--silent-for", "30d"], arguments].concat()),
        );
        (run.code, run)
    };
    let (code, run) = silent(&[]);
    assert_eq!(code, 1, "without an answer: {run:?}");
    let listed: Vec<_> = run.stderr.lines().take(2).collect();
    assert!(listed[0].contains("older") && listed[1].contains("old"), "{run:?}");
    assert_eq!(place.items(&place.servers).await.len(), 3);
    let (code, run) = silent(&["--yes", "--json"]);
    assert_eq!((code, run.json()), (0, serde_json::json!(["older", "old"])), "{run:?}");
    let left = place.items(&place.servers).await;
    assert_eq!((left.len(), &left[0]["server_id"]), (1, &text("new")));
    assert_eq!(keys(&place).await.len(), 1);
    assert!(silent(&["--yes"]).1.stderr.contains("No server has been silent"));
}
