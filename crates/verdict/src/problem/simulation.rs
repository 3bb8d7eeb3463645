//! Twelve hours of one server, with up to six file systems and nine services that come and go, senders that share its name,
//! silences, absences, forgetting and changed limits, while the watchdog crashes between any two steps, overlaps with
//! itself, and half of its publications fail, are lost, or are too small for everything. When the dust has settled, the
//! last announcement about every problem is true; on the way, nothing ends that was not said, or too early.

use super::{END_LASTS, End, Facts, GONE_LASTS, Judgement, ProblemAnnouncement, Reading};
use crate::condition::{DUPLICATE_LASTS, FRESH, of_disk_percent};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use tables::problem::{DISK_PERCENT, Key, Problem, Problems, Stage};
use tables::{Disk, Limits, Metrics, Number, Service, ServiceStatus, Services};

const MINUTES: i64 = 12 * 60;
const MOUNTS: [&str; 6] = ["/", "/data", "/backup", "/home", "/srv", "/var"];
const SERVICES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
const STATUSES: [&str; 4] = ["failed", "stopped", "running", "unknown"];
const LIMITS: [&str; 4] = [
    "disk_percent=90,cpu_percent=90/10m,load_5m=4",
    "disk_percent=90/20m,disk_percent:/backup=97,load_5m=8,service:a=off",
    "cpu_percent=90,duplicate=off,service=off",
    "none",
];
const OWN: [&str; 3] = ["none", "disk_percent=80,service:b=off", "load_5m=off,disk_percent:/=97"];

/// What is true of the server.
#[derive(Clone)]
struct Truth {
    metrics: BTreeMap<&'static str, f64>,
    disks: BTreeMap<&'static str, f64>,
    /// Whether the agent lists file systems and services.
    lists: [bool; 2],
    services: BTreeMap<&'static str, &'static str>,
    are_two: bool,
    is_alive: bool,
    is_silenced: bool,
}

impl Truth {
    fn value(random: &mut Rng) -> f64 {
        let values = [20.0, 50.0, 84.0, 87.0, 91.0, 95.0, 99.0];
        values[random.usize(..values.len())]
    }

    fn new(random: &mut Rng) -> Self {
        let mut truth = Self {
            metrics: BTreeMap::new(),
            disks: BTreeMap::new(),
            lists: [true; 2],
            services: BTreeMap::new(),
            are_two: false,
            is_alive: true,
            is_silenced: false,
        };
        (0..20).for_each(|_| truth.change(random));
        truth
    }

    fn change(&mut self, random: &mut Rng) {
        match random.u8(..14) {
            0..3 => {
                let name = ["cpu_percent", DISK_PERCENT, "load_5m"][random.usize(..3)];
                let value = match name {
                    "load_5m" => Self::value(random) / 20.0,
                    _ => Self::value(random),
                };
                self.metrics.insert(name, value);
            }
            3 => {
                let name = ["cpu_percent", DISK_PERCENT, "load_5m"][random.usize(..3)];
                self.metrics.remove(name);
            }
            4..7 => {
                let mount = MOUNTS[random.usize(..MOUNTS.len())];
                self.disks.insert(mount, Self::value(random));
            }
            7 => {
                self.disks.remove(MOUNTS[random.usize(..MOUNTS.len())]);
            }
            8..11 => {
                let name = SERVICES[random.usize(..SERVICES.len())];
                self.services.insert(name, STATUSES[random.usize(..STATUSES.len())]);
            }
            11 => self.are_two = random.bool(),
            12 => self.lists = [random.u8(..4) > 0, random.u8(..4) > 0],
            _ => self.services.clear(),
        }
    }

    /// Nothing lies between the limit and the end.
    fn settle(&mut self) {
        let values = self.metrics.values_mut().chain(self.disks.values_mut());
        values.for_each(|value| {
            let (full, scale) = if *value < 6.0 { (99.0 / 20.0, 20.0) } else { (99.0, 1.0) };
            *value = if *value * scale > 90.0 { full } else { 1.0 };
        });
        self.is_alive = true;
        self.is_silenced = false;
    }
}

/// A reading as an item holds it.
#[derive(Clone)]
struct Sent {
    at: DateTime<Utc>,
    metrics: Metrics,
    disks: Option<Vec<Disk>>,
    services: Option<Services>,
}

impl Sent {
    fn new(truth: &Truth, at: DateTime<Utc>) -> Self {
        let disk = |(mount, percent): (&&str, &f64)| Disk {
            mount: (*mount).to_owned(),
            percent: *percent,
        };
        let mut disks: Vec<_> = truth.disks.iter().map(disk).collect();
        disks.sort_by(Disk::order);
        disks.truncate(3);
        let service = |(name, status): (&&str, &&str)| Service {
            status: ServiceStatus::parse(status).expect("a status"),
            name: (*name).to_owned(),
        };
        let mut not_running: Vec<_> = truth.services.iter().map(service).collect();
        not_running.retain(|service| service.status != ServiceStatus::Running);
        not_running.sort();
        let is_cut = not_running.len() > 6;
        not_running.truncate(6);
        let services = Services { not_running, is_cut };
        Self {
            at,
            metrics: Metrics::from_fn(|metric| {
                truth.metrics.get(metric.name).copied().map(Number::Float)
            }),
            disks: truth.lists[0].then_some(disks),
            services: truth.lists[1].then_some(services),
        }
    }

    /// The file system that `disk_percent` stands for.
    fn target(&self) -> Option<Key> {
        let mount = of_disk_percent(&self.reading())?.to_owned();
        Some(Key::Disk(mount))
    }

    fn reading(&self) -> Reading<'_> {
        Reading {
            received_at: self.at,
            metrics: &self.metrics,
            disks: self.disks.as_deref(),
            services: self.services.as_ref(),
        }
    }
}

/// The server's item.
#[derive(Clone)]
struct Item {
    registered_at: DateTime<Utc>,
    seen: DateTime<Utc>,
    duplicate_at: Option<DateTime<Utc>>,
    sent: Sent,
    problems: Option<AttributeValue>,
    own: usize,
}

/// A sweep between its steps.
struct Sweep {
    registered_at: DateTime<Utc>,
    judgement: Judgement,
    /// What its reading makes of `disk_percent`.
    target: Option<Key>,
    /// The level that it saw, by which its words are checked.
    at: DateTime<Utc>,
}

/// What a subscriber was told, and what it could have known.
#[derive(Default)]
struct Subscriber {
    /// The keys of which a beginning was the last announcement.
    open: BTreeSet<String>,
    /// The keys whose beginning was or may have been published.
    possible: BTreeSet<String>,
    repeated: Vec<String>,
}

struct World {
    random: Rng,
    now: DateTime<Utc>,
    truth: Truth,
    item: Item,
    limits: usize,
    subscriber: Subscriber,
    /// By key: since when the judged readings have called it high; when one last did; and when one last said anything.
    high_since: BTreeMap<String, DateTime<Utc>>,
    last_high: BTreeMap<String, DateTime<Utc>>,
    last_known: BTreeMap<String, DateTime<Utc>>,
    /// Since when `disk_percent` had been high before this sweep.
    whole_since: Option<DateTime<Utc>>,
    has_fault: bool,
    /// What was broken on the way.
    broken: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let now: DateTime<Utc> = "2026-01-18T10:00:00Z".parse().expect("a time");
        let truth = Truth::new(&mut random);
        let sent = Sent::new(&truth, now);
        Self {
            item: Item {
                registered_at: now,
                seen: now,
                duplicate_at: None,
                sent,
                problems: None,
                own: 0,
            },
            limits: random.usize(..LIMITS.len()),
            random,
            now,
            truth,
            subscriber: Subscriber::default(),
            high_since: BTreeMap::new(),
            last_high: BTreeMap::new(),
            last_known: BTreeMap::new(),
            whole_since: None,
            has_fault: false,
            broken: Vec::new(),
        }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random.u32(..one_in) == 0
    }

    fn limits(&self) -> (Limits, Limits) {
        let limits = Limits::parse(LIMITS[self.limits]).expect("limits");
        (limits, Limits::parse_own(OWN[self.item.own]).expect("limits"))
    }

    fn happen(&mut self) {
        let changes = [0, 0, 0, 1, 1, 2, 3][self.random.usize(..7)];
        for _ in 0..changes {
            self.truth.change(&mut self.random);
        }
        if self.chance(60) {
            self.truth.is_alive = !self.truth.is_alive;
        }
        if self.chance(60) {
            self.truth.is_silenced = !self.truth.is_silenced;
        }
        if self.chance(120) {
            self.limits = self.random.usize(..LIMITS.len());
        }
        if self.chance(120) {
            self.item.own = self.random.usize(..OWN.len());
        }
        if self.chance(180) {
            self.forget();
        }
    }

    /// Whoever forgets a server knows that nothing more will be said.
    fn forget(&mut self) {
        self.item = Item {
            registered_at: self.now,
            seen: self.now,
            duplicate_at: None,
            sent: Sent::new(&self.truth, self.now),
            problems: None,
            own: 0,
        };
        self.subscriber = Subscriber {
            repeated: std::mem::take(&mut self.subscriber.repeated),
            ..Subscriber::default()
        };
        self.high_since.clear();
        self.last_high.clear();
        self.last_known.clear();
    }

    fn heartbeat(&mut self) {
        if !self.truth.is_alive {
            return;
        }
        self.item.seen = self.now;
        self.item.sent = Sent::new(&self.truth, self.now);
        let is_old = |at: DateTime<Utc>| self.now - at >= TimeDelta::minutes(5);
        if self.truth.are_two && self.item.duplicate_at.is_none_or(is_old) {
            self.item.duplicate_at = Some(self.now);
        }
    }

    /// Reads the item and judges it. The item may be changed before the sweep goes on.
    fn review(&mut self, is_noted: bool) -> Option<Sweep> {
        let item = self.item.clone();
        let (known, is_complete) = Problems::from_attribute(item.problems.as_ref());
        assert!(is_complete, "{:?}", item.problems);
        assert!(known.entries.len() <= 12, "{:?}", item.problems);
        let (limits, own) = self.limits();
        let is_judged = self.now - item.seen <= TimeDelta::minutes(3) && !self.truth.is_silenced;
        if is_judged && is_noted {
            self.note(&item, &known, &limits, &own);
        }
        let judgement = if is_judged {
            let facts = Facts {
                seen: item.seen,
                duplicate_at: item.duplicate_at,
                reading: Some(item.sent.reading())
                    .filter(|reading| item.seen - reading.received_at <= FRESH),
                limits: &limits,
                own: Some(&own),
            };
            Judgement::new(&known, &facts)
        } else {
            if is_noted {
                self.high_since.clear();
            }
            Judgement::unjudged(&known)
        };
        Some(Sweep {
            registered_at: item.registered_at,
            judgement: judgement?,
            target: item.sent.target(),
            at: item.seen,
        })
    }

    /// Notes what the reading says of everything, by rules that are written down a second time.
    fn note(&mut self, item: &Item, known: &Problems, limits: &Limits, own: &Limits) {
        let target = item.sent.target();
        let whole = Key::parse(DISK_PERCENT).expect("a key");
        // What `disk_percent` hands over, it hands over with the limit that was reached.
        let entry = |key: &Key| {
            let own = known.get(key);
            let handed = known.get(&whole).filter(|_| target.as_ref() == Some(key));
            let stays = own.filter(|problem| problem.stage != Stage::NotLasted);
            stays.or(handed).or(own)
        };
        let is_over = |value: f64, limit: f64, key: &Key| {
            let reached = entry(key).and_then(|problem| problem.limit);
            value
                < if reached.is_none_or(|reached| reached == limit) { 0.95 * limit } else { limit }
        };
        let mut seen = Vec::new();
        for name in ["cpu_percent", DISK_PERCENT, "load_5m"] {
            let key = Key::parse(name).expect("a key");
            // It is judged under the name of its file system.
            if key == whole && target.is_some() {
                continue;
            }
            let value = item.sent.metrics.get(name).map(Number::as_f64);
            let metric = tables::Metric::find(name).expect("a metric");
            if let (Some(value), Some(limit)) = (value, limits.of(metric, Some(own))) {
                seen.push((key.clone(), value >= limit, is_over(value, limit, &key)));
            }
        }
        for mount in MOUNTS {
            let key = Key::Disk(mount.to_owned());
            let Some(limit) = limits.disk(mount, Some(own)).map(|limit| limit.value) else {
                continue;
            };
            let Some(disks) = &item.sent.disks else {
                continue;
            };
            match disks.iter().find(|disk| disk.mount == mount) {
                Some(disk) => {
                    let value = disk.percent;
                    seen.push((key.clone(), value >= limit, is_over(value, limit, &key)))
                }
                None if disks.len() == 3 && is_over(disks[2].percent, limit, &key) => {
                    seen.push((key, false, true))
                }
                None => {}
            }
        }
        for name in SERVICES {
            let key = Key::Service(name.to_owned());
            let Some(services) = &item.sent.services else {
                continue;
            };
            if !limits.watches_service(name, Some(own)) {
                continue;
            }
            let mut listed = services.not_running.iter();
            match listed.find(|service| service.name == name) {
                Some(service) if service.status == ServiceStatus::Unknown => {}
                Some(_) => seen.push((key, true, false)),
                None if services.is_cut => {}
                None => seen.push((key, false, true)),
            }
        }
        self.whole_since = self.high_since.get(DISK_PERCENT).copied();
        let mut high = BTreeSet::new();
        for (key, is_high, is_over) in seen {
            let key = key.to_string();
            self.last_known.insert(key.clone(), item.sent.at);
            if !is_over {
                self.last_high.insert(key.clone(), item.sent.at);
            }
            if is_high {
                self.high_since.entry(key.clone()).or_insert(item.sent.at);
                high.insert(key);
            }
        }
        self.high_since.retain(|key, _| high.contains(key));
    }

    /// An update with its condition.
    fn write(&mut self, sweep: &Sweep, problems: &Problems) -> bool {
        let holds = self.item.problems.as_ref() == problems.stored()
            && self.item.registered_at == sweep.registered_at;
        if holds {
            self.item.problems = problems.value();
        }
        holds
    }

    /// A sweep that stops after so many steps, if any, and whose publication may go wrong.
    fn sweep(&mut self, is_bad: bool) {
        let mut steps_left = usize::MAX;
        if is_bad && self.chance(3) {
            steps_left = self.random.usize(..3);
            self.has_fault = true;
        }
        let Some(sweep) = self.review(true) else { return };
        if is_bad && sweep.judgement.ahead.is_some() && self.chance(6) {
            // Something else happens between reading and writing. (What is pending is published without a write: there,
            // two sweeps at once may contradict each other.)
            self.overlap();
        }
        let words: Vec<_> = sweep.judgement.announcements().cloned().collect();
        let ahead = sweep.judgement.ahead.clone();
        if let Some(ahead) = &ahead
            && (steps_left == 0 || !self.write(&sweep, ahead))
        {
            return;
        }
        self.hand_over(&sweep);
        let begun = words.iter().filter(|announcement| announcement.end.is_none());
        let begun = begun.map(|announcement| announcement.problem.key.to_string());
        self.subscriber.possible.extend(begun);
        if words.is_empty() || steps_left <= 1 {
            return;
        }
        let outcome = if is_bad && self.random.bool() { self.random.u8(..3) } else { 3 };
        self.has_fault |= outcome < 3;
        let room = match outcome {
            0 => 0,
            2 => self.random.usize(..=words.len()),
            _ => words.len(),
        };
        for announcement in &words[..room] {
            // Whoever forgot the server knows that this is about the one that it was.
            if self.item.registered_at == sweep.registered_at {
                self.hear(announcement, sweep.at);
            }
        }
        if is_bad && self.chance(8) {
            self.overlap();
        }
        if outcome == 1 || room == 0 || steps_left <= 2 {
            return;
        }
        let said = &words[..room];
        let after = sweep.judgement.after(|announcement| said.contains(announcement));
        self.write(&sweep, &after);
    }

    /// Another sweep runs as a whole, or the server is forgotten and registers again.
    fn overlap(&mut self) {
        self.has_fault = true;
        if self.chance(3) {
            self.forget();
            return;
        }
        self.now += TimeDelta::seconds(1);
        self.truth.change(&mut self.random);
        self.heartbeat();
        self.sweep(false);
    }

    /// The subscriber is to take `disk_percent` for what it has become.
    fn hand_over(&mut self, sweep: &Sweep) {
        let whole = |problems: &Problems| {
            problems.entries.iter().any(|(key, _)| key.to_string() == DISK_PERCENT)
        };
        let Some(ahead) = &sweep.judgement.ahead else {
            return;
        };
        let has_announcements = sweep
            .judgement
            .announcements()
            .any(|announcement| announcement.problem.key.to_string() == DISK_PERCENT);
        if !whole(&sweep.judgement.known) || whole(ahead) || has_announcements {
            return;
        }
        let Some(target) = sweep.target.as_ref().map(Key::to_string) else {
            return;
        };
        for keys in [&mut self.subscriber.open, &mut self.subscriber.possible] {
            if keys.remove(DISK_PERCENT) {
                keys.insert(target.clone());
            }
        }
        for times in [&mut self.last_high, &mut self.last_known] {
            if let Some(at) = times.get(DISK_PERCENT).copied() {
                times.entry(target.clone()).or_insert(at);
            }
        }
        if let Some(since) = self.whole_since {
            let known = self.high_since.entry(target).or_insert(since);
            *known = since.min(*known);
        }
    }

    fn hear(&mut self, announcement: &ProblemAnnouncement, at: DateTime<Utc>) {
        let key = announcement.problem.key.to_string();
        let (limits, own) = self.limits();
        let lasts = match &announcement.problem.key {
            Key::Metric(metric) => limits.metric(metric, Some(&own)).map(|limit| limit.lasts),
            Key::Disk(mount) => limits.disk(mount, Some(&own)).map(|limit| limit.lasts),
            Key::Service(_) => None,
            Key::Duplicate => Some(DUPLICATE_LASTS),
        };
        let lasts = lasts.unwrap_or_default();
        let since =
            |times: &BTreeMap<String, DateTime<Utc>>| times.get(&key).map(|since| at - *since);
        let is_metric = announcement.problem.key != Key::Duplicate;
        match announcement.end {
            None => {
                if is_metric
                    && announcement.is_new
                    && since(&self.high_since).is_none_or(|time| time < lasts)
                    && !self.has_fault
                {
                    self.broken.push(format!("{key} was announced too early at {at}"));
                }
                if !self.subscriber.open.insert(key.clone()) {
                    self.subscriber.repeated.push(key);
                }
            }
            Some(end) => {
                let too_early = match end {
                    End::Solved => {
                        since(&self.last_high).is_some_and(|time| time < lasts.max(END_LASTS))
                    }
                    End::Gone => since(&self.last_known).is_some_and(|time| time < GONE_LASTS),
                    End::Unwatched => false,
                };
                if too_early && is_metric && !self.has_fault {
                    self.broken.push(format!("{key} ended too early at {at}: {end:?}"));
                }
                if !self.subscriber.possible.contains(&key) {
                    self.broken.push(format!("{key} ended at {at}, and was never said"));
                }
                if !self.subscriber.open.remove(&key) {
                    self.subscriber.repeated.push(format!("-{key}"));
                }
            }
        }
    }

    fn run(&mut self, is_bad: bool) {
        for _ in 0..MINUTES {
            self.now += TimeDelta::minutes(1);
            self.happen();
            self.heartbeat();
            self.sweep(is_bad);
            self.compare();
        }
        // What happened in the last minutes must be settled, too.
        self.truth.settle();
        for _ in 0..160 {
            self.now += TimeDelta::minutes(10);
            self.heartbeat();
            self.sweep(false);
        }
        self.check();
    }

    /// What has been recorded is what has been said, at any time.
    fn compare(&mut self) {
        let (problems, _) = Problems::from_attribute(self.item.problems.as_ref());
        let stage = |key: &str| {
            let key = Key::parse(key).expect("a key");
            problems.get(&key).map(|problem| problem.stage)
        };
        let open = &self.subscriber.open;
        let is_silent = |key: &&String| matches!(stage(key), None | Some(Stage::NotLasted));
        let unended: Vec<_> = open.iter().filter(is_silent).cloned().collect();
        let said = problems.entries.iter();
        let said = said.filter(|(_, problem)| problem.stage == Stage::Firing);
        let said = said.map(|(key, _)| key.to_string());
        let unsaid: Vec<_> = said.filter(|key| !open.contains(key)).collect();
        if !unended.is_empty() || !unsaid.is_empty() {
            let now = self.now;
            let broken =
                format!("at {now}, never to end: {unended:?}; recorded, but not said: {unsaid:?}");
            self.broken.push(broken);
        }
    }

    fn check(&mut self) {
        let (limits, own) = self.limits();
        let mut expected = BTreeSet::new();
        let sent = self.item.sent.clone();
        let reading = sent.reading();
        for (metric, value) in sent.metrics.iter() {
            let is_disk = metric.name == DISK_PERCENT && of_disk_percent(&reading).is_some();
            let limit = limits.of(metric, Some(&own));
            if !is_disk && limit.is_some_and(|limit| value.as_f64() >= limit) {
                expected.insert(metric.name.to_owned());
            }
        }
        for Disk { mount, percent } in sent.disks.iter().flatten() {
            let limit = limits.disk(mount, Some(&own));
            if limit.is_some_and(|limit| *percent >= limit.value) {
                expected.insert(format!("{DISK_PERCENT}:{mount}"));
            }
        }
        for Service { name, status } in
            sent.services.iter().flat_map(|services| &services.not_running)
        {
            if *status != ServiceStatus::Unknown && limits.watches_service(name, Some(&own)) {
                expected.insert(format!("service:{name}"));
            }
        }
        if self.truth.are_two && limits.watches_duplicate(Some(&own)) {
            expected.insert("duplicate".to_owned());
        }
        let (problems, _) = Problems::from_attribute(self.item.problems.as_ref());
        let entries: BTreeSet<_> =
            problems.entries.iter().map(|(key, _)| key.to_string()).collect();
        let calm = |(_, problem): &(Key, Problem)| {
            problem.stage == Stage::Firing && problem.note.is_none()
        };
        if !problems.entries.iter().all(calm) || entries != expected {
            self.broken.push(format!("the item holds {problems:?}, not {expected:?}"));
        }
        if self.subscriber.open != expected {
            let open = &self.subscriber.open;
            self.broken.push(format!("the last words are {open:?}, not {expected:?}"));
        }
        if !self.has_fault && !self.subscriber.repeated.is_empty() {
            let repeated = &self.subscriber.repeated;
            self.broken.push(format!("said twice: {repeated:?}"));
        }
    }
}

// C9.3 C9.4
#[test]
fn whatever_happens_the_last_word_is_true_and_nothing_ends_too_early() {
    let seed = std::env::var("SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    let runs = std::env::var("RUNS").map_or(80, |runs| runs.parse().expect("a number"));
    println!("SEED={seed}");
    let mut failed = 0;
    for run in 0..runs {
        let mut world = World::new(seed.wrapping_add(run));
        // A third of the runs has no fault, so that nothing may be said twice and nothing may be early.
        world.run(run % 3 > 0);
        if !world.broken.is_empty() {
            failed += 1;
            println!("SEED={}: {:#?}", seed.wrapping_add(run), world.broken);
        }
    }
    assert_eq!(failed, 0, "of {runs} runs");
}
