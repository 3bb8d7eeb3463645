//! Jobs: what `run` passes on, in a machine of its own. `tests/systemd` has the users, the folder and the reports.

use crate::namespace::Machine;
use dev::command::{Run, run, wait_until};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A machine with an empty folder of jobs.
fn machine(name: &str) -> Option<Machine> {
    Machine::start(name, "mount -t tmpfs tmpfs /var/lib; mkdir -m 3773 /var/lib/heartbeat-jobs")
}

/// A script in the folder of the test; `$0` is the agent.
fn script(machine: &Machine, script: &str) -> Run {
    run(&mut machine.shell(script))
}

fn listed(machine: &Machine) -> String {
    run(machine.agent().arg("jobs")).stdout
}

#[test]
fn the_streams_and_the_status_of_a_command_are_those_of_the_run() {
    let Some(machine) = machine("job-streams") else {
        return;
    };
    let ended = script(
        &machine,
        "echo in | \"$0\" run echo -- sh -c 'cat; echo first >&2; echo last >&2; exit 3'",
    );
    let expected = (3, "in\n", "first\nlast\n");
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), expected);
    assert_eq!(listed(&machine), "job echo: failed: exit code 3: last\n");
    // As a shell says it, and this program ends as the command did.
    let ended = script(
        &machine,
        "sh -c '\"$0\" run echo -- sh -c \"kill -SEGV \\$\\$\"' \"$0\" || echo $?",
    );
    assert_eq!(ended.stdout, "139\n");
    for (command, code) in [("/nowhere/program", 127), ("/etc/passwd", 126)] {
        let ended = script(&machine, &format!("\"$0\" run echo -- {command}"));
        assert_eq!(ended.code, code, "{ended:?}");
    }
    // More than a pipe holds, to a reader that is slow.
    let size = "\"$0\" run big -- sh -c 'head -c 300000 /dev/zero >&2' 2>&1 | (sleep 2; wc -c)";
    assert_eq!(script(&machine, size).stdout, "300000\n");
    // What nobody reads any more does not end the command.
    let ended = script(
        &machine,
        "{ \"$0\" run closed -- sh -c 'sleep 0.3; echo a >&2; echo b >&2; exit 4' || echo $? >code; } 2>&1 | true; cat code",
    );
    assert_eq!(ended.stdout, "4\n");
}

#[test]
fn a_terminal_stays_a_terminal_and_its_signals_arrive_once() {
    let Some(machine) = machine("job-terminal") else {
        return;
    };
    if !dev::command::has("script") {
        return;
    }
    // `exec`, since not each shell replaces itself by its only command: one that stays would die of the signal.
    // The terminal sends SIGINT to both. The run gets its own later, so that a second one would not be lost in the first.
    let command = "trap : INT; \"$A\" run terminal -- sh -c 'test -t 2 && echo terminal; n=0; trap \"n=\\$((n + 1))\" INT; kill -STOP $PPID; echo ready; sleep 20; kill -CONT $PPID; sleep 1; echo count=$n; exit 5'";
    fs::write(machine.folder.join("command.sh"), command).unwrap();
    let ended = script(
        &machine,
        "export A=\"$0\"; mkfifo keys; exec 3<>keys; : >printed
        (until grep -q ready printed; do :; done; printf '\\003' >&3) &
        SHELL=/bin/sh script --quiet --return --command 'exec sh command.sh' typescript <keys >printed || echo $?
        cat printed",
    );
    let printed = ended.stdout.replace('\r', "");
    assert!(printed.contains("terminal\n") && printed.contains("count=1\n"), "{printed}");
    assert!(printed.starts_with("5\n"), "{printed}");
}

#[test]
fn a_signal_is_passed_on_and_one_that_is_ignored_stays_ignored() {
    let Some(machine) = machine("job-signals") else {
        return;
    };
    for signal in ["ALRM", "HUP", "INT", "QUIT", "TERM", "USR1", "USR2"] {
        let printed = machine.folder.join(format!("printed-{signal}"));
        let caught = format!(
            "exec \"$0\" run {} -- sh -c 'trap \"echo caught; exit 9\" {signal}; echo ready; while :; do sleep 0.05; done'",
            signal.to_lowercase()
        );
        // A shell that is not interactive starts a background job with SIGINT ignored.
        let mut command = machine.shell(&caught);
        let child = command.stdout(fs::File::create(&printed).unwrap()).spawn().unwrap();
        let text = || fs::read_to_string(&printed).unwrap();
        wait_until("it runs", || text() == "ready\n");
        let kill = format!("kill -s {signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), &*text()), (Some(9), "ready\ncaught\n"), "{signal}");
    }
    let alarm = "perl -e 'alarm 1; exec @ARGV' \"$0\" run alarm -- sleep 20 || echo $?";
    if dev::command::has("perl") {
        assert_eq!(script(&machine, alarm).stdout.trim(), "142");
    }
    let ended = script(
        &machine,
        "trap '' HUP; \"$0\" run nohup -- sh -c 'kill -HUP $$; grep SigIgn /proc/$$/status; echo on'",
    );
    assert!(ended.stdout.ends_with("1\non\n"), "{ended:?}");
}

#[test]
fn a_background_child_is_waited_for_a_second() {
    let Some(machine) = machine("job-background") else {
        return;
    };
    let started = Instant::now();
    let ended =
        script(&machine, "\"$0\" run daemon -- sh -c 'sleep 20 >/dev/null & echo started >&2'");
    let time = started.elapsed();
    assert!(Duration::from_secs(1) <= time && time < Duration::from_secs(15), "{time:?}");
    assert_eq!((ended.code, &*ended.stderr), (0, "started\n"));
    assert!(listed(&machine).starts_with("job daemon: last ended well"));
}

#[test]
fn a_flag_that_is_not_given_keeps_its_value_and_a_declared_job_becomes_due() {
    let Some(machine) = machine("job-flags") else {
        return;
    };
    let file = || {
        fs::read_to_string(format!("/proc/{}/root/var/lib/heartbeat-jobs/0-a", machine.id()))
            .unwrap()
    };
    assert_eq!(script(&machine, "\"$0\" run --within 1s --for 2h a").code, 0);
    script(&machine, "\"$0\" run --for 3h a");
    assert!(file().contains("\"within\":1,\"for\":10800"), "{}", file());
    wait_until("it is due", || {
        listed(&machine).starts_with("job a: failed: has not ended well for")
    });
    script(&machine, "\"$0\" run --within 26h a -- true");
    assert!(file().contains("\"within\":93600,\"for\":10800"), "{}", file());
    assert!(listed(&machine).starts_with("job a: last ended well"));
    for name in ["A", "-x", "a/b", "..", &"x".repeat(31)] {
        assert_eq!(
            run(machine.agent().args(["run", "--within", "1h", "--", name])).code,
            2,
            "{name}"
        );
    }
}

// Of two runs at once, the later one is recorded if it ends later.
#[test]
fn a_second_run_at_the_same_time_runs_as_well() {
    let Some(machine) = machine("job-twice") else {
        return;
    };
    let mut first = machine.shell("exec \"$0\" run twice -- sh -c 'echo ready; read line' 2>&1");
    let mut first = first
        .stdin(Stdio::piped())
        .stdout(fs::File::create(machine.folder.join("first")).unwrap())
        .spawn()
        .unwrap();
    wait_until("it runs", || {
        fs::read_to_string(machine.folder.join("first")).unwrap() == "ready\n"
    });
    let second = script(&machine, "\"$0\" run twice -- sh -c 'echo second; exit 6'");
    assert_eq!((second.code, &*second.stdout), (6, "second\n"));
    assert!(second.stderr.contains("another run of it has not ended"), "{second:?}");
    assert_eq!(listed(&machine), "job twice: runs\n");
    drop(first.stdin.take());
    assert_eq!(first.wait().unwrap().code(), Some(1));
    assert_eq!(listed(&machine), "job twice: failed: exit code 1\n");
}
