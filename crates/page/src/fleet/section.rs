//! The groups of a fleet, each with what is worse first.

use super::{Fleet, Server};
use announcement::words::natural;
use std::collections::BTreeMap;
use tables::Group;
use verdict::Summary;

/// The servers of a group, or those that are in none.
pub struct Section<'a> {
    pub group: Option<&'a Group>,
    /// Those that are shown; never none.
    pub servers: Vec<&'a Server>,
    /// How well all its servers are, if all are known.
    pub summary: Option<Summary>,
}

impl Fleet {
    /// Servers by group: the group with the worst server first, and of several that are as bad the one in no group last. `None` if
    /// no server is in a group, or only a group was asked for.
    #[must_use]
    pub fn sections<'a>(&'a self, shown: &[&'a Server]) -> Option<Vec<Section<'a>>> {
        let is_grouped = self.servers.iter().any(|server| server.stored.group.is_some());
        if self.is_part || !is_grouped {
            return None;
        }
        let mut sections: BTreeMap<Option<&Group>, Section<'_>> = BTreeMap::new();
        for server in shown {
            let group = server.stored.group.as_ref();
            let summary = (!self.is_cut()).then(|| Summary::new(self.at, self.zone.clone()));
            let section = sections.entry(group).or_insert_with(|| Section {
                group,
                servers: Vec::new(),
                summary,
            });
            section.servers.push(server);
        }
        for server in &self.servers {
            let section = sections.get_mut(&server.stored.group.as_ref());
            if let Some(summary) = section.and_then(|section| section.summary.as_mut()) {
                summary.add(server.standing());
            }
        }
        let mut sections: Vec<_> = sections.into_values().collect();
        sections.sort_by(|one, other| {
            let worst =
                |section: &Section<'_>| (section.servers[0].standing(), section.group.is_none());
            let name = |section: &Section<'a>| section.group.map_or("", Group::as_str);
            worst(one).cmp(&worst(other)).then_with(|| natural(name(one), name(other)))
        });
        Some(sections)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_ROWS, Standing};
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use tables::server::{Memory, Reading, Rules, Server as StoredServer, Status};
    use tables::time::{Stored, format};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_768_732_200, 0).expect("a time")
    }

    /// A server that was last seen so many seconds ago; in no group if that has no name.
    fn server(id: &str, group: &str, seen: i64) -> StoredServer {
        let seen = now() - TimeDelta::seconds(seen);
        StoredServer {
            server_id: id.to_owned(),
            group: group.parse().ok(),
            status: Some(Status::Online),
            last_seen: Stored::parse(format(seen)),
            reading: Some(Reading { received_at: Some(seen), ..Reading::default() }),
            ..StoredServer::default()
        }
    }

    fn fleet(stored: Vec<StoredServer>) -> Fleet {
        let memory =
            Memory { swept_at: Some(now()), rules: Some(Rules::default()), ..Memory::default() };
        Fleet::new(stored, Some(&memory), now())
    }

    /// Each heading, how many servers are below it, and its sentence.
    fn headings(fleet: &Fleet) -> Vec<(&str, usize, String)> {
        let (found, _) = fleet.find("");
        let sections = fleet.sections(&found[..found.len().min(MAX_ROWS)]).unwrap_or_default();
        let headings = sections.into_iter().map(|section| {
            let sentence = section.summary.map(|summary| summary.to_string());
            let name = section.group.map_or("", Group::as_str);
            (name, section.servers.len(), sentence.unwrap_or_default())
        });
        headings.collect()
    }

    // C13.7
    #[test]
    fn the_group_with_the_worst_server_comes_first() {
        let servers = [
            ("alone", "", 5),
            ("web-1", "web-10", 5),
            ("web-2", "web-9", 5),
            ("db-1", "db", 400),
            ("db-2", "db", 5),
        ];
        let stored = servers.map(|(id, group, seen)| server(id, group, seen));
        let well = "The only server is well".to_owned();
        let expected = [
            ("db", 2, "1 of 2 are well: 1 offline".to_owned()),
            ("web-9", 1, well.clone()),
            ("web-10", 1, well.clone()),
            ("", 1, well),
        ];
        assert_eq!(headings(&fleet(stored.to_vec())), expected);
        assert_eq!(headings(&fleet(vec![server("alone", "", 5)])), []);
    }

    // C13.7 C13.10
    #[test]
    fn a_heading_is_about_all_servers_of_its_group_also_those_that_are_not_shown() {
        let stored = (0..1_200).map(|number| server(&format!("web-{number}"), "web", 5));
        let fleet = fleet(stored.chain([server("db-1", "db", 400)]).collect());
        assert_eq!(fleet.summary.count(Standing::Offline), 1);
        let expected = [
            ("db", 1, "0 of 1 are well: 1 offline".to_owned()),
            ("web", 999, "All 1200 servers are well".to_owned()),
        ];
        assert_eq!(headings(&fleet), expected);
    }
}
