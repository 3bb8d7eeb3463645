//! The end of the machine: whether systemd switches it off, and the heartbeat that says so.

use crate::machine;
use crate::print;
use crate::sender::{Outgoing, Sender};
use std::time::{Duration, Instant};
use tables::ServerId;

/// How long systemd may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the last heartbeat may take.
const LAST_ATTEMPT: Duration = Duration::from_secs(3);

/// Says that the machine is leaving, if it is. After that, nothing is sent.
pub fn announce(sender: &Sender, server_id: &ServerId) {
    if !is_switched_off() {
        return;
    }
    let heartbeat = Outgoing::new(&machine::last_heartbeat(server_id));
    if let Err(failure) = sender.send_last(&heartbeat, Instant::now() + LAST_ATTEMPT) {
        print::message(format_args!("the last heartbeat was not sent: {failure}"));
    }
}

/// Whether the machine powers off or halts. One that starts anew is not switched off.
fn is_switched_off() -> bool {
    let deadline = Instant::now() + PATIENCE;
    let ask = |arguments: &[&str]| machine::systemctl(arguments, deadline).unwrap_or_default();
    ask(&["is-system-running"]).trim() == "stopping" && is_end(&ask(&["list-jobs", "--no-legend"]))
}

/// Whether these jobs end with the machine switched off.
fn is_end(jobs: &str) -> bool {
    let mut words = jobs.split_whitespace();
    words.any(|word| ["poweroff.target", "halt.target"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_starts_anew_is_not_switched_off() {
        for (jobs, expected) in [
            ("1 poweroff.target start waiting\n2 cron.service stop running\n", true),
            ("1 halt.target start waiting\n", true),
            ("1 reboot.target start waiting\n2 cron.service stop running\n", false),
            ("1 kexec.target start waiting\n", false),
            ("", false),
        ] {
            assert_eq!(is_end(jobs), expected, "{jobs}");
        }
    }
}
