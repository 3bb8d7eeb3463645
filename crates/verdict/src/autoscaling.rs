//! An autoscaling group in memory: instances that start, leave and crash, and the sweeps over them (C14.3).

use crate::{Decision, Review};
use announcement::Announcement;
use aws_sdk_dynamodb::types::AttributeValue::{Bool, M, S};
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tables::Item;
use tables::server::{Groups, Memory, Rules};
use tables::time::format;

/// Of the seed that is given, or else another each time.
fn random() -> Rng {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    Rng::with_seed(seed)
}

struct Table {
    items: BTreeMap<String, Item>,
    memory: Memory,
    groups: Groups,
    now: DateTime<Utc>,
    said: Vec<(&'static str, String)>,
}

impl Table {
    fn new() -> Self {
        let rules = M([("ephemeral".to_owned(), Bool(true))].into());
        let groups = Item::from([
            ("server_id".to_owned(), S("#groups".to_owned())),
            ("web".to_owned(), rules),
        ]);
        Self {
            items: BTreeMap::new(),
            memory: Memory::default(),
            groups: Groups::from_item(Some(&groups)),
            now: "2026-01-18T10:30:00Z".parse().expect("a time"),
            said: Vec::new(),
        }
    }

    /// Receives a heartbeat of an instance with the group's key.
    fn hear(&mut self, id: &str, is_leaving: bool) {
        let now = S(format(self.now));
        let reading = M([("received_at".to_owned(), now.clone())].into());
        let item = self.items.entry(id.to_owned()).or_default();
        item.remove("left_at");
        let left = is_leaving.then(|| ("left_at", now.clone()));
        let heartbeat = [
            ("server_id", S(id.to_owned())),
            ("group", S("web".to_owned())),
            ("status", S("online".to_owned())),
            ("last_seen", now.clone()),
            ("reading", reading),
        ];
        let attributes = heartbeat.into_iter().chain(left);
        item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    }

    /// Sweeps now, with a topic that works.
    fn sweep(&mut self) -> Decision {
        let (groups, memory) = (self.groups.clone(), self.memory.clone());
        let mut review = Review::new(Rules::default(), groups, memory, None, self.now);
        self.items.values().for_each(|item| review.add(item));
        let decision = review.conclude();
        self.memory = decision.memory.clone();
        let ahead = decision.plan.ahead();
        let written: HashSet<_> =
            ahead.filter(|(_, write)| self.write(&write.change)).map(|(place, _)| place).collect();
        let say = decision.plan.say(&written);
        let places: Vec<_> = say.iter().map(|(place, _)| *place).collect();
        let named = say.iter().map(|(_, said)| (said.kind().key(), said.server_id().to_owned()));
        self.said.extend(named.collect::<Vec<_>>());
        for write in decision.plan.after(&places) {
            self.write(&write.change);
        }
        decision
    }

    fn write(&mut self, change: &tables::server::Change) -> bool {
        let id = change.server_id().to_owned();
        let mut item = self.items.remove(&id);
        let is_done = change.apply(&mut item);
        self.items.extend(item.map(|item| (id, item)));
        is_done
    }

    /// The servers of which this was said.
    fn of(&self, kind: &str) -> BTreeSet<String> {
        let said = self.said.iter().filter(|(known, _)| *known == kind);
        said.map(|(_, id)| id.clone()).collect()
    }
}

// C14.3: exactly the crashes are announced, and in the end every item is gone.
#[test]
fn of_a_thousand_instances_exactly_those_that_crash_are_announced() {
    let mut random = random();
    let mut table = Table::new();
    // Each lives from one minute to another; one in ten crashes, and the others leave. Two hundred leave at once.
    let mut instances: Vec<_> = (0..1_000)
        .map(|number| {
            let start = random.i64(0..60);
            let end = if number % 5 == 0 { 80 } else { start + random.i64(1..40) };
            (format!("web-i-{number:04}"), start, end, number % 10 == 1)
        })
        .collect();
    random.shuffle(&mut instances);
    let crashed: BTreeSet<_> =
        instances.iter().filter(|(.., crashes)| *crashes).map(|(id, ..)| id.clone()).collect();
    for minute in 0..120 {
        for (id, start, end, crashes) in &instances {
            match minute {
                now if (*start..*end).contains(&now) => table.hear(id, false),
                now if now == *end && !crashes => table.hear(id, true),
                _ => {}
            }
        }
        table.now += TimeDelta::seconds(random.i64(1..30));
        let decision = table.sweep();
        assert!(!decision.is_mass_absence, "minute {minute}");
        table.now = "2026-01-18T10:30:00Z".parse::<DateTime<Utc>>().expect("a time")
            + TimeDelta::minutes(minute + 1);
    }
    assert_eq!(table.of("offline"), crashed);
    assert_eq!(table.said.len(), crashed.len(), "{:?}", table.said);
    assert_eq!(table.items.len(), 1_000);

    table.now += TimeDelta::hours(26);
    // Sweeps went on meanwhile.
    table.memory.swept_at = Some(table.now - TimeDelta::minutes(1));
    table.sweep();
    assert_eq!(table.of("removed"), crashed);
    assert_eq!(table.said.len(), 2 * crashed.len());
    assert_eq!(table.items.keys().collect::<Vec<_>>(), [""; 0]);
}

// C14.3: whatever fails, a removal that may have been said is said again, and what comes back in between stays.
#[test]
fn an_instance_that_comes_back_is_not_removed() {
    let mut table = Table::new();
    for id in ["web-1", "web-2", "web-3", "web-4"] {
        table.hear(id, false);
    }
    table.now += TimeDelta::seconds(60);
    ["web-2", "web-3", "web-4"].iter().for_each(|id| table.hear(id, false));
    table.sweep();
    for _ in 0..4 {
        table.now += TimeDelta::seconds(60);
        ["web-2", "web-3", "web-4"].iter().for_each(|id| table.hear(id, false));
        table.sweep();
    }
    assert_eq!(table.said, [("offline", "web-1".to_owned())]);
    table.now += TimeDelta::hours(24);
    let (groups, memory) = (table.groups.clone(), Memory::default());
    let mut review = Review::new(Rules::default(), groups, memory, None, table.now);
    review.add(&table.items["web-1"]);
    let plan = review.conclude().plan;
    // A heartbeat arrives after the scan.
    table.hear("web-1", false);
    let ahead: Vec<_> = plan.ahead().map(|(_, write)| write.change.clone()).collect();
    assert_eq!(ahead.len(), 1);
    assert!(!table.write(&ahead[0]));
    assert_eq!(plan.say(&HashSet::new()), []);
    let removals = plan.after(&[]);
    assert_eq!(removals, []);
    let said: Vec<&Announcement> =
        plan.say(&HashSet::from([0])).into_iter().map(|(_, said)| said).collect();
    assert!(matches!(said[..], [Announcement::Removed(_)]), "{said:?}");
    assert!(!table.write(&plan.after(&[(0, 0)])[0].change), "nor after it was said");
    assert!(table.items.contains_key("web-1"));
}

// C8.4: a machine that reboots leaves without a word, and 40 of 60 that do so at once are no news.
#[test]
fn when_40_of_60_servers_reboot_nothing_is_announced() {
    let mut random = random();
    let mut table = Table::new();
    let start = table.now;
    // When each begins to send, every minute, and when it reboots: within ten seconds of the others.
    let servers: Vec<_> = (0..60)
        .map(|number| {
            let reboots = 600 + random.i64(0..10);
            let until = if number < 40 { reboots + random.i64(240..400) } else { reboots };
            (format!("web-{number}"), random.i64(0..60), reboots..until)
        })
        .collect();
    for second in 0..1_800 {
        table.now = start + TimeDelta::seconds(second);
        for (id, first, reboots) in &servers {
            // An agent sends when it starts.
            let since = if second < reboots.end { *first } else { reboots.end };
            if !reboots.contains(&second) && second >= since && (second - since) % 60 == 0 {
                table.hear(id, false);
            }
        }
        if second % 60 == 0 {
            table.sweep();
        }
    }
    assert_eq!(table.said, []);
}
