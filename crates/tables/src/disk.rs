//! A file system in a server's reading.

use std::cmp::Ordering;

/// How full a file system is.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    /// Its mount point, which may have been shortened.
    pub mount: String,
    /// As `df` computes it, percent.
    pub percent: f64,
}

impl Disk {
    /// The fullest first, then by mount point.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        other.percent.total_cmp(&self.percent).then_with(|| self.mount.cmp(&other.mount))
    }
}
