//! The units of systemd that have failed, and those that the operator names. `systemctl` is asked, as anybody may.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use signal_hook::low_level::signal_name;
use std::collections::{HashMap, HashSet, VecDeque};
use std::env;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tables::printable;

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

/// The services that the operator names, and what is known of the others.
pub struct Services {
    named: Vec<String>,
    /// The others that had failed at the last look.
    failed: Vec<String>,
    restarts: HashMap<String, Restarts>,
    looks: u64,
    /// When the restarts of all services were asked for, by the clock that cannot be set.
    asked_all: Duration,
}

/// What systemd says, and why it does not say more.
pub struct Answer {
    /// None if systemd was not asked for anything that it could not answer.
    pub services: Option<Vec<Service>>,
    pub problem: Option<String>,
}

impl Services {
    pub fn new(named: Vec<String>) -> Self {
        let named = named.iter().map(|name| unit(name)).collect();
        Self {
            named,
            failed: Vec::new(),
            restarts: HashMap::new(),
            looks: 0,
            asked_all: Duration::ZERO,
        }
    }

    /// Looks at all of them, with two calls of `systemctl`: one if all is well and none is named.
    pub fn read(&mut self) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        // Where systemd is not the first process, as in most containers, nobody expects its services.
        let is_expected = !self.named.is_empty() || Path::new("/run/systemd/system").exists();
        let listed = match ask(&LIST, &[], deadline).and_then(Printed::by_success) {
            Ok(listed) => listed,
            Err(reason) => {
                let mut unknown = self.judge(&[], "", now, &reason);
                // What had failed has not ended because nobody says so.
                let known = self.failed.iter().cloned();
                unknown.extend(known.map(|name| Service {
                    name,
                    status: Status::Unknown,
                    reason: Some(reason.clone()),
                }));
                let services = (!unknown.is_empty()).then_some(unknown);
                return Answer { services, problem: is_expected.then_some(reason) };
            }
        };
        let listed: Vec<_> = listed.lines().filter_map(Listed::parse).collect();
        let units = self.choose(&listed, now);
        let shown = match &*units {
            [] => Ok(String::new()),
            // If systemd rejects a name, it has said what it knows of those before.
            units => ask(&SHOW, units, deadline).map(|shown| shown.text),
        };
        let reason = shown.as_ref().err().map_or("systemd does not know it", String::as_str);
        let text = shown.as_deref().unwrap_or_default();
        let services = self.judge(&listed, text, now, reason);
        let others = services.iter().skip(self.named.len());
        self.failed = others.map(|service| service.name.clone()).collect();
        let services = Some(services);
        Answer { services, problem: shown.err() }
    }

    /// What has to be asked for: the named ones, those that start, have failed or were restarted, and at every tenth look all services.
    /// systemd says nothing of what comes after a name that it rejects, so odd names come last.
    fn choose(&mut self, listed: &[Listed], now: Duration) -> Vec<String> {
        let is_odd = |unit: &&String| {
            let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
            !unit.bytes().all(is_usual)
                || unit.len() > 255
                || unit.starts_with('@')
                || unit.contains("@.")
        };
        let (odd, usual): (Vec<&String>, Vec<&String>) = self.named.iter().partition(is_odd);
        let starting =
            listed.iter().filter(|one| one.is_starting() || one.has_failed()).map(|one| &one.unit);
        let restarted = self.restarts.iter().filter(|(_, restarts)| restarts.are_recent());
        let mut units: Vec<String> = Vec::new();
        for unit in
            usual.into_iter().chain(starting).chain(restarted.map(|(unit, _)| unit)).chain(odd)
        {
            if !units.contains(unit) {
                units.push(unit.clone());
            }
        }
        // A single look has nothing to compare with.
        let is_due = self.looks % ALL == 1 || (self.looks > 0 && now - self.asked_all >= WINDOW);
        if is_due {
            self.asked_all = now;
            units.insert(0, "*.service".to_owned());
        }
        self.looks += 1;
        units
    }

    /// The named services, and of the others those that have failed. What is not shown is unknown, for this reason.
    fn judge(
        &mut self,
        listed: &[Listed],
        shown: &str,
        now: Duration,
        reason: &str,
    ) -> Vec<Service> {
        let blocks: Vec<Block> = shown.split("\n\n").map(Block::parse).collect();
        let triggers: HashSet<&str> =
            listed.iter().filter(|one| one.active == "active").map(|one| &*one.unit).collect();
        for block in blocks.iter().filter(|block| !block.value("NRestarts").is_empty()) {
            self.restarts.entry(block.id().to_owned()).or_default().look(block, now);
        }
        if self.asked_all == now && !shown.is_empty() {
            let all: HashSet<&str> = blocks.iter().map(Block::id).collect();
            self.restarts.retain(|unit, _| all.contains(&**unit));
        }
        let verdict = |block: &Block| {
            let restarts = self.restarts.get(block.id());
            block.status(restarts.and_then(Restarts::failing), &triggers, now)
        };

        let named = self.named.iter().map(|unit| {
            match blocks.iter().find(|block| block.is_of(unit)).map(verdict) {
                Some((status, reason)) => service(unit, status, reason),
                None => service(unit, Status::Unknown, Some(reason.to_owned())),
            }
        });
        let mut services: Vec<_> = named.collect();
        let listed = listed.iter().filter(|one| one.has_failed()).map(|one| {
            let block = blocks.iter().find(|block| block.is_of(&one.unit));
            (&*one.unit, block)
        });
        let mut others = HashSet::new();
        for (unit, block) in listed.chain(blocks.iter().map(|block| (block.id(), Some(block)))) {
            let is_named = self
                .named
                .iter()
                .any(|named| named == unit || block.is_some_and(|block| block.is_of(named)));
            let (status, reason) = block.map_or((Status::Failed, None), verdict);
            if status == Status::Failed && !is_named && others.insert(unit) {
                services.push(service(unit, status, reason));
            }
        }
        services
    }
}

/// How often the restarts of all services are asked for: at one of this many looks, since that is work for systemd.
const ALL: u64 = 10;

/// Three automatic restarts within this time are a failure, until there has been none for as long. A service that starts
/// for as long has failed, too.
const WINDOW: Duration = Duration::from_secs(600);

/// The automatic restarts of a service.
#[derive(Default)]
struct Restarts {
    /// Each number that `NRestarts` had within the last ten minutes, and at their beginning, with the first and the last
    /// look that found it.
    counts: VecDeque<(u64, Duration, Duration)>,
    /// The number before the first of the restarts that are a failure.
    failing_since: Option<u64>,
    /// When a look found that it had ended well, and is started again because somebody wants that.
    ended_well: Option<Duration>,
}

impl Restarts {
    fn look(&mut self, block: &Block, now: Duration) {
        let count = block.value("NRestarts").parse().unwrap_or(0);
        if block.is_restarting() && block.value("Result") == "success" {
            *self = Self { ended_well: Some(now), ..Self::default() };
        }
        // It was started by hand since.
        if self.counts.back().is_some_and(|(before, ..)| count < *before) {
            *self = Self::default();
        }
        match self.counts.back_mut() {
            Some((before, _, last)) if count == *before => *last = now,
            _ => self.counts.push_back((count, now, now)),
        }
        let is_old = |(_, first, _): &(u64, Duration, Duration)| now - *first >= WINDOW;
        while self.counts.get(1).is_some_and(is_old) {
            self.counts.pop_front();
        }
        self.ended_well = self.ended_well.filter(|at| now - *at < WINDOW);
        let (_, last_restart, _) = self.counts[self.counts.len() - 1];
        if self.counts.len() == 1 || now - last_restart >= WINDOW {
            self.failing_since = None;
        } else if self.failing_since.is_none() && self.ended_well.is_none() {
            let (first, _, at) = self.counts[0];
            // The oldest look is older than ten minutes, by less than the time between two looks.
            let windows = ((now - at).as_secs() / WINDOW.as_secs()).max(1);
            self.failing_since = (count - first >= 3 * windows).then_some(first);
        }
    }

    fn are_recent(&self) -> bool {
        self.counts.len() > 1 || self.failing_since.is_some()
    }

    /// How often it was restarted, if that is a failure.
    fn failing(&self) -> Option<u64> {
        let (count, ..) = self.counts.back()?;
        Some(count - self.failing_since?)
    }
}

const LIST: [&str; 5] = [
    "list-units",
    // What has failed or starts (a service that is started again and again is not in the state `failed` between two starts),
    // and the sockets, timers and paths that start others.
    "--state=failed,activating,auto-restart,auto-restart-queued,listening,waiting,elapsed",
    "--plain",
    "--no-legend",
    "--full",
];
const SHOW: [&str; 3] = [
    "show",
    "--property=Id,Names,Type,ActiveState,SubState,Result,NRestarts,TriggeredBy,InactiveExitTimestampMonotonic,ExecMainCode,ExecMainStatus",
    "--",
];

/// A unit of the list.
struct Listed {
    unit: String,
    active: String,
    sub: String,
}

impl Listed {
    /// Reads a line: unit, load state, active state, sub state, description. Some versions mark it with a character.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let unit = words.find(|word| word.contains('.'))?;
        Some(Self { unit, active: words.nth(1)?, sub: words.next()? })
    }

    fn has_failed(&self) -> bool {
        self.active == "failed" || self.sub.starts_with("auto-restart")
    }

    fn is_starting(&self) -> bool {
        self.active == "activating" && self.unit.ends_with(".service")
    }
}

/// What `systemctl show` says of a unit.
struct Block<'a>(HashMap<&'a str, &'a str>);

impl<'a> Block<'a> {
    fn parse(shown: &'a str) -> Self {
        Self(shown.lines().filter_map(|line| line.split_once('=')).collect())
    }

    fn value(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn id(&self) -> &'a str {
        match self.value("Id") {
            "" => self.value("Names").split(' ').next().unwrap_or_default(),
            id => id,
        }
    }

    /// Whether this is the unit's. It may have several names.
    fn is_of(&self, unit: &str) -> bool {
        self.value("Names").split(' ').any(|name| name == unit)
    }

    fn is_restarting(&self) -> bool {
        self.value("SubState").starts_with("auto-restart")
    }

    /// How it failed: systemd's `Result`, and how its main process ended.
    fn failure(&self) -> Option<String> {
        let number = self.value("ExecMainStatus").parse::<i32>().ok();
        // In the words of waitid(2): 1 for an exit code, 2 and 3 for a signal.
        let code = number.filter(|code| *code != 0 && self.value("ExecMainCode") == "1");
        let signal = number.filter(|_| matches!(self.value("ExecMainCode"), "2" | "3"));
        let signal = signal.and_then(signal_name);
        match (self.value("Result"), code, signal) {
            ("exit-code", Some(code), _) => Some(format!("exit code {code}")),
            ("exit-code", None, _) => Some("a command of it failed".to_owned()),
            ("signal", _, Some(signal)) => Some(format!("ended by {signal}")),
            ("core-dump", _, Some(signal)) => Some(format!("ended by {signal}, with a core dump")),
            ("oom-kill", ..) => Some("out of memory".to_owned()),
            ("start-limit-hit", ..) => Some("started too often".to_owned()),
            ("" | "success", ..) => None,
            (result, ..) => Some(result.replace('-', " ")),
        }
    }

    /// Its status and the reason for it, if it was restarted so often that this is a failure, and while these units that may
    /// start it are active.
    fn status(
        &self,
        restarts: Option<u64>,
        triggers: &HashSet<&str>,
        now: Duration,
    ) -> (Status, Option<String>) {
        let kind = self.value("Type");
        let has_ended_well = kind == "oneshot" && self.value("Result") == "success";
        let is_triggered =
            || self.value("TriggeredBy").split(' ').any(|unit| triggers.contains(unit));
        let starting = || {
            let since = self.value("InactiveExitTimestampMonotonic").parse().ok()?;
            let time =
                now.checked_sub(Duration::from_micros(since)).filter(|time| *time >= WINDOW)?;
            (since > 0 && !["", "oneshot"].contains(&kind)).then_some(time.as_secs() / 60)
        };
        let status = match self.value("ActiveState") {
            "failed" => Status::Failed,
            _ if self.is_restarting() && self.value("Result") == "success" => Status::Running,
            _ if restarts.is_some() || self.is_restarting() => Status::Failed,
            "activating" => match starting() {
                Some(minutes) => {
                    return (Status::Failed, Some(format!("starting for {minutes} min")));
                }
                None => Status::Running,
            },
            "active" | "reloading" | "refreshing" => Status::Running,
            "inactive" if has_ended_well || is_triggered() => Status::Running,
            "inactive" | "deactivating" | "maintenance" => Status::Stopped,
            _ => Status::Unknown,
        };
        if status != Status::Failed {
            return (status, None);
        }
        let restarts = restarts.map(|count| format!("restarted {count} times"));
        let reasons: Vec<_> = restarts.into_iter().chain(self.failure()).collect();
        (status, (!reasons.is_empty()).then(|| reasons.join(": ")))
    }
}

/// The unit that a name means: `.service` may be left out.
fn unit(name: &str) -> String {
    let has_suffix = SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    if has_suffix { name.to_owned() } else { format!("{name}.service") }
}

fn service(unit: &str, status: Status, reason: Option<String>) -> Service {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    let Some(check) = name.strip_prefix(CHECK) else {
        return Service { name: name.to_owned(), status, reason };
    };
    let line = if status == Status::Failed { last_line(check) } else { None };
    let reasons: Vec<_> = reason.into_iter().chain(line).collect();
    let reason = (!reasons.is_empty()).then(|| reasons.join(": "));
    Service { name: check.to_owned(), status, reason }
}

/// The last line that a check has printed, into a file of its unit's.
fn last_line(check: &str) -> Option<String> {
    let mut file = File::open(format!("/run/heartbeat/check-{check}")).ok()?;
    let start = file.metadata().ok()?.len().saturating_sub(4096);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut end = Vec::new();
    file.take(4096).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let line = end.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(printable(line).chars().take(200).collect())
}

/// The program on the path. With its whole name, it is started without a copy of the agent's memory.
fn program() -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let mut files = env::split_paths(&folders).map(|folder| folder.join("systemctl"));
    files.find(|file| file.is_file())
}

/// What `systemctl` has printed, and whether it succeeded.
struct Printed {
    text: String,
    is_success: bool,
}

impl Printed {
    fn by_success(self) -> Result<String, String> {
        self.is_success
            .then_some(self.text)
            .ok_or_else(|| "systemctl cannot ask systemd".to_owned())
    }
}

/// What `systemctl` prints, even if it fails.
pub fn systemctl(arguments: &[&str], deadline: Instant) -> Result<String, String> {
    ask(arguments, &[], deadline).map(|printed| printed.text)
}

/// What `systemctl` prints. It gets nothing of the environment: the key is not for it.
fn ask(arguments: &[&str], units: &[String], deadline: Instant) -> Result<Printed, String> {
    let mut command = Command::new(program().ok_or("systemctl is not installed")?);
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
    Ok(Printed {
        text: String::from_utf8_lossy(&printed).into_owned(),
        is_success: status.is_ok_and(|status| status.success()),
    })
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
cups.socket                loaded active     listening    CUPS Scheduler
man-db.timer               loaded active     waiting      Daily man-db regeneration
dev-sda.device             loaded activating tentative    /dev/sda
";

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    /// The name, status and reason of each service, of a look at this minute.
    fn look(services: &mut Services, list: &str, shown: &str, minute: u64) -> Vec<String> {
        let listed: Vec<_> = list.lines().filter_map(Listed::parse).collect();
        services.choose(&listed, minutes(minute));
        let all = services.judge(&listed, shown, minutes(minute), "systemd does not know it");
        let text = |service: Service| {
            let json = service.as_json();
            let parts = ["name", "status", "status_reason"].map(|name| json[name].as_str());
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        all.into_iter().map(text).collect()
    }

    fn named(names: &[&str]) -> Services {
        Services::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn failed_units_have_short_names() {
        let services = look(&mut named(&[]), LIST, "", 0);
        assert_eq!(services, ["nginx failed", "backup failed", "data.mount failed", "app failed"]);
        assert!(look(&mut named(&[]), "", "", 0).is_empty());
    }

    #[test]
    fn each_state_of_a_unit_is_one_of_four() {
        for (shown, expected) in [
            ("Type=simple\nActiveState=active\nSubState=running\nResult=success", "running"),
            ("Type=notify\nActiveState=reloading\nSubState=reload\nResult=success", "running"),
            ("Type=simple\nActiveState=activating\nSubState=start-pre\nResult=success", "running"),
            (
                "Type=simple\nActiveState=activating\nSubState=auto-restart\nResult=exit-code",
                "failed",
            ),
            // It has ended well, and somebody wants it to be started again.
            (
                "Type=simple\nActiveState=activating\nSubState=auto-restart\nResult=success",
                "running",
            ),
            ("Type=simple\nActiveState=failed\nSubState=failed\nResult=exit-code", "failed"),
            ("Type=simple\nActiveState=inactive\nSubState=dead\nResult=success", "stopped"),
            (
                "Type=simple\nActiveState=inactive\nSubState=dead\nTriggeredBy=cups.path cups.socket",
                "running",
            ),
            ("Type=simple\nActiveState=inactive\nSubState=dead\nTriggeredBy=cups.path", "stopped"),
            ("Type=simple\nActiveState=failed\nTriggeredBy=cups.socket", "failed"),
            ("Type=oneshot\nActiveState=inactive\nSubState=dead\nResult=success", "running"),
            ("Type=oneshot\nActiveState=failed\nSubState=failed\nResult=timeout", "failed"),
            ("Type=oneshot\nActiveState=active\nSubState=exited\nResult=success", "running"),
            (
                "Type=simple\nActiveState=deactivating\nSubState=stop-sigterm\nResult=success",
                "stopped",
            ),
            ("ActiveState=inactive\nSubState=dead", "stopped"),
            ("ActiveState=active\nSubState=listening\nResult=success", "running"),
            ("", "unknown"),
        ] {
            let shown = format!(
                "Names=app.service alias.service\n{shown}\n\nNames=other.service\nActiveState=active\n"
            );
            let list = "cups.socket loaded active listening CUPS Scheduler";
            for name in ["app", "app.service", "alias"] {
                let services = look(&mut named(&[name]), list, &shown, 0);
                let short = name.trim_end_matches(".service");
                let status: Vec<_> = services[0].split(' ').take(2).collect();
                assert_eq!(status.join(" "), format!("{short} {expected}"), "{shown}");
            }
        }
        let missing =
            look(&mut named(&["app*"]), "", "Names=other.service\nActiveState=active\n", 0);
        assert_eq!(missing, ["app* unknown systemd does not know it"]);
        assert_eq!(unit("app.timer"), "app.timer");
    }

    #[test]
    fn a_failure_has_a_reason() {
        for (shown, expected) in [
            ("Result=exit-code\nExecMainCode=1\nExecMainStatus=3", "exit code 3"),
            ("Result=exit-code\nExecMainCode=0\nExecMainStatus=0", "a command of it failed"),
            ("Result=signal\nExecMainCode=2\nExecMainStatus=9", "ended by SIGKILL"),
            (
                "Result=core-dump\nExecMainCode=3\nExecMainStatus=11",
                "ended by SIGSEGV, with a core dump",
            ),
            ("Result=timeout\nExecMainCode=2\nExecMainStatus=15", "timeout"),
            ("Result=oom-kill\nExecMainCode=2\nExecMainStatus=9", "out of memory"),
            ("Result=start-limit-hit\nExecMainCode=1\nExecMainStatus=0", "started too often"),
        ] {
            let shown = format!("Id=app.service\nNames=app.service\nActiveState=failed\n{shown}\n");
            let list = "app.service loaded failed failed An application";
            let asked = named(&[]).choose(&[Listed::parse(list).expect("a unit")], minutes(0));
            assert_eq!(asked, ["app.service"]);
            let found = look(&mut named(&[]), list, &shown, 0);
            assert_eq!(found, [format!("app failed {expected}")]);
        }
    }

    /// What looks at `app` find, one a minute: each with the number of its restarts, its sub state and its result.
    fn restarts(looks: impl IntoIterator<Item = (u64, &'static str, &'static str)>) -> Vec<String> {
        let mut services = named(&["app"]);
        let looks = looks.into_iter().enumerate().map(|(minute, (count, sub, result))| {
            let active = if sub == "running" { "active" } else { "activating" };
            let shown = format!(
                "Id=app.service\nNames=app.service\nType=simple\nActiveState={active}\nSubState={sub}\n\
                 Result={result}\nNRestarts={count}\nTriggeredBy=\nInactiveExitTimestampMonotonic=1\n"
            );
            look(&mut services, "", &shown, minute as u64 + 100).concat()
        });
        looks.collect()
    }

    fn running(counts: impl IntoIterator<Item = u64>) -> Vec<String> {
        restarts(counts.into_iter().map(|count| (count, "running", "success")))
    }

    // It dies every four seconds, so nearly every look finds it running.
    #[test]
    fn three_restarts_within_ten_minutes_are_a_failure_until_there_are_none_for_ten_minutes() {
        let found = running([7, 9, 10, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 17, 18]);
        let failed = |count| format!("app failed restarted {count} times");
        assert_eq!(
            found[..4],
            ["app running".to_owned(), "app running".to_owned(), failed(3), failed(10)]
        );
        assert!(found[4..13].iter().all(|found| *found == failed(10)), "{found:?}");
        assert_eq!(found[13..], ["app running", "app running"]);
    }

    #[test]
    fn three_restarts_in_more_than_ten_minutes_are_none() {
        // One every six minutes, and three in twelve.
        let found = running((0..60).map(|minute| minute / 6));
        assert!(found.iter().all(|found| found == "app running"), "{found:?}");
    }

    #[test]
    fn restarts_that_fall_begin_anew() {
        let found = running([7, 12, 0, 2, 3]);
        let expected = [
            "app running",
            "app failed restarted 5 times",
            "app running",
            "app running",
            "app failed restarted 3 times",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_service_that_ends_well_and_is_started_again_runs() {
        let (well, runs) = ("auto-restart", "running");
        let found = restarts([
            (0, runs, "success"),
            (3, runs, "success"),
            (6, well, "success"),
            (9, runs, "success"),
            (12, runs, "success"),
            (15, well, "exit-code"),
        ]);
        let expected = [
            "app running",
            "app failed restarted 3 times",
            "app running",
            "app running",
            "app running",
            "app failed a command of it failed",
        ];
        assert_eq!(found, expected);
    }

    // Nobody named it. All services are asked at every tenth look, and one that was restarted at each of the next.
    #[test]
    fn a_service_without_a_name_that_restarts_is_found_at_a_tenth_look() {
        let mut services = named(&[]);
        let mut shown_at = Vec::new();
        for minute in 0..34 {
            let units = services.choose(&[], minutes(minute));
            shown_at.extend((!units.is_empty()).then(|| (minute, units.join(" "))));
            let count = minute.min(14);
            let shown = match &*units {
                [] => String::new(),
                _ => format!(
                    "Id=app.service\nNames=app.service\nActiveState=active\nNRestarts={count}\n"
                ),
            };
            let found = services.judge(&[], &shown, minutes(minute), "");
            assert_eq!(found.len(), usize::from((11..24).contains(&minute)), "{minute}: {found:?}");
        }
        let of = |minute: u64| match minute {
            11 => "*.service",
            21 => "*.service app.service",
            31 | 1 => "*.service",
            _ => "app.service",
        };
        let expected: Vec<_> = [1]
            .into_iter()
            .chain(11..25)
            .chain([31])
            .map(|minute| (minute, of(minute).to_owned()))
            .collect();
        assert_eq!(shown_at, expected);
    }

    #[test]
    fn a_service_that_starts_for_ten_minutes_has_failed_unless_it_is_a_oneshot() {
        let list = "app.service loaded activating start start An application";
        let shown = |kind: &str| {
            format!(
                "Id=app.service\nNames=app.service\nType={kind}\nActiveState=activating\nSubState=start\n\
                 Result=success\nNRestarts=0\nTriggeredBy=\nInactiveExitTimestampMonotonic=60000000\n"
            )
        };
        let found = |names: &[&str], kind: &str, minute| {
            look(&mut named(names), list, &shown(kind), minute)
        };
        assert_eq!(found(&["app"], "notify", 10), ["app running"]);
        assert_eq!(found(&["app"], "notify", 13), ["app failed starting for 12 min"]);
        assert_eq!(found(&[], "notify", 13), ["app failed starting for 12 min"]);
        assert!(found(&[], "notify", 10).is_empty());
        assert_eq!(found(&["app"], "oneshot", 13), ["app running"]);
        assert_eq!(
            named(&[]).choose(&[Listed::parse(list).expect("a unit")], minutes(0)),
            ["app.service"]
        );
    }

    // systemd 252 stops at the first name that it rejects.
    #[test]
    fn a_name_that_systemd_may_reject_is_asked_for_last() {
        let mut services = named(&["foo@", "x!", "@x", "nginx", "foo@bar", "a\\x20b", "b*"]);
        let asked = services.choose(&[], minutes(0));
        let expected = ["nginx", "foo@bar", "a\\x20b", "foo@", "x!", "@x", "b*"];
        assert_eq!(asked, expected.map(unit));
        let shown = "Names=nginx.service\nActiveState=active\n\nNames=foo@bar.service\nActiveState=inactive\n";
        let found = services.judge(&[], shown, minutes(0), "systemd does not know it");
        let of =
            |name: &str| found.iter().find(|service| service.name == name).map(|one| one.status);
        assert_eq!(of("nginx"), Some(Status::Running));
        assert_eq!(of("foo@bar"), Some(Status::Stopped));
        assert_eq!(of("foo@"), Some(Status::Unknown));
    }
}
