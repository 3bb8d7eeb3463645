//! Who comes first where there is not enough room for all: no server crowds out another.

use crate::{Announcement, Kind};
use std::collections::HashMap;

/// The turn of each announcement: 0 for a death; of the others about its server, 1 for the first, 2 for the second, and so on, bad
/// news first.
#[must_use]
pub fn turns(announcements: &[Announcement]) -> Vec<usize> {
    let mut turns = vec![0; announcements.len()];
    let mut last: HashMap<&str, usize> = HashMap::new();
    let mut ordered: Vec<_> = announcements.iter().enumerate().collect();
    ordered.sort_by_key(|(_, announcement)| announcement.kind().tone());
    for (place, announcement) in ordered {
        if announcement.kind() != Kind::Offline {
            let last = last.entry(announcement.server_id()).or_default();
            *last += 1;
            turns[place] = *last;
        }
    }
    turns
}
