//! `filesystems`: the fullest ones are kept.

use super::json::Json;
use super::lenient::{LenientField, name, number, shorten};
use serde_json::json;
use tables::Disk;
use tables::metric::Rule;

/// How many file systems a reading holds.
const MAX: usize = 3;

/// How many characters of a mount point it holds.
const MAX_MOUNT: usize = 64;

impl LenientField for Vec<Disk> {
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

    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": { "$ref": "#/components/schemas/FileSystem" } })
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
        mount: shorten(name(members.get("mount_point")?)?, MAX_MOUNT),
        percent: (percent * 10.0).round() / 10.0,
    })
}

/// A list, as JSON.
pub fn example() -> serde_json::Value {
    json!([{
        "mount_point": "/",
        "used_bytes": 42_949_672_960_u64,
        "available_bytes": 9_448_928_051_u64,
    }])
}

/// The JSON Schema of an entry.
#[cfg(test)]
pub fn definition() -> serde_json::Value {
    let bytes =
        |description: &str| json!({ "type": "integer", "minimum": 0, "description": description });
    json!({
        "type": "object",
        "description": "A file system. How full it is follows from its bytes, as in `df`, or else is `percent`. An \
                        entry without this form is left out.",
        "properties": {
            "mount_point": {
                "type": "string",
                "minLength": 1,
                "description": "Where it is mounted. Beyond 64 characters, it is shortened in the middle.",
            },
            "used_bytes": bytes("The bytes in use."),
            "available_bytes": bytes("The bytes that are left for users."),
            "percent": {
                "type": "number",
                "minimum": 0,
                "maximum": 100,
                "description": "The share in use, where the bytes are not known.",
            },
        },
        "required": ["mount_point"],
    })
}
