//! How full a mount is, and how many errors it has counted. It may hang, because its server or its disk is gone.

use super::mount::Mount;
use rustix::fs::{FileType, stat, statvfs};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{fs, io};

/// What a mount answers.
#[derive(Clone, Copy)]
pub struct Used {
    pub space: Usage,
    /// Numbers, not bytes.
    pub inodes: Usage,
    /// Whether a folder is mounted: containers get single files of their host, too.
    pub is_folder: bool,
    /// How many errors a file system of the kind ext4 has counted since it was last repaired.
    pub errors: Option<u64>,
}

/// The usage of a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub total: u64,
    pub used: u64,
    /// What a user without privileges may still use.
    pub available: u64,
}

impl Usage {
    /// As `df` computes it: what only the superuser may use is neither used nor available.
    pub fn percent(self) -> Option<f64> {
        let usable = self.used + self.available;
        (usable > 0).then(|| self.used as f64 / usable as f64 * 100.0)
    }
}

pub fn read(mount: &Mount) -> io::Result<Used> {
    let point = OsStr::from_bytes(&mount.point);
    let used = statvfs(point)?;
    let bytes = |blocks: u64| blocks.saturating_mul(used.f_frsize);
    Ok(Used {
        space: Usage {
            total: bytes(used.f_blocks),
            used: bytes(used.f_blocks.saturating_sub(used.f_bfree)),
            available: bytes(used.f_bavail),
        },
        inodes: Usage {
            total: used.f_files,
            used: used.f_files.saturating_sub(used.f_ffree),
            available: used.f_favail,
        },
        is_folder: mount.is_whole || FileType::from_raw_mode(stat(point)?.st_mode).is_dir(),
        errors: mount.is_ext().then(|| errors(mount)).flatten(),
    })
}

fn errors(mount: &Mount) -> Option<u64> {
    let device = fs::read_link(Path::new("/sys/dev/block").join(&mount.device)).ok()?;
    let file = Path::new("/sys/fs/ext4").join(device.file_name()?);
    let count = fs::read(file.join("errors_count")).ok()?;
    std::str::from_utf8(&count).ok()?.trim().parse().ok()
}
