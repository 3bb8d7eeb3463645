//! Asks mounts how full they are. One may hang, because its server or its disk is gone; then only a thread waits for it.

use super::filesystem::Usage;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long all mounts together may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a mount answers.
#[derive(Clone, Copy)]
pub struct Used {
    pub space: Usage,
    /// Numbers, not bytes.
    pub inodes: Usage,
}

/// Mount points that were asked and have not answered yet, each with the thread that waits for it. They are not asked again
/// until they have answered.
#[derive(Default)]
pub struct Mounts {
    hung: HashMap<Vec<u8>, Receiver<io::Result<Used>>>,
}

impl Mounts {
    /// Asks all of these. One thread does, as long as none hangs; another one asks those that come after.
    pub fn ask<'a>(
        &mut self,
        points: impl IntoIterator<Item = &'a [u8]>,
    ) -> HashMap<&'a [u8], Result<Used, String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut all = HashMap::new();
        let mut rest = Vec::new();
        for point in points {
            match self.hung.get(point).map(Receiver::try_recv) {
                None => rest.push(point),
                Some(Err(_)) => {
                    all.insert(point, Err("it does not answer".to_owned()));
                }
                Some(Ok(used)) => {
                    all.insert(point, used.map_err(|reason| reason.to_string()));
                    self.hung.remove(point);
                }
            }
        }
        while let [first, ..] = *rest {
            let answers = match start(&rest) {
                Ok(answers) => answers,
                Err(reason) => {
                    all.insert(first, Err(reason.to_string()));
                    rest.remove(0);
                    continue;
                }
            };
            // What is left is enough for the next thread, too.
            let patience = deadline.saturating_duration_since(Instant::now()) / 2;
            let end = Instant::now() + patience;
            while let [point, ..] = *rest {
                let answer = answers.recv_timeout(end.saturating_duration_since(Instant::now()));
                rest.remove(0);
                let used = match answer {
                    Ok(used) => used.map_err(|reason| reason.to_string()),
                    Err(RecvTimeoutError::Disconnected) => Err("it could not be asked".to_owned()),
                    Err(RecvTimeoutError::Timeout) => {
                        all.insert(point, Err("it does not answer".to_owned()));
                        self.hung.insert(point.to_owned(), answers);
                        break;
                    }
                };
                all.insert(point, used);
            }
        }
        all
    }
}

/// A thread that asks these, one after the other, as long as anybody wants to know.
fn start(points: &[&[u8]]) -> io::Result<Receiver<io::Result<Used>>> {
    let (sender, answers) = channel();
    let points: Vec<_> = points.iter().map(|point| point.to_vec()).collect();
    let thread = thread::Builder::new().stack_size(64 * 1024);
    thread.spawn(move || {
        for point in points {
            if sender.send(statvfs(OsStr::from_bytes(&point))).is_err() {
                return;
            }
        }
    })?;
    Ok(answers)
}

fn statvfs(point: &OsStr) -> io::Result<Used> {
    let stat = rustix::fs::statvfs(point)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let space = Usage {
        total: bytes(stat.f_blocks),
        used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        available: bytes(stat.f_bavail),
    };
    let inodes = Usage {
        total: stat.f_files,
        used: stat.f_files.saturating_sub(stat.f_ffree),
        available: stat.f_favail,
    };
    Ok(Used { space, inodes })
}
