//! A machine of its own: namespaces in which mounts, interfaces and the files of `/proc` are those of a test. All of it is
//! gone when the machine is dropped.

use dev::command::{has, skip};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub struct Machine {
    /// Holds the namespaces.
    holder: Child,
    /// A folder of its own, in every namespace.
    pub folder: PathBuf,
}

impl Machine {
    /// Sets up a machine with a script, in its folder. If it cannot be had here, the test is skipped, and says so.
    pub fn start(name: &str, script: &str) -> Option<Self> {
        // A container's root may not.
        let mut unshare = Command::new("unshare");
        let unshare = unshare.args(["--mount", "--net", "true"]).stderr(Stdio::null());
        if !unshare.status().unwrap().success() {
            skip("needs root, for namespaces and mounts");
            return None;
        }
        let used = ["mkfs.ext4", "ip link"].iter().filter(|command| script.contains(*command));
        if !used.map(|command| command.split(' ').next().unwrap()).all(has) {
            return None;
        }
        let folder = PathBuf::from(format!("{}/{name}", env!("CARGO_TARGET_TMPDIR")));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let script = format!("set -e\n{script}\necho ready\nexec sleep infinity");
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--uts", "sh", "-c", &script])
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(holder.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{name}: its script has failed");
        Some(Self { holder, folder })
    }

    /// A program in its namespace of mounts, with the network of the test.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let id = self.holder.id().to_string();
        command.args(["--target", &id, "--mount", "--"]).arg(program);
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// Runs a script in its folder, with its network, too.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        let id = self.holder.id().to_string();
        command.args(["--target", &id, "--mount", "--net", "--"]);
        let script = format!("cd '{}'\n{script}", self.folder.display());
        command.args(["sh", "-ec", &script, env!("CARGO_BIN_EXE_heartbeat-agent")]);
        command.stdin(Stdio::null());
        command
    }

    /// A script in its namespaces of mounts and names, with the network of the test. `$0` is the agent.
    pub fn in_all(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        let id = self.holder.id().to_string();
        command.args(["--target", &id, "--mount", "--uts", "--", "sh", "-ec"]);
        command.args([&format!("exec {script}"), env!("CARGO_BIN_EXE_heartbeat-agent")]);
        command.stdin(Stdio::null());
        command
    }

    /// The process whose namespaces these are.
    pub fn id(&self) -> u32 {
        self.holder.id()
    }

    /// Runs a script that must succeed.
    pub fn run(&self, script: &str) {
        assert!(self.shell(script).status().unwrap().success(), "{script}");
    }

    pub fn agent(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_heartbeat-agent"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A script that makes a small ext4 and mounts it here, with these options; `fill` fills it, and cannot.
pub fn ext4(point: &str, options: &str) -> String {
    let image = point.replace(['/', '$', '(', ')', '\\', '"', ' '], "-");
    format!(
        "truncate -s 2M image{image}
        mkfs.ext4 -q -m 0 image{image}
        mkdir -p {point}
        mount -o loop,{options} image{image} {point}
        dd if=/dev/zero of={point}/fill 2>/dev/null || :
        sync -f {point}"
    )
}

/// Bytes as a path or an argument.
pub fn bytes(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}
