//! The rules of groups, in an item of their own: an attribute for each group, named after it, whose value is a map.

use super::Server;
use super::attribute::{LIMITS, OFFLINE_AFTER, QUIET, SERVER_ID, SILENCED_UNTIL};
use super::item::{parse_quiet, parse_threshold};
use crate::{Group, Item, Limits, Quiet, time};
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, M, N, S};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// The id of the item. No agent can send it.
pub(crate) const GROUPS: &str = "#groups";
const EPHEMERAL: &str = "ephemeral";

/// The rules of one group, each in the form that it has on the item of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupRules {
    pub silenced_until: Option<DateTime<Utc>>,
    pub quiet: Option<Quiet>,
    pub offline_after: Option<TimeDelta>,
    pub limits: Option<Limits>,
    /// Whether its servers end on purpose.
    pub is_ephemeral: bool,
}

/// The rules of all groups that have some. What cannot be read counts as absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    rules: BTreeMap<Group, GroupRules>,
    /// What cannot be read: the names of groups.
    pub malformed: Vec<String>,
}

impl GroupRules {
    /// Reads a map; also whether everything in it can be read.
    fn from_attribute(value: &AttributeValue) -> (Self, bool) {
        let Ok(map) = value.as_m() else {
            return (Self::default(), false);
        };
        let text = |name| map.get(name).map(|value: &AttributeValue| value.as_s().ok());
        let silenced = text(SILENCED_UNTIL.name()).map(|text| time::parse(text?));
        let quiet = map.get(QUIET.name()).map(parse_quiet);
        let threshold = map.get(OFFLINE_AFTER.name()).map(parse_threshold);
        let limits = text(LIMITS.name()).map(|list| Limits::parse_own(list?).ok());
        let ephemeral = map.get(EPHEMERAL).map(|value| value.as_bool().ok().copied());
        let is_complete = !(matches!(silenced, Some(None))
            || matches!(quiet, Some(None))
            || matches!(threshold, Some(None))
            || matches!(limits, Some(None))
            || matches!(ephemeral, Some(None)));
        let rules = Self {
            silenced_until: silenced.flatten(),
            quiet: quiet.flatten(),
            offline_after: threshold.flatten(),
            limits: limits.flatten(),
            is_ephemeral: ephemeral.flatten().unwrap_or_default(),
        };
        (rules, is_complete)
    }

    /// The map, with what the former one holds besides; `None` if it is empty.
    fn value(&self, former: Option<&AttributeValue>) -> Option<AttributeValue> {
        let mut map = former.and_then(|value| value.as_m().ok()).cloned().unwrap_or_default();
        let seconds = |after: TimeDelta| N(after.num_seconds().to_string());
        for (name, value) in [
            (SILENCED_UNTIL.name(), self.silenced_until.map(|until| S(time::format(until)))),
            (QUIET.name(), self.quiet.as_ref().map(|quiet| S(quiet.to_string()))),
            (OFFLINE_AFTER.name(), self.offline_after.map(seconds)),
            (LIMITS.name(), self.limits.as_ref().map(|limits| S(limits.to_string()))),
            (EPHEMERAL, self.is_ephemeral.then_some(Bool(true))),
        ] {
            match value {
                Some(value) => drop(map.insert(name.to_owned(), value)),
                None => drop(map.remove(name)),
            }
        }
        (!map.is_empty()).then_some(M(map))
    }
}

impl Groups {
    /// Finds the item.
    #[must_use]
    pub fn find(get: GetItemFluentBuilder) -> GetItemFluentBuilder {
        get.key(SERVER_ID.name(), S(GROUPS.to_owned()))
    }

    /// Whether this is the item.
    #[must_use]
    pub fn is(item: &Item) -> bool {
        SERVER_ID.text(item).is_some_and(|id| id == GROUPS)
    }

    /// Reads the item, if there is one.
    #[must_use]
    pub fn from_item(item: Option<&Item>) -> Self {
        let mut groups = Self::default();
        let attributes = item.into_iter().flatten();
        for (name, value) in attributes.filter(|(name, _)| *name != SERVER_ID.name()) {
            let (rules, is_complete) = GroupRules::from_attribute(value);
            let group = Group::new(name);
            if group.is_none() || !is_complete {
                groups.malformed.push(name.clone());
            }
            groups.rules.extend(group.map(|group| (group, rules)));
        }
        groups.malformed.sort_unstable();
        groups
    }

    /// The rules of a group.
    #[must_use]
    pub fn of(&self, group: &Group) -> Option<&GroupRules> {
        self.rules.get(group)
    }

    /// Every group with rules, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Group, &GroupRules)> {
        self.rules.iter()
    }

    /// Replaces the rules of a group, on condition that they are still those in the item that was read.
    #[must_use]
    pub fn replace(
        update: UpdateItemFluentBuilder,
        item: Option<&Item>,
        group: &Group,
        rules: &GroupRules,
    ) -> UpdateItemFluentBuilder {
        let former = item.and_then(|item| item.get(group.as_str()));
        let update = update
            .key(SERVER_ID.name(), S(GROUPS.to_owned()))
            .expression_attribute_names("#group", group.as_str());
        let update = match rules.value(former) {
            Some(value) => update
                .update_expression("SET #group = :group")
                .expression_attribute_values(":group", value),
            None => update.update_expression("REMOVE #group"),
        };
        match former {
            Some(former) => update
                .condition_expression("#group = :former")
                .expression_attribute_values(":former", former.clone()),
            None => update.condition_expression("attribute_not_exists(#group)"),
        }
    }
}

impl Server {
    /// The server by the rules of its own, else by those of its group; silenced if one of both says so.
    #[must_use]
    pub fn in_group(mut self, groups: &Groups) -> Self {
        let Some(rules) = self.group.as_ref().and_then(|group| groups.of(group)) else {
            return self;
        };
        self.silenced_until = self.silenced_until.max(rules.silenced_until);
        self.quiet = match (&rules.quiet, self.quiet) {
            (Some(of_group), Some(own)) => Some(own.with(of_group)),
            (of_group, own) => own.or_else(|| of_group.clone()),
        };
        self.offline_after = self.offline_after.or(rules.offline_after);
        let of_group = rules.limits.as_ref().map(Limits::inherited);
        self.limits = match (of_group, self.limits) {
            (Some(of_group), Some(own)) => Some(of_group.with(&own)),
            (of_group, own) => own.or(of_group),
        };
        self.is_ephemeral = rules.is_ephemeral;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(groups: impl IntoIterator<Item = (&'static str, AttributeValue)>) -> Item {
        let id = ("server_id", S(GROUPS.to_owned()));
        groups.into_iter().chain([id]).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn map(entries: &[(&str, AttributeValue)]) -> AttributeValue {
        M(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn group(name: &str) -> Group {
        Group::new(name).expect(name)
    }

    // C14.1
    #[test]
    fn what_cannot_be_read_counts_as_absent_and_is_named() {
        let text = |text: &str| S(text.to_owned());
        let until = "2026-01-18T10:30:00.000000Z";
        let complete = [
            ("silenced_until", text(until)),
            ("quiet", text("Sun 02:00-04:00")),
            ("offline_after", N("0".to_owned())),
            ("limits", text("disk_percent=97")),
            ("ephemeral", Bool(true)),
            ("other", text("something else")),
        ];
        let rules = GroupRules {
            silenced_until: time::parse(until),
            quiet: "Sun 02:00-04:00".parse().ok(),
            offline_after: Some(TimeDelta::zero()),
            limits: Limits::parse_own("disk_percent=97").ok(),
            is_ephemeral: true,
        };
        let groups = Groups::from_item(Some(&item([("web", map(&complete))])));
        assert_eq!(groups.of(&group("web")), Some(&rules));
        assert_eq!(groups.malformed, [""; 0]);
        for (name, wrong) in [
            ("silenced_until", text("soon")),
            ("quiet", text("Sunday")),
            ("offline_after", N("-1".to_owned())),
            ("offline_after", text("900")),
            ("limits", text("disk_percent=?")),
            ("ephemeral", text("true")),
        ] {
            let mut entries = complete.to_vec();
            entries.iter_mut().find(|(known, _)| *known == name).expect(name).1 = wrong;
            let groups = Groups::from_item(Some(&item([("web", map(&entries))])));
            assert_eq!(groups.malformed, ["web"], "{name}");
            let read = groups.of(&group("web")).expect("the others");
            let lost = |is_absent, attribute| assert_eq!(is_absent, attribute == name, "{name}");
            lost(read.silenced_until.is_none(), "silenced_until");
            lost(read.quiet.is_none(), "quiet");
            lost(read.offline_after.is_none(), "offline_after");
            lost(read.limits.is_none(), "limits");
            lost(!read.is_ephemeral, "ephemeral");
        }
        let odd = [("Web", map(&complete)), ("none", map(&[])), ("web", text("x"))];
        let groups = Groups::from_item(Some(&item(odd)));
        assert_eq!(groups.malformed, ["Web", "none", "web"]);
        assert_eq!(groups.of(&group("web")), Some(&GroupRules::default()));
        assert_eq!(Groups::from_item(None), Groups::default());
    }

    // C14.1
    #[test]
    fn a_servers_own_rule_precedes_that_of_its_group() {
        let at = |hour: u32| format!("2026-01-18T{hour:02}:00:00.000000Z");
        let rules = map(&[
            ("silenced_until", S(at(12))),
            ("quiet", S("Sat 02:00-04:00".to_owned())),
            ("offline_after", N("600".to_owned())),
            ("limits", S("disk_percent=95,load_5m=8".to_owned())),
        ]);
        let groups = Groups::from_item(Some(&item([("web", rules)])));
        let own = Server {
            silenced_until: time::parse(&at(10)),
            quiet: "22:00-06:00".parse().ok(),
            offline_after: Some(TimeDelta::zero()),
            limits: Limits::parse_own("load_5m=off,cpu_percent=90").ok(),
            ..Server::default()
        };
        let of_web = |server: Server| Server { group: Some(group("web")), ..server };
        let limits = |server: &Server| server.limits.as_ref().map(Limits::to_string);
        let quiet = |server: &Server| server.quiet.as_ref().map(Quiet::to_string);
        let bare = of_web(Server::default()).in_group(&groups);
        assert_eq!(quiet(&bare).as_deref(), Some("Sat 02:00-04:00"));
        assert_eq!(bare.silenced_until, time::parse(&at(12)));
        assert_eq!(bare.offline_after, Some(TimeDelta::seconds(600)));
        let both = of_web(own.clone()).in_group(&groups);
        assert_eq!(quiet(&both).as_deref(), Some("22:00-06:00;Sat 02:00-04:00"));
        assert_eq!(both.silenced_until, time::parse(&at(12)));
        assert_eq!(both.offline_after, Some(TimeDelta::zero()));
        let default = Limits::standard();
        let metric = |server: &Server, name| {
            default
                .with(server.limits.as_ref().expect("limits"))
                .of(crate::Metric::named(name), None)
        };
        for (server, expected) in
            [(&bare, [None, Some(8.0), Some(95.0)]), (&both, [Some(90.0), None, Some(95.0)])]
        {
            let names = ["cpu_percent", "load_5m", "disk_percent"];
            assert_eq!(names.map(|name| metric(server, name)), expected, "{:?}", limits(server));
        }
        let other = Server { group: Some(group("db")), ..own.clone() };
        assert_eq!(other.clone().in_group(&groups), other);
        assert_eq!(own.clone().in_group(&groups), own, "without a group");
    }
}
