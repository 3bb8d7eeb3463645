//! `filesystems`: the fullest ones are kept.

use super::field::Schema;
use super::json::Json;
use super::lenient::{LenientField, number, text};
use super::text::shorten;
use tables::Disk;
use tables::metric::Rule;

/// How many file systems a reading holds.
const MAX: usize = 3;

/// How many bytes of a mount point it holds.
const MAX_MOUNT: usize = 64;

impl LenientField for Vec<Disk> {
    const SCHEMA: Schema = Schema::List("FileSystem");

    fn from_json(list: Json<'_>) -> Option<Self> {
        let mut fullest: Self = Vec::with_capacity(MAX + 1);
        let is_list = list.for_each(|entry| {
            let Some(disk) = disk(entry) else { return };
            match fullest.iter_mut().find(|known| known.mount == disk.mount) {
                Some(known) => known.percent = known.percent.max(disk.percent),
                None => fullest.push(disk),
            }
            fullest.sort_by(Disk::order);
            fullest.truncate(MAX);
        });
        is_list.then_some(fullest)
    }
}

fn disk(entry: Json<'_>) -> Option<Disk> {
    const MEMBERS: [&str; 4] = ["mount_point", "used_bytes", "available_bytes", "percent"];
    let members = entry.members(MEMBERS.into_iter()).ok()??;
    let bytes = |name| number(members.get(name)?, Rule::Count).map(|bytes| bytes.as_f64());
    let computed = bytes("used_bytes").zip(bytes("available_bytes"));
    let percent = match computed.filter(|(used, available)| used + available > 0.0) {
        Some((used, available)) => used / (used + available) * 100.0,
        None => number(members.get("percent")?, Rule::Percent)?.as_f64(),
    };
    Some(Disk {
        mount: shorten(text(members.get("mount_point")?)?, MAX_MOUNT),
        percent: (percent * 10.0).round() / 10.0,
    })
}
