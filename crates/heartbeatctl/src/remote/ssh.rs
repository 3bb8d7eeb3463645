//! Commands on another machine, through the user's own ssh with the user's own configuration.
//!
//! All commands for a machine share one connection, so that ssh asks for a password or a touch only once.

use anyhow::{Context, anyhow, ensure};
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;
use std::{env, fmt, io, process};
use tables::ServerId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a command may take. Somebody may have to find a password or a token first.
const STEP: Duration = Duration::from_secs(300);

/// How much of what a machine says is kept, bytes.
const KEPT: usize = 64 * 1024;

/// How long the path of a socket may be, and what comes behind the folder for temporary files: the names here, and what ssh
/// adds while it makes the socket.
const SOCKET_PATH: usize = 103;
const NAMES: usize = "/hb-00000000/s".len() + ".0123456789abcdef".len();

/// How ssh ends if the connection failed, rather than the command.
const CONNECTION_FAILED: i32 = 255;

/// A machine as ssh takes it: `[user@]host` or `ssh://[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('-') {
            return Err("a host that starts with a dash would be an option of ssh");
        }
        if text.is_empty()
            || text.contains(|character: char| character.is_whitespace() || character.is_control())
        {
            return Err("a host has no white space, and is not empty");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Host {
    /// The id that its name gives; none if it is an address.
    pub fn server_id(&self) -> Option<ServerId> {
        let authority = self.0.strip_prefix("ssh://").map(|url| {
            let authority = url.trim_end_matches('/');
            let port = authority.rsplit_once(':');
            port.filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
                .map_or(authority, |(host, _)| host)
        });
        let authority = authority.unwrap_or(&self.0);
        let name = authority.rsplit_once('@').map_or(authority, |(_, name)| name);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let is_address = address.parse::<std::net::IpAddr>().is_ok();
        (!is_address).then(|| ServerId::from_hostname(name))
    }
}

/// How a command ended.
pub struct Ended {
    status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Whether it is unknown what the command did.
    pub fn is_lost(&self) -> bool {
        self.status.code().is_none_or(|code| code == CONNECTION_FAILED)
    }

    /// Its output.
    ///
    /// # Errors
    /// If it failed, with what it said.
    pub fn output(self) -> anyhow::Result<String> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        let said = self.stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let said = said.map_or_else(|| self.status.to_string(), str::to_owned);
        if self.is_lost() {
            Err(anyhow!("ssh cannot connect: {said}"))
        } else {
            Err(anyhow!("{said}"))
        }
    }
}

/// A connection to a machine, which is made with the first command.
pub struct Connection {
    pub host: Host,
    /// Of the socket that the commands share. Nobody else can open it.
    folder: PathBuf,
}

impl Connection {
    pub fn new(host: Host) -> anyhow::Result<Self> {
        // `TMPDIR` of a Mac has 49 characters already.
        let temporary = env::temp_dir();
        let has_room = temporary.as_os_str().len() + NAMES <= SOCKET_PATH;
        let temporary = if has_room { temporary } else { PathBuf::from("/tmp") };
        let folder = temporary.join(format!("hb-{:08x}", nonce()?));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("{} cannot be created", folder.display()))?;
        Ok(Self { host, folder })
    }

    /// Runs a command, with this on its standard input.
    pub async fn run(&self, command: &str, input: &[u8]) -> anyhow::Result<Ended> {
        // What a login prints by itself, as a `.bashrc` may, comes before this line.
        let mark = format!("heartbeatctl-{:x}", nonce()?);
        let mut ssh = self.ssh(&[], &format!("echo {mark}; {command}"));
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = ssh.spawn().context("ssh cannot be started")?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async move {
            if let Some(mut stdin) = stdin {
                // A command that ends early says why by itself.
                let _ = stdin.write_all(input).await;
                let _ = stdin.shutdown().await;
            }
        };
        let all = async { tokio::join!(write, end_of(stdout), end_of(stderr), child.wait()) };
        let ((), stdout, stderr, status) = timeout(STEP, all)
            .await
            .map_err(|_| anyhow!("it does not answer within {} minutes", STEP.as_secs() / 60))?;
        let mark = format!("{mark}\n");
        let stdout = stdout.split_once(&mark).map_or(String::new(), |(_, said)| said.to_owned());
        Ok(Ended { status: status?, stdout, stderr })
    }

    /// Runs a command on the user's terminal, so that it can ask for a password.
    pub async fn run_on_terminal(&self, command: &str) -> anyhow::Result<Ended> {
        let mut ssh = self.ssh(&["-t"], command);
        ssh.stdout(io::stderr());
        let status = timeout(STEP, ssh.status()).await;
        let status = status.context("it does not end")?.context("ssh cannot be started")?;
        Ok(Ended {
            status,
            stdout: String::new(),
            stderr: format!("it failed on {}; what it said is above", self.host),
        })
    }

    fn ssh(&self, options: &[&str], command: &str) -> Command {
        let mut path = OsString::from("ControlPath=");
        path.push(self.folder.join("s"));
        let mut ssh = Command::new("ssh");
        ssh.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=300", "-o"])
            .arg(path)
            .args(options)
            .args(["--", &self.host.0, command])
            .kill_on_drop(true);
        ssh
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut path = OsString::from("ControlPath=");
        path.push(self.folder.join("s"));
        if self.folder.join("s").exists() {
            let mut ssh = process::Command::new("ssh");
            ssh.arg("-o").arg(path).args(["-O", "exit", "--", &self.host.0]);
            ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let _ = ssh.status();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The last 64 KiB of what a machine says, however much it is.
async fn end_of(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut end = Vec::new();
    let mut part = [0; 8192];
    let Some(mut stream) = stream else {
        return String::new();
    };
    while let Ok(length @ 1..) = stream.read(&mut part).await {
        end.extend_from_slice(&part[..length]);
        end.drain(..end.len().saturating_sub(KEPT));
    }
    String::from_utf8_lossy(&end).into_owned()
}

fn nonce() -> anyhow::Result<u32> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 4];
    let filled = SystemRandom::new().fill(&mut bytes);
    ensure!(filled.is_ok(), "the system's random number generator failed");
    Ok(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_what_a_machine_says_the_end_is_kept() {
        let said = "x".repeat(10 * KEPT) + "the end";
        let kept = end_of(Some(said.as_bytes())).await;
        assert!(kept.len() == KEPT && kept.ends_with("xthe end"), "{}", kept.len());
    }

    #[test]
    fn the_socket_of_a_mac_has_a_short_path() {
        let folder = "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/";
        assert!(folder.len() == 49 && folder.len() + NAMES <= SOCKET_PATH);
    }

    #[test]
    fn the_name_of_a_host_gives_its_id() {
        for (host, id) in [
            ("root@web-1", Some("web-1")),
            ("Web_1.example.com", Some("web-1-example-com")),
            ("ssh://root@web-1:2222", Some("web-1")),
            ("root@192.0.2.7", None),
            ("ssh://[2001:db8::1]:22", None),
        ] {
            let host: Host = host.parse().expect("a host");
            assert_eq!(host.server_id().map(|id| id.to_string()).as_deref(), id, "{host}");
        }
        for wrong in ["", "-oProxyCommand=x", "web 1", "web\n1"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong:?}");
        }
    }
}
