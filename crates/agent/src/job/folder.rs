//! The folder of the jobs. Every user may put files into it, and read nobody else's, so nothing in it is believed before it was
//! checked: a file is called `UID-NAME`, belongs to that user, is a regular one and small. It is opened without following a link,
//! and without waiting for the other end of a pipe.

use super::{Name, Record};
use anyhow::Context;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, open};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const FOLDER: &str = "/var/lib/heartbeat-jobs";

/// How many files are read at most. Those of root come first, then the first of each user, then the second.
const FILES: usize = 100;

/// What is said where there are more.
pub const TOO_MANY: &str = "more than 100 files in /var/lib/heartbeat-jobs";

/// How many names are looked at: some may be no jobs.
const NAMES: usize = 10 * FILES;

/// The size of a file that is believed, bytes.
const LARGEST: u64 = 4096;

/// The size of every file that is written, bytes. Since it does not change, the end of a run can be written to a full disk.
const SIZE: usize = 1024;

/// Without following a link, without waiting, and without becoming the terminal of a session.
const CAREFULLY: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A job that is believed.
pub struct Job {
    pub uid: u32,
    pub name: Name,
    /// None if its user has put something else into its file.
    pub record: Option<Record>,
    /// Whether a run holds its lock.
    pub is_locked: bool,
}

/// All jobs, and whether there are too many files.
///
/// # Errors
/// If the folder is there and cannot be read.
pub fn list() -> io::Result<(Vec<Job>, bool)> {
    let entries = match fs::read_dir(FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        entries => entries?,
    };
    let names: Vec<_> = entries.take(NAMES + 1).collect::<Result<_, _>>()?;
    let mut files: Vec<_> = names
        .iter()
        .filter_map(|entry| {
            let path = entry.path();
            let (uid, name) = entry.file_name().to_str()?.split_once('-').and_then(parsed)?;
            let file = fs::symlink_metadata(&path).ok()?;
            is_believed(file.uid() == uid, file.is_file(), file.len()).then_some((uid, name, path))
        })
        .collect();
    files.sort();
    let mut counts: HashMap<u32, usize> = HashMap::new();
    let mut ranked: Vec<_> = files
        .into_iter()
        .map(|(uid, name, path)| {
            let count = counts.entry(uid).or_default();
            *count += 1;
            (if uid == 0 { 0 } else { *count }, uid, name, path)
        })
        .collect();
    ranked.sort();
    let are_too_many = names.len() > NAMES || ranked.len() > FILES;
    let jobs = ranked.into_iter().take(FILES);
    Ok((jobs.filter_map(|(_, uid, name, path)| read_job(uid, name, &path)).collect(), are_too_many))
}

fn parsed((uid, name): (&str, &str)) -> Option<(u32, Name)> {
    let id: u32 = uid.parse().ok()?;
    // Neither `+0` nor `00`.
    (id.to_string() == uid).then_some((id, name.parse().ok()?))
}

const fn is_believed(is_owners: bool, is_file: bool, size: u64) -> bool {
    is_owners && is_file && size <= LARGEST
}

fn read_job(uid: u32, name: Name, path: &Path) -> Option<Job> {
    let file = File::from(open(path, OFlags::RDONLY | CAREFULLY, Mode::empty()).ok()?);
    let metadata = file.metadata().ok()?;
    if !is_believed(metadata.uid() == uid, metadata.is_file(), metadata.len()) {
        return None;
    }
    // A run may just be writing.
    let record = read(&file).or_else(|| {
        thread::sleep(Duration::from_millis(2));
        read(&file)
    });
    if record.as_ref().is_some_and(|record| record.name != name.0) {
        return None;
    }
    let is_locked = flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK);
    Some(Job { uid, name, record, is_locked })
}

fn read(file: &File) -> Option<Record> {
    let mut content = [0; LARGEST as usize];
    let length = file.read_at(&mut content, 0).ok()?;
    serde_json::from_slice(&content[..length]).ok()
}

/// The file of a job of this user.
pub struct JobFile {
    file: File,
    path: PathBuf,
    is_locked: bool,
}

impl JobFile {
    /// Opens it, or makes it, and locks it unless another run holds the lock.
    pub fn open(name: &Name) -> anyhow::Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let path = Path::new(FOLDER).join(format!("{uid}-{name}"));
        let file = own(&path, uid).with_context(|| path.display().to_string())?;
        let mut file = Self { file, path, is_locked: false };
        // The agent looks for a moment whether it is locked.
        for _ in 0..20 {
            file.is_locked = flock(&file.file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if file.is_locked {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(file)
    }

    pub const fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// Changes what it says. It is written in place, because the lock is that of the file.
    pub fn update(&self, name: &Name, change: impl FnOnce(&mut Record)) -> anyhow::Result<()> {
        let new = || Record { name: name.0.clone(), declared: super::now(), ..Record::default() };
        let mut record =
            read(&self.file).filter(|record| record.name == name.0).unwrap_or_else(new);
        change(&mut record);
        let text = serde_json::to_string(&record)?;
        let text = format!("{text:<width$}\n", width = SIZE - 1);
        let is_new = self.file.metadata()?.len() == 0;
        let write = || {
            self.file.write_all_at(text.as_bytes(), 0)?;
            self.file.set_len(text.len() as u64)?;
            self.file.sync_data()
        };
        write().with_context(|| {
            if is_new {
                let _ = fs::remove_file(&self.path);
            }
            self.path.display().to_string()
        })
    }
}

/// Opens or makes a file that is this user's, and nothing else. What is in its place is removed, if this user may do that: in
/// this folder, root and the owner may.
fn own(path: &Path, uid: u32) -> io::Result<File> {
    let is_own = |file: &dyn AsFd| {
        fstat(file.as_fd()).is_ok_and(|stat| {
            // With a second name, it may be any file of this user.
            FileType::from_raw_mode(stat.st_mode).is_file()
                && stat.st_uid == uid
                && stat.st_nlink == 1
        })
    };
    match open(path, OFlags::RDWR | CAREFULLY, Mode::empty()) {
        Ok(file) if is_own(&file) => return Ok(file.into()),
        Err(Errno::NOENT) => {}
        _ => {
            let aside = path.with_file_name(format!("set-aside.{:016x}", fastrand::u64(..)));
            fs::remove_file(path).or_else(|_| fs::rename(path, aside))?;
        }
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | CAREFULLY;
    let file = open(path, flags, Mode::RUSR | Mode::WUSR)?;
    // Whatever the umask is, the agent reads it as a member of the folder's group.
    fchmod(&file, Mode::RUSR | Mode::WUSR | Mode::RGRP)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_name_of_a_file_is_a_users_job() {
        let name: Name = "a-b".parse().expect("a name");
        assert_eq!(parsed(("0", "a-b")), Some((0, name)));
        for file in
            [("+0", "a"), ("00", "a"), ("", "a"), ("4294967296", "a"), ("0", "a b"), ("0", "")]
        {
            assert_eq!(parsed(file), None, "{file:?}");
        }
    }
}
