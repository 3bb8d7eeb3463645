//! The updates that heartbeat-updates.service has counted.

use super::lines;
use chrono::Utc;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

/// Lines of a name and a number: the counts, and when apt's lists were fetched, in seconds since 1970.
const FILE: &str = "/run/heartbeat/updates";

/// How old the lists and the file may be, seconds.
const LISTS: i64 = 3 * 86_400;
const COUNTED: i64 = 13 * 3600;

/// How many packages can be updated, and how many of these for security, if that is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Updates {
    pub all: Option<u64>,
    pub security: Option<u64>,
}

pub fn read() -> Updates {
    let content = || {
        let file = File::open(FILE).ok()?;
        let counted = file.metadata().ok()?.mtime();
        let mut content = Vec::new();
        file.take(4096).read_to_end(&mut content).ok()?;
        Some(parse(&content, counted, Utc::now().timestamp()))
    };
    content().unwrap_or_default()
}

fn parse(content: &[u8], counted: i64, now: i64) -> Updates {
    let value = |name: &str| {
        let mut lines = lines(content);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok())
    };
    let lists = value("lists").and_then(|lists| i64::try_from(lists).ok());
    let is_fresh = lists.is_some_and(|lists| now - lists <= LISTS) && now - counted <= COUNTED;
    let fresh = |name| value(name).filter(|_| is_fresh);
    Updates { all: fresh("updates_available"), security: fresh("security_updates") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_not_known() {
        let content = b"updates_available 12\nsecurity_updates 3\nlists 1000000\n";
        let both = Updates { all: Some(12), security: Some(3) };
        let none = Updates::default;
        let now = 1_000_000 + LISTS;
        assert_eq!(parse(content, now - COUNTED, now), both);
        assert_eq!(parse(content, now - COUNTED - 1, now), none());
        assert_eq!(parse(content, now, now + 1), none());
        let without_origin = b"updates_available 12\nlists 1000000\n";
        assert_eq!(parse(without_origin, now, now), Updates { all: Some(12), security: None });
        assert_eq!(parse(b"updates_available 12\n", now, now), none());
        assert_eq!(parse(b"", now, now), none());
    }
}
