//! What can be wrong with a server, and the attribute `problems` of its item, which says what is.

use crate::metric;
use crate::metric::{METRICS, Metric};
use std::cmp::Ordering;
use std::fmt;

/// The metric that stands for a file system.
pub const DISK_PERCENT: &str = "disk_percent";

const SERVICE: &str = "service";
const DUPLICATE: &str = "duplicate";

/// The name of a problem of a server: `cpu_percent`, `disk_percent:/data`, `service:nginx`, `duplicate`.
#[derive(Debug, Clone, PartialEq, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(Kind),
    derive(PartialOrd, Ord, strum::EnumString, strum::IntoStaticStr, strum::VariantArray),
    strum(serialize_all = "lowercase"),
    doc = "What kind of problem it is, in the order in which they are listed. As a string, it is its name in a message."
)]
pub enum Key {
    /// A metric is at its limit.
    #[strum_discriminants(strum(serialize = "limit"))]
    Metric(&'static Metric, Urgency),
    /// A file system is, by its mount.
    Disk(String, Urgency),
    /// A service failed or was stopped.
    Service(String),
    /// Two senders use the server's name.
    Duplicate,
}

/// Which of its two limits a value is at: each is a problem of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Urgent,
    Usual,
}

impl Urgency {
    pub const ALL: [Self; 2] = [Self::Urgent, Self::Usual];

    /// What follows the metric in a key.
    const fn mark(self) -> &'static str {
        match self {
            Self::Urgent => "!",
            Self::Usual => "",
        }
    }

    /// The urgency in the name of a metric, and the rest of it.
    fn split(name: &str) -> (&str, Self) {
        let urgent = name.strip_suffix('!').map(|name| (name, Self::Urgent));
        urgent.unwrap_or((name, Self::Usual))
    }
}

impl Key {
    /// Reads a key. A name in it is not empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some((_, "")) => None,
            Some((SERVICE, name)) => Some(Self::Service(name.to_owned())),
            Some((metric, mount)) => {
                let (metric, urgency) = Urgency::split(metric);
                (metric == DISK_PERCENT).then(|| Self::Disk(mount.to_owned(), urgency))
            }
            None if text == DUPLICATE => Some(Self::Duplicate),
            None => {
                let (name, urgency) = Urgency::split(text);
                Metric::find(name).map(|metric| Self::Metric(metric, urgency))
            }
        }
    }

    /// Which of its limits it is about.
    #[must_use]
    pub const fn urgency(&self) -> Urgency {
        match self {
            Self::Metric(_, urgency) | Self::Disk(_, urgency) => *urgency,
            Self::Service(_) | Self::Duplicate => Urgency::Usual,
        }
    }

    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.urgency() == Urgency::Urgent
    }

    /// The same by its other limit, if it is about an urgent one.
    #[must_use]
    pub fn lesser(&self) -> Option<Self> {
        match self {
            Self::Metric(metric, Urgency::Urgent) => Some(Self::Metric(metric, Urgency::Usual)),
            Self::Disk(mount, Urgency::Urgent) => Some(Self::Disk(mount.clone(), Urgency::Usual)),
            _ => None,
        }
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.into()
    }

    /// The metric, the mount or the service. A duplicate has the name of its server.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Metric(metric, _) => Some(metric.name),
            Self::Disk(name, _) | Self::Service(name) => Some(name),
            Self::Duplicate => None,
        }
    }

    /// The metric whose values are judged by a limit; without one, it can only be switched off.
    #[must_use]
    pub fn metric(&self) -> Option<&'static Metric> {
        match self {
            Self::Metric(metric, _) => Some(metric),
            Self::Disk(..) => Some(metric!("disk_percent")),
            Self::Service(_) | Self::Duplicate => None,
        }
    }

    /// By kind, metrics as in [`METRICS`], the others by name; the urgent limit before the other.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let position = |key: &Self| match key {
            Self::Metric(metric, _) => METRICS.iter().position(|known| known.name == metric.name),
            _ => None,
        };
        (self.kind().cmp(&other.kind()))
            .then_with(|| position(self).cmp(&position(other)))
            .then_with(|| self.name().cmp(&other.name()))
            .then_with(|| self.urgency().cmp(&other.urgency()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metric(metric, urgency) => write!(f, "{}{}", metric.name, urgency.mark()),
            Self::Disk(mount, urgency) => write!(f, "{DISK_PERCENT}{}:{mount}", urgency.mark()),
            Self::Service(name) => write!(f, "{SERVICE}:{name}"),
            Self::Duplicate => f.write_str(DUPLICATE),
        }
    }
}

impl Kind {
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;
}

#[cfg(feature = "items")]
pub use items::{Note, Problem, Problems, Stage};

#[cfg(feature = "items")]
mod items {
    use super::Key;
    use crate::{Item, Number, read, time};
    use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, M, N, S};
    use chrono::{DateTime, Utc};

    const SINCE: &str = "since";
    const LIMIT: &str = "limit";
    const RISING: &str = "rising";
    const PENDING: &str = "pending";
    const BETTER_SINCE: &str = "better_since";
    const GONE_SINCE: &str = "gone_since";

    /// The problems of a server.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Problems {
        /// In the order of their keys.
        pub entries: Vec<(Key, Problem)>,
        /// The attribute as it was read or last written, with which the next write compares.
        stored: Option<AttributeValue>,
    }

    /// One problem.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub struct Problem {
        /// When the reading was received with which it began.
        pub since: DateTime<Utc>,
        /// For metrics and file systems: the limit that was reached.
        pub limit: Option<f64>,
        pub stage: Stage,
        pub note: Option<Note>,
    }

    /// What has been announced of a problem. Stored, the first two are `rising` and `pending`; firing has no mark.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Stage {
        /// Nothing: it has not lasted yet.
        NotLasted,
        /// Something is being published, and may have been: it is not recorded.
        Publishing,
        /// That it began.
        Firing,
    }

    /// Why a problem may end. Stored as `better_since` and `gone_since`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Note {
        /// The readings since this one say that it is over.
        Resolving(DateTime<Utc>),
        /// The readings since this one say nothing of it.
        NoData(DateTime<Utc>),
    }

    impl Problems {
        /// Reads the attribute, and whether all of it could be read. The rest is left out.
        #[must_use]
        pub fn from_attribute(stored: Option<&AttributeValue>) -> (Self, bool) {
            let Some(attribute) = stored else {
                return (Self::default(), true);
            };
            let entry = |(key, entry): (&String, &AttributeValue)| {
                let key = Key::parse(key)?;
                let problem = Problem::from_entry(&key, entry.as_m().ok()?)?;
                Some((key, problem))
            };
            let map = attribute.as_m();
            let mut entries: Vec<_> =
                map.map_or_else(|_| Vec::new(), |map| map.iter().filter_map(entry).collect());
            entries.sort_by(|(one, _), (other, _)| one.order(other));
            let is_complete = map.is_ok_and(|map| map.len() == entries.len());
            let stored = stored.cloned();
            (Self { entries, stored }, is_complete)
        }

        /// The attribute with these entries; none without an entry.
        #[must_use]
        pub fn value(&self) -> Option<AttributeValue> {
            let entries = self.entries.iter();
            let entries = entries.map(|(key, problem)| (key.to_string(), problem.value()));
            (!self.entries.is_empty()).then(|| M(entries.collect()))
        }

        /// The attribute as it was read or last written.
        #[must_use]
        pub const fn stored(&self) -> Option<&AttributeValue> {
            self.stored.as_ref()
        }

        /// These entries, to be written over what was read or last written.
        #[must_use]
        pub fn with(&self, entries: Vec<(Key, Problem)>) -> Self {
            let stored = self.stored.clone();
            Self { entries, stored }
        }

        /// The same to be looked at only: nothing is written over it.
        #[must_use]
        pub fn without_stored(&self) -> Self {
            Self { entries: self.entries.clone(), stored: None }
        }

        /// The same after it has been written.
        #[must_use]
        pub fn written(&self) -> Self {
            Self { entries: self.entries.clone(), stored: self.value() }
        }

        #[must_use]
        pub fn get(&self, key: &Key) -> Option<&Problem> {
            let mut entries = self.entries.iter();
            entries.find(|(known, _)| known == key).map(|(_, problem)| problem)
        }

        /// The entries of which something is out, or may be.
        pub fn announced(&self) -> impl Iterator<Item = &(Key, Problem)> {
            self.entries.iter().filter(|(_, problem)| problem.stage != Stage::NotLasted)
        }
    }

    impl Problem {
        fn from_entry(key: &Key, entry: &Item) -> Option<Self> {
            let time = |name| time::parse(read(entry, name)?);
            let limit = match key.metric() {
                Some(_) => Some(Number::parse(entry.get(LIMIT)?.as_n().ok()?)?.as_f64()),
                None => None,
            };
            let (is_pending, is_rising) = (entry.contains_key(PENDING), entry.contains_key(RISING));
            let gone = time(GONE_SINCE).map(Note::NoData);
            Some(Self {
                since: time(SINCE)?,
                limit,
                stage: match (is_pending, is_rising) {
                    (true, _) => Stage::Publishing,
                    (false, true) => Stage::NotLasted,
                    (false, false) => Stage::Firing,
                },
                note: gone.or_else(|| time(BETTER_SINCE).map(Note::Resolving)),
            })
        }

        fn value(&self) -> AttributeValue {
            let time = |at| S(time::format(at));
            let limit = self.limit.map(|limit| N(Number::Float(limit).to_string()));
            let stage = match self.stage {
                Stage::NotLasted => Some(RISING),
                Stage::Publishing => Some(PENDING),
                Stage::Firing => None,
            };
            let note = self.note.map(|note| match note {
                Note::Resolving(since) => (BETTER_SINCE, time(since)),
                Note::NoData(since) => (GONE_SINCE, time(since)),
            });
            let members = [
                Some((SINCE, time(self.since))),
                limit.map(|limit| (LIMIT, limit)),
                stage.map(|name| (name, Bool(true))),
                note,
            ];
            let members = members.into_iter().flatten();
            M(members.map(|(name, value)| (name.to_owned(), value)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C9.1
    #[test]
    fn a_key_names_a_metric_a_file_system_a_service_or_a_duplicate() {
        for (text, kind, name) in [
            ("cpu_percent", Kind::Metric, Some("cpu_percent")),
            ("disk_percent", Kind::Metric, Some("disk_percent")),
            ("disk_percent:/", Kind::Disk, Some("/")),
            ("disk_percent:/srv/a:b=c", Kind::Disk, Some("/srv/a:b=c")),
            ("service:nginx", Kind::Service, Some("nginx")),
            ("duplicate", Kind::Duplicate, None),
        ] {
            let key = Key::parse(text).expect(text);
            assert_eq!((key.kind(), key.name()), (kind, name), "{text}");
            assert_eq!(key.to_string(), text);
        }
        for text in
            ["", "disk", "disk_percent:", "service", "service:", "cpu_percent:/", "duplicate:web-1"]
        {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[cfg(feature = "items")]
    mod items {
        use super::super::*;
        use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, M, N, S};

        fn map<const N: usize>(entries: [(&str, AttributeValue); N]) -> AttributeValue {
            M(entries.map(|(name, value)| (name.to_owned(), value)).into())
        }

        // C9.2
        #[test]
        fn an_entry_is_written_as_it_is_read() {
            let time = || S("2026-01-18T10:30:00.000000Z".to_owned());
            let attribute = map([
                (
                    "cpu_percent",
                    map([("since", time()), ("limit", N("90".to_owned())), ("rising", Bool(true))]),
                ),
                (
                    "disk_percent:/data",
                    map([
                        ("since", time()),
                        ("limit", N("97.5".to_owned())),
                        ("better_since", time()),
                    ]),
                ),
                (
                    "service:nginx",
                    map([("since", time()), ("pending", Bool(true)), ("gone_since", time())]),
                ),
                ("duplicate", map([("since", time())])),
            ]);
            let (problems, is_complete) = Problems::from_attribute(Some(&attribute));
            assert!(is_complete);
            let keys: Vec<_> = problems.entries.iter().map(|(key, _)| key.to_string()).collect();
            assert_eq!(keys, ["cpu_percent", "disk_percent:/data", "service:nginx", "duplicate"]);
            assert_eq!(problems.announced().count(), 3);
            assert_eq!(problems.value(), Some(attribute.clone()));
            assert_eq!(problems.stored(), Some(&attribute));
        }

        // C9.2
        #[test]
        fn what_cannot_be_read_is_left_out() {
            let time = || S("2026-01-18T10:30:00.000000Z".to_owned());
            let attribute = map([
                ("cpu_percent", map([("since", time())])),
                ("memory", map([("since", time())])),
                ("service:nginx", map([("since", S("then".to_owned()))])),
                ("service:sshd", S("failed".to_owned())),
                ("service:cron", map([("since", time())])),
            ]);
            let (problems, is_complete) = Problems::from_attribute(Some(&attribute));
            assert!(!is_complete);
            assert_eq!(problems.entries.len(), 1);
            assert_eq!(problems.stored(), Some(&attribute));
            let (problems, is_complete) = Problems::from_attribute(Some(&S("?".to_owned())));
            assert!(!is_complete && problems.entries.is_empty() && problems.stored().is_some());
        }
    }
}
