//! File systems that are real: an ext4 of two megabytes, full, in namespaces of its own.

use crate::namespace::{Machine, bytes, ext4};
use crate::support::{Endpoint, Received};
use dev::command::{Run, run, skip, stop, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Command, Stdio};

/// What `--print` shows of a full disk, and what it says.
fn printed(agent: &mut Command) -> (Value, String) {
    let run = run(agent.arg("--print"));
    (run.json()["metrics"].clone(), run.stderr)
}

fn is_full(metrics: &Value) -> bool {
    metrics["disk_percent"].as_f64().is_some_and(|percent| percent > 98.0)
}

/// An agent that goes on, in a machine.
fn start(machine: &Machine, endpoint: &Endpoint) -> Child {
    let mut agent = machine.agent();
    agent
        .args(["--interval", "1", "--url", &endpoint.url])
        .env("HEARTBEAT_API_KEY", "key-1")
        .env("STATE_DIRECTORY", &machine.folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    agent.spawn().unwrap()
}

/// Waits for a heartbeat that was measured after this moment.
fn next_heartbeat(endpoint: &Endpoint) -> Received {
    let before = endpoint.received().len();
    // The first one may have been measured before.
    wait_until("heartbeats", || endpoint.received().len() >= before + 2);
    endpoint.received().pop().unwrap()
}

#[test]
fn a_mount_point_may_be_any_bytes() {
    let point = "\"$(printf 'disk-\\377')\"";
    let Some(machine) = Machine::start("bytes", &ext4(point, "rw")) else {
        return;
    };
    let (metrics, said) = printed(&mut machine.agent());
    assert!(is_full(&metrics), "{metrics} {said}");
    assert_eq!(said, "");
    let mut chosen = machine.agent();
    let mut path = machine.folder.clone().into_os_string().into_encoded_bytes();
    path.extend(b"/disk-\xff");
    let (metrics, said) = printed(chosen.arg("--disk").arg(bytes(&path)));
    assert!(is_full(&metrics), "{metrics} {said}");
}

#[test]
fn an_interface_may_have_any_name() {
    let name = "ip link set lo name \"$(printf '\\377\\376')\"";
    let Some(machine) = Machine::start("interface", name) else {
        return;
    };
    let run = run(&mut machine.shell("exec \"$0\" --print"));
    assert_eq!(run.json()["metrics"]["network_rx_bytes"], 0, "{run:?}");
}

/// The agent as the packaged service runs it: as a user who owns nothing.
fn as_nobody(machine: &Machine, capabilities: &[&str]) -> Command {
    let mut agent = machine.command("setpriv");
    agent
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(capabilities)
        .arg(readable_by_all(machine));
    agent
}

/// A copy of the agent that everybody may run.
fn readable_by_all(machine: &Machine) -> String {
    machine.run("cp \"$0\" /mnt/agent");
    "/mnt/agent".to_owned()
}

const MAY_SEARCH: [&str; 4] =
    ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"];

#[test]
fn a_disk_below_a_private_folder_is_unknown_unless_the_agent_may_search_it() {
    let script = format!(
        "mount -t tmpfs tmpfs /mnt
        mkdir -m 750 /mnt/private
        {}",
        ext4("/mnt/private/disk", "rw")
    );
    let Some(machine) = Machine::start("private", &script) else {
        return;
    };
    let (metrics, said) = printed(&mut as_nobody(&machine, &[]));
    assert!(!is_full(&metrics), "{metrics}");
    let expected = "not read: disk /mnt/private/disk: Permission denied (os error 13)\n";
    assert_eq!(said, expected);
    let reading = run(as_nobody(&machine, &[]).arg("--print")).json();
    let unknown = json!({
        "name": "filesystem /mnt/private/disk",
        "status": "unknown",
        "status_reason": "Permission denied (os error 13)"
    });
    assert_eq!(reading["services"], json!([unknown]));
    assert!(entries(&reading, "/mnt/private/disk").is_empty());
    let (metrics, said) = printed(&mut as_nobody(&machine, &MAY_SEARCH));
    assert!(is_full(&metrics), "{metrics} {said}");
    assert_eq!(said, "");

    // What the agent may do, no program that it starts may do.
    let endpoint = Endpoint::start(vec![]);
    let mut agent = as_nobody(&machine, &MAY_SEARCH);
    agent
        .args(["--interval", "1", "--url", &endpoint.url])
        .env("HEARTBEAT_API_KEY", "key-1")
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    let child = agent.spawn().unwrap();
    wait_until("heartbeats", || endpoint.received().len() >= 2);
    let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let capabilities: Vec<(String, String)> = threads
        .map(|thread| {
            let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let value = |name| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().trim().to_owned()
            };
            (value("CapEff:"), value("CapAmb:"))
        })
        .collect();
    stop(child);
    let expected = ("0000000000000004".to_owned(), "0".repeat(16));
    assert!(capabilities.len() >= 2, "{capabilities:?}");
    assert!(capabilities.iter().all(|own| *own == expected), "{capabilities:?}");
}

fn entries(reading: &Value, name: &str) -> Vec<Value> {
    let entries = reading["filesystems"].as_array().unwrap().iter();
    let is_of = |entry: &&Value| entry["mount_point"].as_str().unwrap().ends_with(name);
    entries.filter(is_of).cloned().collect()
}

#[test]
fn each_file_system_is_listed_as_df_shows_it() {
    let Some(machine) = Machine::start("list", &ext4("disk", "rw")) else {
        return;
    };
    let reading = run(machine.agent().arg("--print")).json();
    let [entry] = &entries(&reading, "/disk")[..] else {
        panic!("{reading}");
    };
    let df = output_of(&machine, "df -B1 --output=source,fstype,size,used,avail disk | tail -1");
    let columns: Vec<_> = df.split_whitespace().collect();
    let number = |name: &str| entry[name].to_string();
    assert_eq!(entry["device"], columns[0]);
    assert_eq!(entry["fs_type"], columns[1]);
    assert_eq!(number("total_bytes"), columns[2]);
    assert_eq!(number("used_bytes"), columns[3]);
    assert_eq!(number("available_bytes"), columns[4]);
    assert!(is_full(&reading["metrics"]), "{reading}");
}

// The space is nearly empty, and no file can be made.
#[test]
fn inodes_that_are_fuller_than_the_space_are_listed_as_df_shows_them() {
    let script = "
        truncate -s 2M image
        mkfs.ext4 -q -N 128 image
        mkdir disk
        mount -o loop image disk
        number=0
        while touch disk/$number 2>/dev/null; do number=$((number + 1)); done";
    let Some(machine) = Machine::start("inodes", script) else {
        return;
    };
    let reading = run(machine.agent().arg("--print")).json();
    let inodes = &entries(&reading, "/disk (inodes)")[..];
    let df = output_of(&machine, "df --output=ipcent disk | tail -1");
    assert_eq!((inodes.len(), df.trim()), (1, "100%"), "{reading}");
    assert_eq!(inodes[0]["percent"], 100.0);
    assert!(inodes[0].get("used_bytes").is_none(), "they are not bytes");
    let space = entries(&reading, "/disk")[0]["percent"].as_f64().unwrap();
    assert!(space < 50.0, "{reading}");
    let fullest = reading["filesystems"].as_array().unwrap().iter();
    let fullest = fullest
        .filter(|entry| entry.get("used_bytes").is_some())
        .map(|entry| entry["percent"].as_f64().unwrap())
        .max_by(f64::total_cmp);
    assert_eq!(reading["metrics"]["disk_percent"].as_f64(), fullest, "of the space");
}

// Since Linux 6.12, ext4 that has shut itself down does not show `ro`.
#[test]
fn a_full_disk_that_the_kernel_shut_stays_in_the_list_and_has_failed() {
    let script = ext4("disk", "rw") + "\nmount -o remount,abort disk";
    let Some(machine) = Machine::start("shut", &script) else {
        return;
    };
    let point = machine.folder.join("disk").display().to_string();
    let mounts = output_of(&machine, "cat /proc/self/mountinfo");
    let (metrics, said) = printed(&mut machine.agent());
    if !mounts.contains("emergency_ro") {
        skip("needs a kernel that shows emergency_ro");
        return;
    }
    assert!(is_full(&metrics), "{metrics} {said}");
    let expected = format!("failed: file system {point}: it can no longer be written to\n");
    assert_eq!(said, expected);
}

fn output_of(machine: &Machine, script: &str) -> String {
    String::from_utf8(machine.shell(script).output().unwrap().stdout).unwrap()
}

/// Ends an agent, and returns what it said of failed file systems.
fn failures(child: Child) -> Vec<String> {
    let Run { stderr, .. } = stop(child);
    let lines = stderr.lines().filter(|line| line.starts_with("failed: "));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_disk_that_became_read_only_has_failed_also_for_an_agent_that_starts_later() {
    let Some(machine) = Machine::start("read-only", &ext4("disk", "rw")) else {
        return;
    };
    let endpoint = Endpoint::start(vec![]);
    let child = start(&machine, &endpoint);
    assert!(is_full(&next_heartbeat(&endpoint).body["metrics"]));
    assert_eq!(failures(child), Vec::<String>::new());

    machine.run("mount -o remount,ro disk");
    let child = start(&machine, &endpoint);
    let heartbeat = next_heartbeat(&endpoint);
    assert!(is_full(&heartbeat.body["metrics"]));
    assert_eq!(heartbeat.body["services"][0]["status"], "failed");
    let point = machine.folder.join("disk").display().to_string();
    let expected = format!("failed: file system {point}: it can no longer be written to");
    assert_eq!(failures(child), [expected]);

    // Without that knowledge, somebody may just have mounted it so.
    let (metrics, said) = printed(&mut machine.agent());
    assert!(!is_full(&metrics), "{metrics}");
    assert_eq!(said, "");
}

// Some keep their root read-only, and remount it for an update.
#[test]
fn a_disk_that_was_read_only_and_is_so_again_has_not_failed() {
    let script = ext4("disk", "rw") + "\nmount -o remount,ro disk";
    let Some(machine) = Machine::start("updated", &script) else {
        return;
    };
    let endpoint = Endpoint::start(vec![]);
    let child = start(&machine, &endpoint);
    assert!(!is_full(&next_heartbeat(&endpoint).body["metrics"]));
    machine.run("mount -o remount,rw disk");
    assert!(is_full(&next_heartbeat(&endpoint).body["metrics"]));
    machine.run("mount -o remount,ro disk");
    assert!(!is_full(&next_heartbeat(&endpoint).body["metrics"]));
    assert_eq!(failures(child), Vec::<String>::new());
}

#[test]
fn a_chosen_disk_that_is_unmounted_has_failed() {
    let Some(machine) = Machine::start("unmounted", &ext4("disk", "rw")) else {
        return;
    };
    let point = machine.folder.join("disk").display().to_string();
    let services =
        || run(machine.agent().args(["--print", "--disk", &point])).json()["services"].clone();
    assert_eq!(services(), Value::Null);
    machine.run("umount disk");
    let name = format!("filesystem {point}");
    let failed = json!({ "name": name, "status": "failed", "status_reason": "not mounted" });
    assert_eq!(services(), json!([failed]));
}

// Containers get files of their host's disk, such as /etc/hosts, and folders of it.
#[test]
fn a_file_that_is_mounted_is_no_disk() {
    let script = ext4("disk", "rw")
        + "\nrm disk/fill; echo > disk/file; mkdir disk/folder a-longer-name; echo > file
        mount --bind disk/file file
        mount --bind disk/folder a-longer-name
        umount disk";
    let Some(machine) = Machine::start("file", &script) else {
        return;
    };
    let reading = run(machine.agent().arg("--print")).json();
    assert_eq!(entries(&reading, "/file").len(), 0, "{reading}");
    assert_eq!(entries(&reading, "/a-longer-name").len(), 1, "{reading}");
}

#[test]
fn a_disk_that_counts_errors_has_failed() {
    let Some(machine) = Machine::start("errors", &ext4("disk", "rw,errors=continue")) else {
        return;
    };
    let endpoint = Endpoint::start(vec![]);
    let child = start(&machine, &endpoint);
    next_heartbeat(&endpoint);
    machine.run("device=$(basename \"$(findmnt -n -o SOURCE disk)\"); echo it > /sys/fs/ext4/$device/trigger_fs_error");
    assert!(is_full(&next_heartbeat(&endpoint).body["metrics"]));
    let point = machine.folder.join("disk").display().to_string();
    let expected = format!("failed: file system {point}: it has counted 1 errors");
    assert_eq!(failures(child), [expected]);
}
