//! How full a mount is. It may hang, because its server or its disk is gone.

use super::filesystem::Usage;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// What a mount answers.
#[derive(Clone, Copy)]
pub struct Used {
    pub space: Usage,
    /// Numbers, not bytes.
    pub inodes: Usage,
}

pub fn read(point: &Vec<u8>) -> io::Result<Used> {
    let stat = rustix::fs::statvfs(OsStr::from_bytes(point))?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Used {
        space: Usage {
            total: bytes(stat.f_blocks),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            available: bytes(stat.f_bavail),
        },
        inodes: Usage {
            total: stat.f_files,
            used: stat.f_files.saturating_sub(stat.f_ffree),
            available: stat.f_favail,
        },
    })
}
