//! Keeps the watchdog from announcing a server, those of a group, or all.

use crate::aws::Aws;
use crate::server::Servers;
use crate::target::Target;
use crate::terminal::print_json;
use announcement::words::at;
use chrono::TimeDelta;
use clap::Args;
use clap::error::ErrorKind;
use serde::Serialize;
use syntax::duration;
use tables::server::ItemOf;
use tables::time::format;
use tables::{Group, Quiet, ServerId, server};

/// Keep the watchdog from announcing a server, a group or all servers, for a time or at times of the week.
///
/// Servers are still marked as online or offline; what still holds when the silence ends is announced then. Times of the week
/// are in the stack's TimeZone.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat silence web-1 2h
  heartbeatctl --stack heartbeat silence web-1 --every 'Sun 02:00-04:00;Mon-Fri 22:00-06:00'
  heartbeatctl --stack heartbeat silence web-1 --every none
  heartbeatctl --stack heartbeat silence --group web 2h
  heartbeatctl --stack heartbeat silence --group web --every 'Sun 02:00-04:00'
  heartbeatctl --stack heartbeat silence --all 2h
  heartbeatctl --stack heartbeat silence --all off")]
pub struct Command {
    /// The server, unless it is a group or all; then for how long from now (2h, 3days), or `off`.
    #[arg(num_args = 1..=2, value_names = ["SERVER", "TIME"])]
    #[arg(required_unless_present_any = ["all", "group"])]
    words: Vec<String>,
    /// All servers of this group, also those that join it later.
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    group: Option<Group>,
    /// All servers.
    #[arg(long)]
    all: bool,
    /// Each week: `[DAY ]HH:MM-HH:MM`, several joined by `;`, a DAY being Sun or Mon-Fri; or `none`.
    #[arg(long, value_name = "TIMES", value_parser = every)]
    every: Option<Every>,
}

#[derive(Clone)]
struct Every(Option<Quiet>);

fn every(text: &str) -> Result<Every, String> {
    let quiet = (text != "none").then(|| text.parse());
    quiet.transpose().map(Every).map_err(|error: tables::InvalidQuiet| error.to_string())
}

/// How long from now; `None` is not at all.
fn until(text: &str) -> Result<Option<TimeDelta>, String> {
    match text {
        "off" => Ok(None),
        text => duration::parse_positive(text).map(Some),
    }
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Silenced<'a> {
    /// Neither is all servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silenced_until: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet: Option<Option<String>>,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let (server, time) = self.arguments()?;
        let item = server.as_ref().map_or(ItemOf::Watchdog, ItemOf::Server);
        let name = match (&server, &self.group) {
            (Some(server), _) => server.to_string(),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => "Every server".to_owned(),
        };
        let servers = Servers::new(&Aws::new(target)).await?;
        // A watchdog before version 2 knows neither quiet times nor a silence of all.
        let heeded_since = |is_new| if is_new { 2 } else { 0 };
        let mut told = Silenced {
            server_id: server.as_ref().map(ServerId::as_str),
            group: self.group.as_ref().map(Group::as_str),
            silenced_until: None,
            quiet: None,
        };
        if let Some(duration) = time {
            let now = servers.now().await?;
            let until = duration.map(|duration| now + duration);
            let heeded_since = heeded_since(self.all);
            match &self.group {
                Some(group) => {
                    servers.change_group(group, |rules| rules.silenced_until = until).await?;
                }
                None => {
                    let silence = |update| server::silence(update, item, until);
                    servers.update(item, heeded_since, silence).await?;
                }
            }
            told.silenced_until = Some(until.map(format));
            if !target.json {
                let zone = servers.zone().await;
                match until {
                    None => eprintln!("{name} is no longer silenced."),
                    Some(until) => {
                        let (said, stored) = (at(until, Some(now), &zone), format(until));
                        eprintln!("{name} is silenced until {said} ({stored}).");
                    }
                }
            }
        }
        if let Some(Every(quiet)) = &self.every {
            let quiet = quiet.as_ref();
            let heeded_since = heeded_since(quiet.is_some());
            match &self.group {
                Some(group) => {
                    servers.change_group(group, |rules| rules.quiet = quiet.cloned()).await?;
                }
                None => {
                    let set = |update| server::quiet(update, item, quiet);
                    servers.update(item, heeded_since, set).await?;
                }
            }
            told.quiet = Some(quiet.map(Quiet::to_string));
            if !target.json {
                match quiet {
                    None => eprintln!("{name} has no quiet times any more."),
                    Some(quiet) => eprintln!("{name} is silenced each week: {quiet}."),
                }
            }
        }
        if target.json { Ok(print_json(&told)?) } else { Ok(()) }
    }

    /// The server, and for how long.
    fn arguments(&self) -> anyhow::Result<(Option<ServerId>, Option<Option<TimeDelta>>)> {
        let invalid =
            |kind, reason: String| anyhow::Error::new(clap::Error::raw(kind, reason + "\n"));
        let (server, time) = match (&self.words[..], self.all || self.group.is_some()) {
            ([], true) => (None, None),
            ([time], true) => (None, Some(time)),
            ([server], false) => (Some(server), None),
            ([server, time], false) => (Some(server), Some(time)),
            _ => {
                let reason = "a server cannot be used with '--all' or '--group'".to_owned();
                return Err(invalid(ErrorKind::ArgumentConflict, reason));
            }
        };
        if time.is_none() && self.every.is_none() {
            let reason = "either <TIME> or --every <TIMES> is required".to_owned();
            return Err(invalid(ErrorKind::MissingRequiredArgument, reason));
        }
        let value = |value: &str, name, reason| {
            let reason = format!("invalid value '{value}' for '<{name}>': {reason}");
            invalid(ErrorKind::ValueValidation, reason)
        };
        let server = server.map(|id| {
            let parsed: Result<ServerId, _> = id.parse();
            parsed.map_err(|error| value(id, "SERVER", error.to_string()))
        });
        let time = time.map(|time| until(time).map_err(|error| value(time, "TIME", error)));
        Ok((server.transpose()?, time.transpose()?))
    }
}
