//! Machines that ssh reaches: a fake `ssh` runs each command in a root of its own, with a fake `systemctl`.

use crate::support::{Place, stored, text};
use aws_sdk_dynamodb::types::AttributeValue;
use dev::command::{Run, skip};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SSH: &str = include_str!("fake-ssh.sh");

/// Notes what it is told to change, and what every process was told at that time.
const SYSTEMCTL: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
cat /proc/*/cmdline 2>/dev/null | tr '\0' ' ' >> /run/processes.log
case $* in
    --version) echo 'systemd 252 (252.39)' ;;
    'stop heartbeatctl-enroll')
        if kill "$(cat /run/enroll.pid)" 2>/dev/null; then
            while kill -0 "$(cat /run/enroll.pid)" 2>/dev/null; do sleep 0.1; done
        fi ;;
    list-units* | show* | status* | *is-active* | *is-enabled*) ;;
    *) echo "$*" >> /run/systemctl.log ;;
esac
fake() {
    :
    # FAKE
}
fake "$@"
[ "$1" != restart ] || cp /etc/heartbeat/agent.env /run/started
"#;

/// Runs a command with the settings of a file and waits for it, or starts a script that goes on by itself.
const SYSTEMD_RUN: &str = r#"
settings=/dev/null
waits=
while [ "${1#--}" != "$1" ]; do
    case $1 in
        --property=EnvironmentFile=-*) [ ! -e "${1#*=-}" ] || settings=${1#*=-} ;;
        --wait) waits=yes ;;
    esac
    shift
done
if [ -n "$waits" ]; then
    set -a
    . "$settings"
    eval "exec $*"
fi
setsid "$@" </dev/null >/dev/null 2>&1 &
echo $! > /run/enroll.pid"#;

const AGENT: &str = r#"#!/bin/sh
echo heartbeat-agent 0.1.0
echo "  \"server_id\": \"$HEARTBEAT_SERVER_ID\","
"#;

/// A folder with machines, and the fake `ssh`.
pub struct Machines(PathBuf);

impl Machines {
    /// Makes machines with these names. Where namespaces are not allowed, the test is skipped, and says so.
    pub fn new(names: &[&str]) -> Option<Self> {
        let mut unshare = Command::new("unshare");
        let unshare = unshare.args(["--map-root-user", "--mount", "true"]).stderr(Stdio::null());
        if !unshare.status().is_ok_and(|status| status.success()) {
            skip("needs user namespaces");
            return None;
        }
        static CREATED: AtomicU64 = AtomicU64::new(0);
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let folder = format!("machines-{}-{number}", std::process::id());
        let machines = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder));
        let bin = machines.0.join("bin");
        fs::create_dir_all(&bin).unwrap();
        program(&bin.join("ssh"), SSH);
        machines.set("calls", 0);
        machines.set("BREAK_BEFORE", 0);
        machines.set("BREAK_AFTER", 0);
        for name in names {
            let machine = Machine(machines.0.join("machines").join(name));
            for folder in ["usr/local/bin", "etc/systemd/system", "opt", "run", "tmp", "var/lib"] {
                fs::create_dir_all(machine.0.join(folder)).unwrap();
            }
            machine.restore();
        }
        Some(machines)
    }

    /// Sets one of the numbers that the fake `ssh` reads.
    pub fn set(&self, name: &str, value: usize) {
        if name != "calls" {
            fs::write(self.0.join("calls"), "0").unwrap();
        }
        fs::write(self.0.join(name), value.to_string()).unwrap();
    }

    /// How often the fake `ssh` was called.
    pub fn calls(&self) -> usize {
        let calls = fs::read_to_string(self.0.join("calls")).unwrap();
        calls.trim().parse().unwrap_or(0)
    }

    pub fn get(&self, name: &str) -> Machine {
        Machine(self.0.join("machines").join(name))
    }

    /// A folder with the archives of a release.
    pub fn release(&self) -> String {
        let folder = self.0.join("release");
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            program(&folder.join("heartbeat-agent"), AGENT);
            for processor in ["arm64", "x86_64"] {
                let archive =
                    folder.join(format!("heartbeat-agent-0.1.0-linux-{processor}.tar.gz"));
                let mut tar = Command::new("tar");
                tar.arg("-C").arg(&folder).arg("-czf").arg(archive).arg("heartbeat-agent");
                assert!(tar.status().unwrap().success());
            }
        }
        folder.to_str().unwrap().to_owned()
    }

    /// The tool, with the fake `ssh`.
    pub fn tool(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut tool = place.tool();
        let path = format!("{}:/usr/bin:/bin", self.0.join("bin").display());
        tool.args(arguments).env("PATH", path).env("MACHINES", &self.0);
        tool
    }

    /// Runs the tool, while every agent that has been started sends heartbeats.
    pub async fn heard(&self, place: &Place, mut tool: Command) -> Run {
        let child = tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ended =
            tokio::task::spawn_blocking(move || Run::from(child.wait_with_output().unwrap()));
        while !ended.is_finished() {
            for machine in fs::read_dir(self.0.join("machines")).into_iter().flatten() {
                let started = machine.unwrap().path().join("run/started");
                let Ok(settings) = fs::read_to_string(&started) else {
                    continue;
                };
                let Some((_, server)) = settings.trim().rsplit_once("HEARTBEAT_SERVER_ID=") else {
                    continue;
                };
                self.send(place, server).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ended.await.unwrap()
    }

    async fn send(&self, place: &Place, server: &str) {
        let reading = [("cpu_percent", AttributeValue::N("23.5".to_owned()))];
        let reading = reading.map(|(name, value)| (name.to_owned(), value));
        let uname = Command::new("uname").arg("-n").output().unwrap();
        let hostname = String::from_utf8(uname.stdout).unwrap();
        let attributes = [
            ("server_id", text(server)),
            ("hostname", text(hostname.trim())),
            ("status", text("online")),
            ("last_seen", text(&stored(0))),
            ("reading", AttributeValue::M(reading.into())),
        ];
        place.put(&place.servers, attributes).await;
    }

    /// The command lines of the fake `ssh`.
    pub fn commands(&self) -> Vec<String> {
        lines(&self.0.join("ssh.log"))
    }

    /// All files, logs included, that hold this.
    pub fn files_with(&self, secret: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(secret) {
                    found.push(path);
                }
            }
        }
        found
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The root of a machine.
pub struct Machine(PathBuf);

impl Machine {
    pub fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    pub fn content(&self, path: &str) -> String {
        fs::read_to_string(self.join(path)).unwrap()
    }

    pub fn write(&self, path: &str, content: &str) {
        fs::write(self.join(path), content).unwrap();
    }

    /// The names in a folder, or none if it does not exist.
    pub fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.join(path)).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What `systemctl` was told.
    pub fn systemctl(&self) -> Vec<String> {
        lines(&self.join("run/systemctl.log"))
    }

    /// Replaces a program by a line of shell; that of `systemctl` is run besides what it notes.
    pub fn program(&self, name: &str, line: &str) {
        let script = match name {
            "systemctl" => SYSTEMCTL.replace("# FAKE", line),
            _ => format!("#!/bin/sh\n{line}\n"),
        };
        program(&self.join("usr/local/bin").join(name), &script);
    }

    /// Leaves only the usual programs.
    pub fn restore(&self) {
        for name in self.list("usr/local/bin") {
            if name != "heartbeat-agent" {
                fs::remove_file(self.join("usr/local/bin").join(name)).unwrap();
            }
        }
        self.program("systemctl", ":");
        self.program("systemd-run", SYSTEMD_RUN);
        self.program(
            "id",
            "[ \"$*\" != '-u heartbeat-agent' ] || set -- -u; exec /usr/bin/id \"$@\"",
        );
        self.program("chown", ":");
        self.program("getconf", "case $1 in LONG_BIT) echo 64;; *) echo glibc 2.36;; esac");
    }
}

fn program(path: &Path, script: &str) {
    // A program that is being run cannot be written to.
    let _ = fs::remove_file(path);
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
