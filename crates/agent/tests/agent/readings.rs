//! Readings agree with the tools that people trust, and a value that was not read is not sent.

use crate::support::{agent, output};
use dev::command::{Run, has, run, skip, stop};
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What `--print` shows.
fn printed(arguments: &[&str]) -> (Value, String) {
    let run = run(agent().arg("--print").args(arguments));
    (run.json(), run.stderr)
}

fn near(read: &Value, expected: f64, tolerance: f64, what: &str) {
    let read = read.as_f64().unwrap_or_else(|| panic!("{what} is missing"));
    let difference = (read - expected).abs();
    assert!(difference <= tolerance, "{what}: {read} instead of {expected}");
}

/// The numbers in the line of a table that ends with this.
fn numbers(table: &str, last: &str) -> Vec<f64> {
    let mut lines = table.lines();
    let line = lines.find(|line| line.split_whitespace().next_back() == Some(last)).unwrap();
    let words = line.split_whitespace();
    words.filter_map(|word| word.trim_end_matches('%').parse().ok()).collect()
}

/// `df -P` rounds the percentage up; sizes are those of the same moment, give or take what other programs write.
#[test]
fn a_disk_agrees_with_df() {
    let (reading, problems) = printed(&["--disk", "/"]);
    assert_eq!(problems, "");
    let [total, used, _, percent] = numbers(&output("df", &["-P", "/"]), "/")[..] else {
        panic!("df -P");
    };
    let metrics = &reading["metrics"];
    near(&metrics["disk_percent"], percent - 0.5, 1.0, "disk_percent");
    near(&metrics["disk_total_gb"], total / 1048576.0, 0.01, "disk_total_gb");
    near(&metrics["disk_used_gb"], used / 1048576.0, 0.5, "disk_used_gb");
}

/// Memory within 2 % of the total, because other programs go on.
#[test]
fn memory_load_and_uptime_agree_with_the_machines_tools() {
    let (reading, _) = printed(&[]);
    let metrics = &reading["metrics"];
    if has("free") {
        let free = output("free", &["-b"]);
        let line = free.lines().find(|line| line.starts_with("Mem:")).unwrap();
        let columns: Vec<f64> =
            line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
        let (total, available) = (columns[0], columns[5]);
        near(&metrics["memory_total_mb"], total / 1048576.0, 1.0, "memory_total_mb");
        let used = (total - available) / 1048576.0;
        near(&metrics["memory_used_mb"], used, total / 1048576.0 / 50.0, "memory_used_mb");
        near(&metrics["memory_percent"], 100.0 - available / total * 100.0, 2.0, "memory_percent");
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let load: Vec<f64> = load.split(' ').take(3).map(|word| word.parse().unwrap()).collect();
    for (name, expected) in ["load_1m", "load_5m", "load_15m"].into_iter().zip(load) {
        near(&metrics[name], expected, 0.5, name);
    }
    if has("uptime") {
        let since = output("uptime", &["-s"]);
        let now = output("date", &["+%s"]).trim().parse::<f64>().unwrap();
        let started = output("date", &["-d", since.trim(), "+%s"]).trim().parse::<f64>().unwrap();
        near(&metrics["uptime_seconds"], now - started, 3.0, "uptime_seconds");
    }
    let kernel = output("uname", &["-r"]);
    assert_eq!(reading["os_info"]["kernel"], kernel.trim());
    assert_eq!(reading["hostname"], output("uname", &["-n"]).trim());
}

/// The counters of `/proc/net/dev` before and after the reading enclose it.
#[test]
fn network_counters_are_those_of_the_kernel() {
    let sums = || {
        let table = fs::read_to_string("/proc/net/dev").unwrap();
        let interfaces: Vec<_> = table.lines().filter_map(|line| line.split_once(':')).collect();
        let is_physical =
            |name: &str| fs::exists(format!("/sys/class/net/{}/device", name.trim())).unwrap();
        let has_physical = interfaces.iter().any(|(name, _)| is_physical(name));
        let counted = interfaces
            .iter()
            .filter(|(name, _)| if has_physical { is_physical(name) } else { name.trim() != "lo" });
        counted.fold((0, 0), |(received, sent), (_, counters)| {
            let counters: Vec<u64> =
                counters.split_whitespace().map(|word| word.parse().unwrap()).collect();
            (received + counters[0], sent + counters[8])
        })
    };
    let before = sums();
    let (reading, problems) = printed(&[]);
    let after = sums();
    if problems.contains("network") {
        assert_eq!(before, (0, 0), "{problems}");
        return;
    }
    let read = |name: &str| reading["metrics"][name].as_u64().unwrap();
    assert!((before.0..=after.0).contains(&read("network_rx_bytes")));
    assert!((before.1..=after.1).contains(&read("network_tx_bytes")));
}

/// One processor that works all the time is at least half of its share of all of them.
#[test]
fn a_busy_processor_is_seen() {
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let (reading, _) = printed(&[]);
    busy.kill().unwrap();
    busy.wait().unwrap();
    let processors = std::thread::available_parallelism().unwrap().get() as f64;
    let percent = reading["metrics"]["cpu_percent"].as_f64().unwrap();
    assert!((50.0 / processors..=100.0).contains(&percent), "{percent}");
}

/// Whether this process may change what a child sees of the machine.
fn may_unshare() -> bool {
    has("unshare")
        && Command::new("unshare")
            .args(["--mount", "true"])
            .status()
            .is_ok_and(|status| status.success())
}

/// Runs the agent where this file is empty, as in some containers.
fn without(file: &str) -> Run {
    let script = format!("mount --bind /dev/null {file} && exec \"$0\" --print");
    run(Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(env!("CARGO_BIN_EXE_heartbeat-agent")))
}

#[test]
fn what_cannot_be_read_is_absent_and_said() {
    if !may_unshare() {
        return;
    }
    for (file, absent) in [
        ("/proc/loadavg", &["load_1m", "load_5m", "load_15m"][..]),
        ("/proc/meminfo", &["memory_percent", "memory_total_mb", "memory_used_mb"]),
        ("/proc/stat", &["cpu_percent"]),
        ("/proc/uptime", &["uptime_seconds"]),
    ] {
        let run = without(file);
        let metrics = run.json()["metrics"].as_object().unwrap().clone();
        for name in absent {
            assert!(!metrics.contains_key(*name), "{file}: {run:?}");
        }
        assert!(metrics.len() >= 5, "{file}: the others are there: {run:?}");
        let lines: Vec<_> = run.stderr.lines().collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with("not read: ") && lines[0].contains(file),
            "{run:?}"
        );
    }
}

#[test]
fn a_disk_that_is_not_there_is_said() {
    let (reading, problems) = printed(&["--disk", "/nowhere"]);
    assert!(reading["metrics"].get("disk_percent").is_none());
    let failed = json!([{ "name": "filesystem /nowhere", "status": "failed", "status_reason": "not mounted" }]);
    assert_eq!(reading["services"], failed);
    assert_eq!(problems, "failed: file system /nowhere: not mounted\n");
}

/// A FUSE mount, until this is dropped.
struct FuseMount {
    server: Child,
    point: String,
}

impl FuseMount {
    fn start(name: &str) -> Option<Self> {
        if !has("bindfs") {
            return None;
        }
        if !fs::exists("/dev/fuse").unwrap() {
            skip("needs /dev/fuse");
            return None;
        }
        let point = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(&point).unwrap();
        let server = Command::new("bindfs").args(["-f", "/etc", &point]).spawn().unwrap();
        let mount = Self { server, point };
        let is_mounted = || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            mounts.contains(&format!("/{} ", name.replace(' ', "\\040")))
        };
        dev::command::wait_until("the mount", is_mounted);
        Some(mount)
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -s {signal} {}", self.server.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for FuseMount {
    fn drop(&mut self) {
        self.signal("CONT");
        let _ = Command::new("umount").arg(&self.point).status();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

// Excluded, it is not asked at all; named, it is given up.
#[test]
fn a_hung_mount_delays_no_heartbeat() {
    let Some(mount) = FuseMount::start("hung mount") else {
        return;
    };
    // It is asked after the one that hangs.
    let Some(other) = FuseMount::start("hung mount, and another") else {
        return;
    };
    mount.signal("STOP");
    let hung = mount.point.as_str();
    for (arguments, has_disk) in [
        (&[][..], true),
        (&["--disk", hung], false),
        (&["--disk", hung, "--disk", "/"], true),
        (&["--disk", hung, "--disk", &other.point], true),
    ] {
        let started = Instant::now();
        let (reading, problems) = printed(arguments);
        let time = started.elapsed();
        // It hangs for ever. Mounts may take a second, and systemctl two.
        assert!(time < Duration::from_secs(8), "{arguments:?}: {time:?}");
        let is_read = reading["metrics"].get("disk_percent").is_some();
        assert_eq!(is_read, has_disk, "{arguments:?}");
        assert!(reading["metrics"].get("memory_percent").is_some());
        let expected = format!("not read: disk {hung}: it does not answer\n");
        let expected = if arguments.is_empty() { "" } else { &expected };
        assert_eq!(problems, expected, "{arguments:?}");
    }

    // Heartbeat after heartbeat: one warning, and one thread that waits.
    let endpoint = crate::support::Endpoint::start(vec![]);
    let mut agent = endpoint.agent();
    agent.args(["--interval", "2", "--disk", hung]).stderr(Stdio::piped());
    let child = agent.spawn().unwrap();
    dev::command::wait_until("heartbeats", || endpoint.received().len() >= 3);
    let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
    let ended = stop(child);
    assert_eq!(ended.stderr.matches("does not answer").count(), 1, "{ended:?}");
    // The agent itself, the one that waits for signals, and the one that waits for the mount.
    assert!(threads <= 3, "{threads} threads");
    for heartbeat in endpoint.received() {
        assert!(heartbeat.body["metrics"].get("disk_percent").is_none());
    }
}
