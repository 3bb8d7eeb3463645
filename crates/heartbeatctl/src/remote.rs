//! Other machines: the way to them, what they are, and the scripts that run there.

pub mod ssh;

use anyhow::{Context, bail, ensure};
use ssh::{Connection, Ended};
use std::collections::HashMap;
use std::fmt::Write;
use tables::ServerId;

/// The agent runs with this C library and newer ones: `crates/dev/release.py`.
const GLIBC: (u32, u32) = (2, 17);

const COMMON: &str = include_str!("remote/common.sh");
const LOOK: &str = include_str!("remote/look.sh");
const ENROLL: &str = include_str!("remote/enroll.sh");
const RETIRE: &str = include_str!("remote/retire.sh");

/// The units that are installed, by name. That of the agent names the package's program.
const UNITS: [(&str, &str); 3] = [
    ("heartbeat-agent.service", include_str!("../../agent/debian/heartbeat-agent.service")),
    ("heartbeat-check@.service", include_str!("../../agent/debian/heartbeat-check@.service")),
    ("heartbeat-check@.timer", include_str!("../../agent/debian/heartbeat-check@.timer")),
];
const PACKAGED_PROGRAM: &str = "/usr/bin/heartbeat-agent";
const LOCAL_PROGRAM: &str = "/usr/local/bin/heartbeat-agent";

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
}

/// A folder on a machine with what was copied to it. A script removes it when it is done.
pub struct Folder<'a> {
    connection: &'a Connection,
    is_root: bool,
    path: String,
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
        ];
        let script = format!("{COMMON}\n{}\n{}\n{ENROLL}", assigned(&variables), units());
        Self::new(connection, is_root, &script).await
    }

    /// Copies the script that retires.
    pub async fn for_retirement(
        connection: &'a Connection,
        is_root: bool,
        server: &ServerId,
    ) -> anyhow::Result<Self> {
        let variables = [("host", connection.host.to_string()), ("server", server.to_string())];
        let script = format!("{COMMON}\n{}\n{RETIRE}", assigned(&variables));
        Self::new(connection, is_root, &script).await
    }

    async fn new(connection: &'a Connection, is_root: bool, script: &str) -> anyhow::Result<Self> {
        // Only its owner can read the folder.
        let command =
            r#"sh -c 'folder=$(mktemp -d) && cat > "$folder/script.sh" && echo "$folder"'"#;
        let said = connection.run(command, script.as_bytes()).await?;
        let path = said.output().context("nothing can be copied")?.trim().to_owned();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
        ensure!(
            path.starts_with('/') && path.bytes().all(is_plain),
            "it makes folders such as {path:?}"
        );
        Ok(Self { connection, is_root, path })
    }

    /// Copies a file, which only its owner can read.
    pub async fn copy(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let command = format!("sh -c 'umask 077 && cat > {}/{name}'", self.path);
        let copied = self.connection.run(&command, content).await?;
        copied.output().with_context(|| format!("{name} cannot be copied"))?;
        Ok(())
    }

    /// Runs steps of the script as root, with this on its standard input unless a password may be asked for.
    pub async fn run(&self, steps: &str, input: &[u8]) -> anyhow::Result<Ended> {
        let script = format!("{}/script.sh {steps}", self.path);
        if self.is_root {
            self.connection.run(&format!("sh {script}"), input).await
        } else {
            self.connection.run_on_terminal(&format!("sudo sh {script}")).await
        }
    }

    /// Removes it, after a step that has not.
    pub async fn remove(&self) {
        let _ = self.connection.run(&format!("rm -rf {}", self.path), b"").await;
    }
}

fn assigned(variables: &[(&str, String)]) -> String {
    let assignments = variables.iter().map(|(name, value)| {
        let value = value.replace('\'', r"'\''");
        format!("{name}='{value}'\n")
    });
    assignments.collect()
}

/// The function of the script that writes the units.
fn units() -> String {
    let mut function = "write_units() {\n".to_owned();
    for (name, unit) in UNITS {
        let unit = unit.replace(PACKAGED_PROGRAM, LOCAL_PROGRAM);
        let _ =
            write!(function, "replace \"$units/{name}\" 644 <<'END-OF-UNIT'\n{unit}END-OF-UNIT\n");
    }
    function + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "hostname web-1\nsystem Linux\nprocessor x86_64\nbits 64\nlibc glibc 2.36\nhas_systemd yes\nis_root yes\n";

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

    #[test]
    fn the_units_start_the_program_that_is_installed() {
        let written = units();
        assert!(written.contains(&format!("ExecStart={LOCAL_PROGRAM}")), "{written}");
        assert!(!written.contains(PACKAGED_PROGRAM), "{written}");
    }
}
