//! Jobs: commands that `heartbeat-agent run` runs, such as a backup at night. It keeps how they ended, for the agent to report.
//!
//! ```text
//! cron, a timer ─▶ run ─▶ a file in /var/lib/heartbeat-jobs ─▶ agent, jobs
//! ```

mod folder;
mod run;

use anyhow::Context;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use tables::printable;

use crate::print;
pub use folder::{TOO_MANY, list};
pub use run::{Arguments, run};

/// Its name: 1 to 30 characters of `a-z0-9._-`, first a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_allowed = |byte: u8| is_alphanumeric(byte) || b"._-".contains(&byte);
        let is_name = text.len() <= 30
            && text.bytes().next().is_some_and(is_alphanumeric)
            && text.bytes().all(is_allowed);
        let rule = "a job's name has 1 to 30 characters of a-z0-9._-, first a letter or a digit";
        is_name.then(|| Self(text.to_owned())).ok_or(rule)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is kept of a job. Times are seconds since 1970, durations are seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Record {
    /// Its name, so that a link does not make it another job.
    name: String,
    declared: i64,
    within: Option<i64>,
    #[serde(rename = "for")]
    longest: Option<i64>,
    /// The start of its last run.
    started: Option<i64>,
    /// The end of its last run; none while it runs, and if it was killed.
    ended: Option<i64>,
    ended_well: Option<i64>,
    /// How the last run that has ended failed.
    failure: Option<String>,
    /// The last line of that run's standard error.
    line: Option<String>,
}

impl Record {
    fn start(&mut self, now: i64) {
        // Whoever may say so holds the lock, which the last run would hold.
        if self.is_open() {
            (self.failure, self.line) = (Some(KILLED.to_owned()), None);
        }
        (self.started, self.ended) = (Some(now), None);
    }

    /// Notes the end of a run that has failed in this way, or well.
    fn end(&mut self, started: i64, now: i64, failure: Option<String>, line: Option<String>) {
        (self.started, self.ended) = (Some(started), Some(now));
        if failure.is_none() {
            self.ended_well = Some(now);
        }
        (self.failure, self.line) = (failure, line);
    }

    /// Whether a run has started and not ended.
    const fn is_open(&self) -> bool {
        self.started.is_some() && self.ended.is_none()
    }

    /// Why it has failed, if it has. A run holds a lock as long as it runs. A run that has not ended yet does not make up for the
    /// one before.
    pub fn failing(&self, is_locked: bool, now: i64) -> Option<String> {
        let run_time = self.started.filter(|_| self.is_open()).map(|started| now - started);
        let is_longer = |time: &i64| self.longest.is_some_and(|longest| *time > longest);
        let since = self.ended_well.unwrap_or(self.declared);
        if self.is_open() && !is_locked {
            Some(KILLED.to_owned())
        } else if let Some(failure) = &self.failure {
            let line = self.line.as_ref().map(|line| format!(": {line}"));
            Some(format!("{failure}{}", line.unwrap_or_default()))
        } else if let Some(time) = run_time.filter(is_longer) {
            Some(format!("has run for {}", words(time)))
        } else if self.within.is_some_and(|within| now - since > within) {
            Some(self.last_end(now))
        } else {
            None
        }
    }

    /// When it last ended well.
    pub fn last_end(&self, now: i64) -> String {
        match self.ended_well {
            Some(at) => format!("last ended well {} ago", words(now - at)),
            None => format!("has not ended well for {}", words(now - self.declared)),
        }
    }
}

const KILLED: &str = "killed";

/// A length of time in its largest unit of which it has two: `3 days`.
fn words(seconds: i64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let largest = units.into_iter().find(|(unit, _)| seconds >= unit * 2);
    let (count, name) =
        largest.map_or((seconds.max(0), "second"), |(unit, name)| (seconds / unit, name));
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Prints all jobs, a line for each.
///
/// # Errors
/// If this user may not see them.
pub fn print_all() -> anyhow::Result<()> {
    let (jobs, are_too_many) = list().context("only root and the agent may list the jobs")?;
    let users = Users::read_if(true);
    for job in jobs {
        let state = match &job.record {
            None => "its file cannot be understood".to_owned(),
            Some(record) => match record.failing(job.is_locked, now()) {
                Some(reason) => format!("failed: {reason}"),
                None if job.is_locked => "runs".to_owned(),
                None => record.last_end(now()),
            },
        };
        let line = format!("{}: {state}", users.label(job.uid, &job.name));
        print::result(printable(&line));
    }
    if are_too_many {
        print::message(TOO_MANY);
    }
    Ok(())
}

fn now() -> i64 {
    Utc::now().timestamp()
}

/// The names of the users of this machine.
pub struct Users(HashMap<u32, String>);

impl Users {
    /// Without a need, none.
    pub fn read_if(is_needed: bool) -> Self {
        if !is_needed {
            return Self(HashMap::new());
        }
        let file = std::fs::read("/etc/passwd").unwrap_or_default();
        let lines = file.split(|byte| *byte == b'\n').rev();
        let user = |line: &[u8]| {
            let mut fields = std::str::from_utf8(line).ok()?.split(':');
            let name = fields.next()?.to_owned();
            Some((fields.nth(1)?.parse().ok()?, name))
        };
        Self(lines.filter_map(user).collect())
    }

    /// What a job of this user is called: root's by its name.
    pub fn label(&self, uid: u32, name: &Name) -> String {
        match (uid, self.0.get(&uid)) {
            (0, _) => format!("job {name}"),
            (_, Some(user)) => format!("job {user}/{name}"),
            (_, None) => format!("job {uid}/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_thirty_characters_at_most_and_none_that_forges() {
        for name in ["a", "0", "restic-home_2.daily", &"x".repeat(30)] {
            assert!(name.parse::<Name>().is_ok(), "{name}");
        }
        for name in ["", "-a", ".a", "_a", "A", "a/b", "a b", "a\nb", "ä", &"x".repeat(31)] {
            assert!(name.parse::<Name>().is_err(), "{name:?}");
        }
    }

    fn declared(within: Option<i64>, longest: Option<i64>) -> Record {
        Record { declared: 1_000, within, longest, ..Record::default() }
    }

    const DAY: i64 = 86_400;

    #[test]
    fn one_that_has_never_run_is_well_until_it_is_due() {
        let record = declared(Some(DAY), None);
        assert_eq!(record.failing(false, 1_000 + DAY), None);
        let reason = record.failing(false, 1_001 + 3 * DAY);
        assert_eq!(reason.as_deref(), Some("has not ended well for 3 days"));
        assert_eq!(declared(None, None).failing(false, i64::MAX), None, "nothing is due");
    }

    #[test]
    fn a_run_that_failed_counts_until_one_ends_well() {
        let mut record = declared(Some(DAY), Some(600));
        let failure = Some("exit code 1".to_owned());
        record.start(2_000);
        assert_eq!(record.failing(true, 2_600), None);
        assert_eq!(record.failing(true, 2_601).as_deref(), Some("has run for 10 minutes"));
        record.end(2_000, 3_000, failure.clone(), Some("repository is locked".to_owned()));
        let reason = record.failing(false, 3_000);
        assert_eq!(reason.as_deref(), Some("exit code 1: repository is locked"));
        record.start(4_000);
        assert_eq!(record.failing(true, 4_000), reason, "the next one has not ended");
        record.end(4_000, 5_000, None, None);
        assert_eq!(record.failing(false, 5_000 + DAY), None);
        let late = record.failing(false, 5_001 + 3 * DAY);
        assert_eq!(late.as_deref(), Some("last ended well 3 days ago"));
        record.end(6_000, 7_000, failure, None);
        assert_eq!(record.failing(false, 7_000).as_deref(), Some("exit code 1"));
    }

    #[test]
    fn a_run_without_a_lock_and_without_an_end_was_killed() {
        let mut record = declared(None, None);
        record.start(2_000);
        assert_eq!(record.failing(false, 2_001).as_deref(), Some("killed"));
        record.start(3_000);
        assert_eq!(record.failing(true, 3_001).as_deref(), Some("killed"), "until one ends");
        record.end(3_000, 4_000, None, None);
        assert_eq!(record.failing(false, 4_000), None);
    }

    #[test]
    fn a_time_is_said_in_the_largest_unit_of_which_there_are_two() {
        for (seconds, expected) in [
            (-5, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_200, "2 hours"),
            (2 * DAY - 1, "47 hours"),
            (3 * DAY, "3 days"),
        ] {
            assert_eq!(words(seconds), expected);
        }
    }
}
