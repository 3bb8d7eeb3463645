//! The units of systemd that have failed, and those that the operator names. `systemctl` is asked, as anybody may.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long `systemctl` may take, for both questions together.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the unit of a check of the operator's begins with.
const CHECK: &str = "heartbeat-check@";

const SUFFIXES: [&str; 11] = [
    ".automount",
    ".device",
    ".mount",
    ".path",
    ".scope",
    ".service",
    ".slice",
    ".socket",
    ".swap",
    ".target",
    ".timer",
];

/// Something that runs, or should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub status: Status,
    /// Why it has this status, if there is more to say.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Running,
    Stopped,
    Failed,
    Unknown,
}

impl Service {
    pub fn as_json(&self) -> Value {
        let status = match self.status {
            Status::Running => "running",
            Status::Stopped => "stopped",
            Status::Failed => "failed",
            Status::Unknown => "unknown",
        };
        let mut service = json!({ "name": self.name, "status": status });
        if let Some(reason) = &self.reason {
            service["status_reason"] = reason.as_str().into();
        }
        service
    }
}

/// The services that the operator names.
pub struct Services {
    named: Vec<String>,
}

/// What systemd says, and why it does not say more.
pub struct Answer {
    /// None if systemd was not asked for anything that it could not answer.
    pub services: Option<Vec<Service>>,
    pub problem: Option<String>,
}

impl Services {
    pub fn new(named: Vec<String>) -> Self {
        Self { named }
    }

    pub fn read(&self) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        let failed = ask(&FAILED, &[], deadline).map(|text| failed(&text));
        let units: Vec<_> = self.named.iter().map(|name| unit(name)).collect();
        let named = match (&failed, &*units) {
            (Err(reason), _) => Err(reason.clone()),
            (Ok(_), []) => Ok(Vec::new()),
            (Ok(_), units) => ask(&SHOW, units, deadline).map(|text| named(&text, units)),
        };
        let problem = failed.as_ref().err().or(named.as_ref().err()).cloned();
        let unknown = |reason: &String| {
            units.iter().map(|unit| service(unit, Status::Unknown, Some(reason))).collect()
        };
        let mut services = named.unwrap_or_else(|reason| unknown(&reason));
        for unit in failed.iter().flatten() {
            if !units.contains(unit) {
                services.push(service(unit, Status::Failed, None));
            }
        }
        // Where systemd is not the first process, as in most containers, nobody expects its services.
        let is_expected = !self.named.is_empty() || Path::new("/run/systemd/system").exists();
        Answer {
            services: (failed.is_ok() || !services.is_empty()).then_some(services),
            problem: problem.filter(|_| is_expected),
        }
    }
}

const FAILED: [&str; 5] = [
    "list-units",
    // A service that is started again and again is not in the state `failed` between two starts.
    "--state=failed,auto-restart,auto-restart-queued",
    "--plain",
    "--no-legend",
    "--full",
];
const SHOW: [&str; 3] = ["show", "--property=Names,Type,ActiveState,SubState,Result", "--"];

/// The unit that a name means: `.service` may be left out.
fn unit(name: &str) -> String {
    let has_suffix = SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    if has_suffix { name.to_owned() } else { format!("{name}.service") }
}

fn service(unit: &str, status: Status, reason: Option<&String>) -> Service {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    Service {
        name: name.strip_prefix(CHECK).unwrap_or(name).to_owned(),
        status,
        reason: reason.cloned(),
    }
}

/// The units of a list. Some versions mark each of them with a character of its own.
fn failed(list: &str) -> Vec<String> {
    let lines = list.lines().map(str::split_whitespace);
    let units = lines.filter_map(|mut words| words.find(|word| word.contains('.')));
    units.map(str::to_owned).collect()
}

/// These units, from what `systemctl show` says of them: a block of properties each. A unit may have several names.
fn named(shown: &str, units: &[String]) -> Vec<Service> {
    let blocks = shown.split("\n\n").map(|block| {
        let properties = block.lines().filter_map(|line| line.split_once('='));
        properties.collect::<HashMap<_, _>>()
    });
    let blocks: Vec<_> = blocks.collect();
    let is_of = |unit: &str, block: &HashMap<&str, &str>| {
        let mut names = block.get("Names").into_iter().flat_map(|names| names.split(' '));
        names.any(|name| name == unit)
    };
    let read = |unit: &String| {
        let status = blocks.iter().find(|block| is_of(unit, block)).map(status);
        match status {
            Some(status) => service(unit, status, None),
            None => service(unit, Status::Unknown, Some(&"systemd does not know it".to_owned())),
        }
    };
    units.iter().map(read).collect()
}

fn status(properties: &HashMap<&str, &str>) -> Status {
    let value = |name: &str| properties.get(name).copied().unwrap_or_default();
    let has_ended_well = value("Type") == "oneshot" && value("Result") == "success";
    match (value("ActiveState"), value("SubState")) {
        (_, "auto-restart" | "auto-restart-queued") | ("failed", _) => Status::Failed,
        ("active" | "reloading" | "refreshing" | "activating", _) => Status::Running,
        ("inactive", _) if has_ended_well => Status::Running,
        ("inactive" | "deactivating" | "maintenance", _) => Status::Stopped,
        _ => Status::Unknown,
    }
}

/// The program on the path. With its whole name, it is started without a copy of the agent's memory.
fn systemctl() -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let mut files = env::split_paths(&folders).map(|folder| folder.join("systemctl"));
    files.find(|file| file.is_file())
}

/// What `systemctl` prints. It gets nothing of the environment: the key is not for it.
fn ask(arguments: &[&str], units: &[String], deadline: Instant) -> Result<String, String> {
    let mut command = Command::new(systemctl().ok_or("systemctl is not installed")?);
    command
        .args(["--no-pager", "--no-ask-password"])
        .args(arguments)
        .args(units)
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|reason| format!("systemctl: {reason}"))?;
    let printed = output(&mut child, deadline);
    if printed.is_none() {
        let _ = child.kill();
    }
    let status = child.wait();
    let printed = printed.ok_or("systemctl does not answer")?;
    match status {
        Ok(status) if status.success() => Ok(String::from_utf8_lossy(&printed).into_owned()),
        _ => Err("systemctl cannot ask systemd".to_owned()),
    }
}

/// What a program prints before it ends, if it ends before the deadline.
fn output(child: &mut Child, deadline: Instant) -> Option<Vec<u8>> {
    let mut stdout = child.stdout.take()?;
    let mut printed = Vec::new();
    let mut part = [0; 4096];
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        let mut waiting = [PollFd::new(&stdout, PollFlags::IN)];
        let ready = poll(&mut waiting, Timespec::try_from(left).ok().as_ref());
        if ready == Ok(0) {
            return None;
        }
        match stdout.read(&mut part).ok()? {
            0 => break,
            length => printed.extend_from_slice(&part[..length]),
        }
    }
    // It has closed its output, and is about to end.
    while child.try_wait().ok()?.is_none() {
        deadline.checked_duration_since(Instant::now())?;
        thread::sleep(Duration::from_millis(5));
    }
    Some(printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    // As systemd 252 and 255 print it.
    const LIST: &str = "\
nginx.service              loaded failed     failed       A high performance web server
heartbeat-check@backup.service loaded failed failed      A check of the operator's: backup
data.mount                 loaded failed     failed       /data
\u{25cf} app.service       loaded activating auto-restart An application
";

    #[test]
    fn failed_units_have_short_names() {
        let services = failed(LIST)
            .iter()
            .map(|unit| service(unit, Status::Failed, None).name)
            .collect::<Vec<_>>();
        assert_eq!(services, ["nginx", "backup", "data.mount", "app"]);
        assert!(failed("").is_empty());
    }

    #[test]
    fn each_state_of_a_unit_is_one_of_four() {
        for (shown, expected) in [
            ("Type=simple\nActiveState=active\nSubState=running\nResult=success", Status::Running),
            (
                "Type=notify\nActiveState=reloading\nSubState=reload\nResult=success",
                Status::Running,
            ),
            (
                "Type=simple\nActiveState=activating\nSubState=start-pre\nResult=success",
                Status::Running,
            ),
            (
                "Type=simple\nActiveState=activating\nSubState=auto-restart\nResult=exit-code",
                Status::Failed,
            ),
            ("Type=simple\nActiveState=failed\nSubState=failed\nResult=exit-code", Status::Failed),
            ("Type=simple\nActiveState=inactive\nSubState=dead\nResult=success", Status::Stopped),
            ("Type=oneshot\nActiveState=inactive\nSubState=dead\nResult=success", Status::Running),
            ("Type=oneshot\nActiveState=failed\nSubState=failed\nResult=timeout", Status::Failed),
            ("Type=oneshot\nActiveState=active\nSubState=exited\nResult=success", Status::Running),
            (
                "Type=simple\nActiveState=deactivating\nSubState=stop-sigterm\nResult=success",
                Status::Stopped,
            ),
            ("ActiveState=inactive\nSubState=dead", Status::Stopped),
            ("ActiveState=active\nSubState=listening\nResult=success", Status::Running),
            ("", Status::Unknown),
        ] {
            let shown = format!(
                "Names=app.service alias.service\n{shown}\n\nNames=other.service\nActiveState=active\n"
            );
            for name in ["app", "app.service", "alias"] {
                let units = [unit(name)];
                let services = named(&shown, &units);
                assert_eq!(services[0].status, expected, "{shown}");
            }
        }
        let missing = named("Names=other.service\nActiveState=active\n", &[unit("app*")]);
        assert_eq!(missing[0].status, Status::Unknown);
        assert_eq!(unit("app.timer"), "app.timer");
    }
}
