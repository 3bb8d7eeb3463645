//! Messages that nobody can or will read.

use crate::support::{Endpoint, agent, status};
use dev::command::{closed_pipe, run, terminate, wait_until};
use std::fs::File;
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::Ordering;

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe with no room for another byte, and its other end, which nobody reads.
fn full_pipe() -> (Stdio, std::io::PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // The capacity of a pipe on Linux.
    writer.write_all(&[b'x'; 65_536]).unwrap();
    (writer.into(), reader)
}

#[test]
fn an_agent_goes_on_although_no_message_can_be_printed() {
    let (pipe, reader) = full_pipe();
    let started = [full_disk(), closed_pipe(), pipe].map(|stderr| {
        let endpoint = Endpoint::start(vec![status(422), status(401), status(403)]);
        endpoint.is_down.store(true, Ordering::SeqCst);
        let mut agent = endpoint.agent();
        agent.args(["--interval", "1", "--disk", "/nowhere"]).stdout(full_disk()).stderr(stderr);
        (endpoint, agent.spawn().unwrap())
    });
    for (endpoint, mut child) in started {
        wait_until("attempts", || endpoint.received().len() >= 3);
        endpoint.is_down.store(false, Ordering::SeqCst);
        let is_backlog = |heartbeat: &crate::support::Received| heartbeat.body["backlog"] == true;
        wait_until("the backlog", || endpoint.received().iter().any(is_backlog));
        terminate(&child);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    drop(reader);
}

#[test]
fn a_result_that_cannot_be_printed_is_lost_and_nothing_else() {
    let endpoint = Endpoint::start(vec![]);
    for stdout in [full_disk(), closed_pipe()] {
        let status = agent().arg("--print").stdout(stdout).status().unwrap();
        assert_eq!(status.code(), Some(0));
    }
    let once = endpoint.agent().arg("--once").stdout(full_disk()).status();
    assert_eq!(once.unwrap().code(), Some(0));
    assert_eq!(endpoint.received().len(), 1);
}

#[test]
fn an_error_that_cannot_be_printed_is_still_an_exit_code() {
    let status = agent().arg("--once").stderr(full_disk()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_message_is_one_line_whatever_is_in_it() {
    let run = run(agent().args(["--print", "--disk", "/a\nb\u{1b}[2J\u{202e}"]));
    let expected = "failed: file system /a\u{fffd}b\u{fffd}[2J\u{fffd}: not mounted\n";
    assert_eq!(run.stderr, expected);
}
