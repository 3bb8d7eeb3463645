//! A file system in a server's reading.

use crate::metric;
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
    /// What names the share of this file system, wherever metrics are named: `disk_percent:/data`.
    #[must_use]
    pub fn name(mount: &str) -> String {
        format!("{}:{mount}", metric!("disk_percent").name)
    }

    /// The fullest first, then by mount point.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        other.percent.total_cmp(&self.percent).then_with(|| self.mount.cmp(&other.mount))
    }
}

#[cfg(feature = "items")]
pub(crate) mod items {
    use super::Disk;
    use crate::{Item, Number};
    use aws_sdk_dynamodb::types::AttributeValue::{self, M, N};

    /// In a row and in a server's reading: the fullest file systems.
    pub const DISKS: &str = "disks";

    impl Disk {
        /// File systems as an attribute: percents by mount point.
        pub(crate) fn attribute(disks: &[Self]) -> AttributeValue {
            let percent = |disk: &Self| N(Number::Float(disk.percent).to_string());
            M(disks.iter().map(|disk| (disk.mount.clone(), percent(disk))).collect())
        }

        /// Reads the file systems among the attributes of a row or of a reading, the fullest first; `None` without a list. What
        /// cannot be read is left out.
        pub(crate) fn from_item(item: &Item) -> Option<Vec<Self>> {
            let disk = |(mount, percent): (&String, &AttributeValue)| {
                let percent = Number::parse(percent.as_n().ok()?)?.as_f64();
                Some(Self { mount: mount.clone(), percent })
            };
            let map = item.get(DISKS)?.as_m().ok()?;
            let mut disks: Vec<_> = map.iter().filter_map(disk).collect();
            disks.sort_by(Self::order);
            Some(disks)
        }
    }
}
