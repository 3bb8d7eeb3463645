//! Lists the groups.

use crate::aws::Aws;
use crate::server::Servers;
use crate::target::{METRICS, SERVERS, Target};
use crate::terminal::{print, print_json};
use announcement::words::at;
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use page::fleet::Standing;
use page::{Fleet, Tables};
use serde::Serialize;
use std::collections::BTreeMap;
use syntax::duration::exact;
use tables::server::GroupRules;
use tables::time::format;
use tables::{Group, Limits, Quiet, printable};

/// List all groups with the number of their servers and their rules.
///
/// A group exists as soon as a server is in it or a rule is set for it: `silence`, `expect` and `limit` take --group.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat groups")]
pub struct Command {}

/// A group, as `--json` prints it.
#[derive(Default, Serialize)]
struct Listed {
    group: String,
    servers: usize,
    well: usize,
    silenced_until: Option<String>,
    quiet: Option<String>,
    /// Seconds; 0 is never.
    offline_after: Option<i64>,
    limits: Option<String>,
    ephemeral: bool,
    #[serde(skip)]
    rules: GroupRules,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let (servers, metrics) = (aws.name(&SERVERS).await?, aws.name(&METRICS).await?);
        let (client, clock) = aws.dynamodb().await?;
        let fleet = Fleet::scan(&Tables { client, servers, metrics, clock }, None, || {}).await?;
        let rules = Servers::new(&aws).await?.groups().await?;
        for name in &rules.malformed {
            eprintln!("A rule of the group {} cannot be read.", printable(name));
        }
        let mut groups: BTreeMap<&Group, Listed> = BTreeMap::new();
        for (group, rules) in rules.iter() {
            groups.insert(group, Listed::of(rules.clone()));
        }
        for server in &fleet.servers {
            if let Some(group) = &server.stored.group {
                let listed = groups.entry(group).or_default();
                listed.servers += 1;
                listed.well += usize::from(server.standing() == Standing::Well);
            }
        }
        let named = groups.into_iter();
        let listed: Vec<_> =
            named.map(|(group, listed)| Listed { group: group.to_string(), ..listed }).collect();
        if target.json {
            return Ok(print_json(&listed)?);
        }
        let mut rows = Table::new();
        rows.load_style(NOTHING);
        rows.set_header(["GROUP", "SERVERS", "WELL", "RULES"]);
        for group in &listed {
            let counts = [group.servers, group.well].map(|count| count.to_string());
            rows.add_row([&group.group, &counts[0], &counts[1], &group.say(&fleet)]);
        }
        for column in rows.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Ok(print(&rows.trim_fmt())?)
    }
}

impl Listed {
    fn of(rules: GroupRules) -> Self {
        Self {
            silenced_until: rules.silenced_until.map(format),
            quiet: rules.quiet.as_ref().map(Quiet::to_string),
            offline_after: rules.offline_after.map(|after| after.num_seconds()),
            limits: rules.limits.as_ref().map(Limits::to_string),
            ephemeral: rules.is_ephemeral,
            rules,
            ..Self::default()
        }
    }

    /// Its rules in words, with times in the fleet's zone.
    fn say(&self, fleet: &Fleet) -> String {
        let late = self.rules.offline_after.map(|after| match after.is_zero() {
            true => "never late".to_owned(),
            false => format!("late after {}", exact(after)),
        });
        let silenced = self.rules.silenced_until;
        let silenced = silenced
            .map(|until| format!("silenced until {}", at(until, Some(fleet.at), &fleet.zone)));
        let quiet = self.quiet.as_ref().map(|quiet| format!("quiet each week: {quiet}"));
        let ephemeral = self.ephemeral.then(|| "ephemeral".to_owned());
        let rules = [ephemeral, late, self.limits.clone(), silenced, quiet];
        let rules: Vec<_> = rules.into_iter().flatten().collect();
        if rules.is_empty() { "–".to_owned() } else { rules.join("; ") }
    }
}
