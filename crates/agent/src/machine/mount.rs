//! What is mounted, as `/proc/self/mountinfo` says.

use std::str::from_utf8;

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mount {
    /// The numbers of the device, as `8:1`.
    pub device: String,
    /// Whether all of the file system is mounted here, and not a folder or a file of it.
    pub is_whole: bool,
    /// Any bytes: users may mount where they like.
    pub point: Vec<u8>,
    /// The type of the file system.
    pub kind: String,
    /// The name of the device, or of what is mounted instead of one.
    pub source: Vec<u8>,
    /// The options of the superblock: those of the mount may be read-only just for this process.
    options: String,
}

/// The mounts of this process.
pub fn read() -> anyhow::Result<Vec<Mount>> {
    Ok(parse(&super::read("/proc/self/mountinfo")?))
}

pub fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.filter_map(Mount::parse).collect()
}

impl Mount {
    pub fn is_ext(&self) -> bool {
        matches!(&*self.kind, "ext2" | "ext3" | "ext4")
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let device = from_utf8(words.nth(2)?).ok()?.to_owned();
        let is_whole = words.next()? == b"/";
        let point = unescape(words.next()?);
        words.find(|word| *word == b"-")?;
        let kind = from_utf8(words.next()?).ok()?.to_owned();
        let source = unescape(words.next()?);
        Some(Self {
            device,
            is_whole,
            point,
            kind,
            source,
            options: String::from_utf8_lossy(words.next()?).into_owned(),
        })
    }

    pub fn has_option(&self, option: &str) -> bool {
        self.options.split(',').any(|own| own == option)
    }

    /// The mount point as it may be shown.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.point).into_owned()
    }
}

/// Decodes the octal escapes of white space and backslashes.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        let octal = after.get(..3).filter(|_| *byte == b'\\');
        let octal = octal.and_then(|digits| from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[3..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_its_mount_point_is() {
        let lines = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            odd\n\
            29 22 8:3 / /mnt/\xff\\134\\040x rw master:1 shared:2 - fuseblk /dev/sda3 rw,user_id=0\n";
        let mounts = parse(lines);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[1].point, b"/mnt/\xff\\ x");
        assert_eq!((&*mounts[1].device, &*mounts[1].kind), ("8:3", "fuseblk"));
        assert!(mounts[1].has_option("user_id=0") && !mounts[1].has_option("ro"));
    }
}
