//! Other machines: the way to them, what they are, and the scripts that run there.

pub mod ssh;

use crate::terminal::printable;
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use ssh::{Connection, Ended};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;
use tables::key::Prefix;
use tables::{ServerId, fingerprint};

/// The agent runs with this C library and newer ones: `crates/dev/release.py`.
const GLIBC: (u32, u32) = (2, 17);

const COMMON: &str = include_str!("remote/common.sh");
const LOOK: &str = include_str!("remote/look.sh");
const INSTALL: &str = include_str!("remote/install.sh");
const CLOUD_INIT: &str = include_str!("remote/cloud-init.sh");
const ENROLL: &str = include_str!("remote/enroll.sh");
const RETIRE: &str = include_str!("remote/retire.sh");

/// The units that are installed, by name. That of the agent names the package's program.
const UNITS: [(&str, &str); 6] = [
    ("heartbeat-agent.service", include_str!("../../agent/debian/heartbeat-agent.service")),
    ("heartbeat-check@.service", include_str!("../../agent/debian/heartbeat-check@.service")),
    ("heartbeat-check@.timer", include_str!("../../agent/debian/heartbeat-check@.timer")),
    ("heartbeat-folders.service", include_str!("../../agent/debian/heartbeat-folders.service")),
    ("heartbeat-updates.service", include_str!("../../agent/debian/heartbeat-updates.service")),
    ("heartbeat-updates.timer", include_str!("../../agent/debian/heartbeat-updates.timer")),
];
const PACKAGED_PROGRAM: &str = "/usr/bin/heartbeat-agent";

/// The unit needs `SystemCallFilter=@system-service`, which came with this version.
const SYSTEMD: u32 = 239;

/// The command that reads a script from standard input.
const SHELL: &str = "sh";

/// What a machine says about itself.
pub struct Machine {
    pub hostname: String,
    /// As releases name it.
    pub processor: Result<Processor, String>,
    pub is_root: bool,
    pub has_package: bool,
    pub agent: Agent,
}

/// The processors that the agent is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    Arm64,
    X86_64,
}

impl Processor {
    /// Its name in the files of a release.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// Its name in the target of a build.
    pub const fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }
}

/// Whether an agent is installed.
#[derive(Debug, PartialEq, Eq)]
pub enum Agent {
    None,
    /// Only root can read its id.
    WithHiddenId,
    With(String),
}

impl Machine {
    /// Looks at a machine, and changes nothing.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn look(connection: &Connection) -> anyhow::Result<Self> {
        let script = format!("{COMMON}\n{LOOK}");
        let said = connection.run(SHELL, script.as_bytes()).await?.output()?;
        Self::parse(&said)
    }

    fn parse(said: &str) -> anyhow::Result<Self> {
        let said: HashMap<&str, &str> =
            said.lines().filter_map(|line| line.split_once(' ')).collect();
        let value = |name| said.get(name).map_or("", |value| value.trim());
        let has = |name| said.contains_key(name);
        let processor = match value("processor") {
            "aarch64" | "arm64" => Ok(Processor::Arm64),
            "x86_64" | "amd64" => Ok(Processor::X86_64),
            other => Err(other.to_owned()),
        };
        let system = value("system");
        ensure!(system == "Linux", "it runs {system:?}, and the agent is enrolled on Linux only");
        ensure!(
            value("bits") == "64" || value("bits").is_empty() && processor.is_ok(),
            "it is a 32-bit system ({}), and the agent needs 64 bits",
            value("processor")
        );
        check_libc(value("libc"))?;
        ensure!(
            has("has_systemd"),
            "it has no systemd, which the agent needs as a service; see docs/agent.md"
        );
        let version = value("systemd");
        ensure!(
            version.parse().is_ok_and(|version: u32| version >= SYSTEMD),
            "its systemd is {version}, and the agent needs {SYSTEMD}"
        );
        ensure!(
            has("is_root") || has("has_sudo"),
            "the user is not root, and there is no sudo: pass --ssh root@…"
        );
        let agent = match (has("has_agent"), said.get("installed_id")) {
            (false, _) => Agent::None,
            (true, None) => Agent::WithHiddenId,
            (true, Some(id)) => Agent::With((*id).to_owned()),
        };
        Ok(Self {
            hostname: value("hostname").to_owned(),
            processor,
            is_root: has("is_root"),
            has_package: has("has_package"),
            agent,
        })
    }
}

fn check_libc(libc: &str) -> anyhow::Result<()> {
    ensure!(
        !libc.contains("musl"),
        "its C library is musl (Alpine?), and the agent is built for glibc: build it there, see docs/agent.md"
    );
    // `glibc 2.36` from getconf, or `ldd (GNU libc) 2.36` from ldd.
    let version = libc.rsplit(' ').next().unwrap_or_default();
    let (major, minor) = version.split_once('.').unwrap_or_default();
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) if (major, minor) >= GLIBC => Ok(()),
        (Ok(_), Ok(_)) => {
            bail!("its glibc is {version}, and the agent needs {}.{}", GLIBC.0, GLIBC.1)
        }
        _ => bail!("its C library is not glibc, which the agent is built for ({libc:?})"),
    }
}

/// What a script is told.
pub struct Order<'a> {
    pub server: &'a ServerId,
    pub url: &'a str,
    /// Whether the program and its units are to be installed.
    pub has_program: bool,
    /// Whether to stop unless an agent with this id is installed.
    pub must_be_installed: bool,
    /// How long the first heartbeat is waited for.
    pub wait: Duration,
}

/// What an instance of an autoscaling group is told when it starts for the first time.
pub struct UserData<'a> {
    pub prefix: &'a Prefix,
    pub secret: &'a str,
    pub url: &'a str,
    /// The URL of a folder with the archives of a release; empty if the image has the agent.
    pub from: &'a str,
    /// The SHA-256 digests of the programs in these archives, by processor.
    pub digests: &'a str,
}

impl UserData<'_> {
    /// A script that cloud-init runs as root.
    pub fn script(&self) -> String {
        let variables = [
            ("prefix", self.prefix.as_str().to_owned()),
            ("secret", self.secret.to_owned()),
            ("url", self.url.to_owned()),
            ("from", self.from.to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("digests", self.digests.to_owned()),
        ];
        let (assigned, units) = (assigned(&variables), units());
        format!("#!/bin/sh\n{COMMON}\n{assigned}\n{units}\n{INSTALL}\n{CLOUD_INIT}")
    }
}

/// A folder on a machine with what was copied to it.
pub struct Folder<'a> {
    connection: &'a Connection,
    is_root: bool,
    path: String,
    /// How much of what the script said has been shown, bytes.
    shown: usize,
}

impl<'a> Folder<'a> {
    /// Copies the script that enrolls.
    pub async fn for_enrollment(
        connection: &'a Connection,
        is_root: bool,
        order: &Order<'_>,
    ) -> anyhow::Result<Self> {
        let yes = |is_true| if is_true { "yes" } else { "" };
        let variables = [
            ("host", connection.host.to_string()),
            ("server", order.server.to_string()),
            ("url", order.url.to_owned()),
            ("install_program", yes(order.has_program).to_owned()),
            ("must_be_installed", yes(order.must_be_installed).to_owned()),
            ("wait", order.wait.as_secs().to_string()),
            ("unit_names", unit_names()),
        ];
        let script =
            format!("{COMMON}\n{}\n{}\n{INSTALL}\n{ENROLL}", assigned(&variables), units());
        Self::new(connection, is_root, &script).await
    }

    /// Copies the script that retires, which removes the folder.
    pub async fn for_retirement(
        connection: &'a Connection,
        is_root: bool,
        server: &ServerId,
    ) -> anyhow::Result<Self> {
        let variables = [
            ("host", connection.host.to_string()),
            ("server", server.to_string()),
            ("unit_names", unit_names()),
        ];
        let script = format!("{COMMON}\n{}\n{RETIRE}", assigned(&variables));
        Self::new(connection, is_root, &script).await
    }

    async fn new(connection: &'a Connection, is_root: bool, script: &str) -> anyhow::Result<Self> {
        // Only its owner can read the folder.
        let command = r#"sh -c 'folder=$(mktemp -d) && : > "$folder/said" && cat > "$folder/script.sh" && echo "$folder"'"#;
        let said = connection.run(command, script.as_bytes()).await?;
        let path = said.output().context("nothing can be copied")?.trim().to_owned();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
        ensure!(
            path.starts_with('/') && path.bytes().all(is_plain),
            "it makes folders such as {path:?}"
        );
        Ok(Self { connection, is_root, path, shown: 0 })
    }

    /// Copies a file, which only its owner can read. It is there as a whole or not at all.
    pub async fn copy(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let file = format!("{}/{name}", self.path);
        let command = format!("sh -c 'umask 077 && cat > {file}.part && mv {file}.part {file}'");
        let copied = self.connection.run(&command, content).await?;
        copied.output().with_context(|| format!("{name} cannot be copied"))?;
        Ok(())
    }

    /// Runs the script as root.
    pub async fn run(&self) -> anyhow::Result<Ended> {
        let script = format!("{}/script.sh", self.path);
        if self.is_root {
            self.connection.run(&format!("sh {script}"), b"").await
        } else {
            self.connection.run_on_terminal(&format!("sudo sh {script}")).await
        }
    }

    /// Waits until the script has come to this point, or to its end, and shows what it has done.
    pub async fn wait_for(&mut self, point: &str) -> anyhow::Result<Progress> {
        let said = format!("{}/said", self.path);
        let command = format!(
            "sh -c 'until grep -q -e ^@{point} -e ^@ended {said}; do sleep 0.2 2>/dev/null || sleep 1; done; cat {said}'"
        );
        let said = self.connection.run(&command, b"").await?.output()?;
        Ok(self.show(&said))
    }

    /// Shows what the script has done meanwhile.
    pub async fn look(&mut self) -> anyhow::Result<Progress> {
        let said = self.connection.run(&format!("cat {}/said", self.path), b"").await?.output()?;
        Ok(self.show(&said))
    }

    fn show(&mut self, said: &str) -> Progress {
        for line in said.get(self.shown..).unwrap_or_default().lines() {
            if !line.starts_with('@') {
                eprintln!("{}", printable(line));
            }
        }
        self.shown = said.len();
        let value = |name: &str| said.lines().rev().find_map(|line| line.strip_prefix(name));
        let identity = value("@identity ").and_then(|text| serde_json::from_str(text).ok());
        let status = value("@ended ");
        let has_failed = status.is_some_and(|status| status != "0");
        let failure = has_failed.then(|| {
            let last = || said.lines().rfind(|line| !line.starts_with(['@', '✓']));
            value("@failed ").or_else(last).unwrap_or("it failed").trim().to_owned()
        });
        Progress { identity, has_ended: status.is_some(), failure }
    }

    /// Removes it.
    pub async fn remove(&self) {
        let _ = self.connection.run(&format!("rm -rf {}", self.path), b"").await;
    }
}

/// How far the script that enrolls has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// What the program that is installed says of the machine.
    pub identity: Option<Value>,
    pub has_ended: bool,
    /// Why it failed.
    pub failure: Option<String>,
}

impl Progress {
    /// The fingerprint of the heartbeats that the program sends (C5.13).
    ///
    /// # Errors
    /// If the script has failed.
    pub fn sender(self) -> anyhow::Result<String> {
        if let Some(failure) = self.failure {
            bail!(failure);
        }
        let text = |name: &str| self.identity.as_ref().and_then(|identity| identity[name].as_str());
        let [hostname, guid, boot_id] =
            ["hostname", "server_guid", "boot_id"].map(|name| text(name).unwrap_or_default());
        Ok(fingerprint(hostname, guid, boot_id))
    }
}

fn assigned(variables: &[(&str, String)]) -> String {
    let assignments = variables.iter().map(|(name, value)| {
        let value = value.replace('\'', r"'\''");
        format!("{name}='{value}'\n")
    });
    assignments.collect()
}

fn unit_names() -> String {
    UNITS.map(|(name, _)| name).join(" ")
}

/// The function of the script that writes the units, with the program where it was put.
fn units() -> String {
    let mut function = "write_units() {\n".to_owned();
    for (name, unit) in UNITS {
        let _ = write!(
            function,
            "sed \"s#{PACKAGED_PROGRAM}#$program#\" <<'END-OF-UNIT' | replace \"$units/{name}\" 644\n{unit}END-OF-UNIT\n"
        );
    }
    function + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "hostname web-1\nsystem Linux\nprocessor x86_64\nbits 64\nlibc glibc 2.36\nhas_systemd yes\nsystemd 239\nis_root yes\n";

    #[test]
    fn what_does_not_work_is_said() {
        let machine = Machine::parse(DEBIAN).expect("a machine");
        assert_eq!(
            (machine.hostname.as_str(), machine.processor),
            ("web-1", Ok(Processor::X86_64))
        );
        assert_eq!(machine.agent, Agent::None);
        for (line, other, reason) in [
            ("system Linux", "system Darwin", "it runs \"Darwin\""),
            ("bits 64", "bits 32", "it is a 32-bit system"),
            ("glibc 2.36", "musl libc (x86_64)", "musl"),
            ("glibc 2.36", "glibc 2.12", "needs 2.17"),
            ("glibc 2.36", "", "not glibc"),
            ("has_systemd yes", "", "no systemd"),
            ("systemd 239", "systemd 238", "needs 239"),
            ("systemd 239", "", "needs 239"),
            ("is_root yes", "", "no sudo"),
        ] {
            let machine = Machine::parse(&DEBIAN.replace(line, other));
            let said = machine.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.contains(reason), "{other}: {said}");
        }
        for other in ["ldd (Debian GLIBC 2.36-9+deb12u1) 2.36", "ldd (GNU libc) 2.17"] {
            assert!(Machine::parse(&DEBIAN.replace("glibc 2.36", other)).is_ok(), "{other}");
        }
        let hidden = Machine::parse(&format!("{DEBIAN}has_agent yes\n")).expect("a machine");
        assert_eq!(hidden.agent, Agent::WithHiddenId);
    }
}
