//! How full a mount is, and how many errors it has counted. It may hang, because its server or its disk is gone.

use super::filesystem::{Usage, is_ext};
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
        errors: is_ext(mount).then(|| errors(mount)).flatten(),
    })
}

fn errors(mount: &Mount) -> Option<u64> {
    let device = fs::read_link(Path::new("/sys/dev/block").join(&mount.device)).ok()?;
    let file = Path::new("/sys/fs/ext4").join(device.file_name()?);
    let count = fs::read(file.join("errors_count")).ok()?;
    std::str::from_utf8(&count).ok()?.trim().parse().ok()
}
