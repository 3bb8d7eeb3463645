//! Sets the threshold after which a server is late, or one of a group; and whether the servers of a group end on purpose.

use crate::aws::Aws;
use crate::server::{ServerItem, Servers};
use crate::target::Target;
use crate::terminal::print_json;
use crate::whom::Whom;
use chrono::TimeDelta;
use clap::{ArgGroup, Args};
use serde_json::json;
use syntax::duration;
use tables::server;

/// Set the time without a heartbeat after which a server counts as offline.
///
/// Twice the agent's interval is the least that is safe: after an outage of our own path, an agent may need one interval
/// until its next heartbeat, and one heartbeat may be lost.
#[derive(Args)]
#[command(
    group = ArgGroup::new("threshold").required(true),
    after_help = "Examples:\n  heartbeatctl --stack heartbeat expect web-1 --within 15m\n  heartbeatctl --stack heartbeat expect laptop --never\n  heartbeatctl --stack heartbeat expect --group web --ephemeral"
)]
pub struct Command {
    #[command(flatten)]
    whom: Whom,
    /// It is late after this time without a heartbeat.
    #[arg(long, group = "threshold", value_name = "DURATION", value_parser = threshold)]
    within: Option<TimeDelta>,
    /// It is never late, like a laptop.
    #[arg(long, group = "threshold")]
    never: bool,
    /// It is late when the watchdog's settings say so.
    #[arg(long, group = "threshold")]
    default: bool,
    /// The servers of the group come and go, as those of an autoscaling group: one that is shut down is not announced, and one
    /// that has been offline for a day is removed.
    #[arg(long, group = "threshold", requires = "group", conflicts_with = "server")]
    ephemeral: bool,
    /// They do not.
    #[arg(long, group = "threshold", requires = "group", conflicts_with = "server")]
    permanent: bool,
}

fn threshold(text: &str) -> Result<TimeDelta, String> {
    let threshold = duration::parse_positive(text)?;
    if threshold > TimeDelta::seconds(server::MAX_OFFLINE_AFTER) {
        return Err("it is longer than a year".to_owned());
    }
    if threshold.subsec_nanos() != 0 {
        return Err("it is not a whole number of seconds".to_owned());
    }
    Ok(threshold)
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let whom = &self.whom;
        let servers = Servers::new(&Aws::new(target)).await?;
        if let (Some(group), true) = (&whom.group, self.ephemeral || self.permanent) {
            servers.change_group(group, |rules| rules.is_ephemeral = self.ephemeral).await?;
            let which = if self.ephemeral { "come and go" } else { "stay" };
            eprintln!("The servers of the {whom} {which}.");
            let told = target.json.then(|| whom.told("ephemeral", json!(self.ephemeral)));
            return Ok(told.map_or(Ok(()), |told| print_json(&told))?);
        }
        let threshold = match (self.within, self.never) {
            (Some(within), _) => Some(within),
            (None, true) => Some(TimeDelta::zero()),
            (None, false) => None,
        };
        if let Some(group) = &whom.group {
            servers.change_group(group, |rules| rules.offline_after = threshold).await?;
        }
        if let Some(id) = &whom.server {
            let item = ServerItem { id, servers };
            item.update(0, |update| server::expect(update, id, threshold)).await?;
        }
        if target.json {
            // Seconds; 0 is never, and null the setting of the group or of the watchdog.
            let seconds = threshold.map(|threshold| threshold.num_seconds());
            return Ok(print_json(&whom.told("offline_after", json!(seconds)))?);
        }
        match threshold {
            None => eprintln!("{whom} is late when the watchdog's settings say so."),
            Some(threshold) if threshold.is_zero() => eprintln!("{whom} is never late."),
            Some(threshold) => {
                let words = duration::exact(threshold);
                eprintln!("{whom} is late after {words} without a heartbeat.");
            }
        }
        Ok(())
    }
}
