//! What the watchdog has announced.

use crate::aws::Aws;
use crate::server::Servers;
use crate::target::{METRICS, SERVERS, Target};
use crate::terminal::{print, print_json};
use announcement::words::{moment, plural};
use announcement::{Message, Part};
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use clap::Args;
use page::history::TOLERANCE;
use page::{events, explain_in, time};
use tables::event::{Event, Subject};
use tables::server::Memory;
use tables::{ServerId, Zone};

/// Show what the watchdog has announced, newest last.
///
/// It says who went offline or came back, and which problems began or ended, at the time of the sweep, in the watchdog's
/// zone. With --json, it prints the messages as they were published, in UTC. Digests are not among them, nor is what was
/// announced before the watchdog kept it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  heartbeatctl --stack heartbeat events
  heartbeatctl --stack heartbeat events web-1 --since 30d")]
pub struct Command {
    /// Only what is about this server.
    server: Option<ServerId>,
    /// From when: a duration before now, or a time in UTC (2026-01-18, 2026-01-18T10:30).
    #[arg(long, default_value = "7d", value_name = "TIME", value_parser = time::moment)]
    since: time::Moment,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let aws = Aws::new(target);
        let table = aws.name(&METRICS).await?;
        let (client, clock) = aws.dynamodb().await?;
        let now = clock.ask(&client, &table).await?;
        let period = [self.since.at(now), now + TOLERANCE];
        let subject = match &self.server {
            Some(id) => {
                let watchdog = Servers::new(&aws).await?.memory().await?;
                let events_since = watchdog.and_then(|watchdog| watchdog.events_since);
                Subject::Server { id, events_since }
            }
            None => Subject::Fleet,
        };
        let mut messages = Vec::new();
        for part in subject.parts(period) {
            let query = part.select(client.query().table_name(&table));
            let mut items = query.into_paginator().items().send();
            while let Some(item) = items.next().await {
                let event = Event::from_item(&item.map_err(explain_in(&table))?, now);
                messages.extend(event.and_then(|event| events::message(&event, subject)));
            }
        }
        if target.json {
            return Ok(print_json(&messages)?);
        }
        if messages.is_empty() {
            eprintln!("Nothing has been announced in this time.");
            return Ok(());
        }
        let zone = zone(&aws, &client).await;
        let lines: Vec<_> = messages.iter().flat_map(|message| lines(message, &zone)).collect();
        Ok(print(&lines.join("\n"))?)
    }
}

/// The watchdog's zone. Times say their zone, so whoever may not read the servers table gets them in UTC.
async fn zone(aws: &Aws<'_>, client: &Client) -> Zone {
    let rules = async {
        let get = client.get_item().table_name(aws.name(&SERVERS).await.ok()?);
        Memory::from_item(&Memory::find(get).send().await.ok()?.item?)?.rules
    };
    rules.await.unwrap_or_default().zone
}

/// A message in words, a line for each announcement.
fn lines(message: &Message, zone: &Zone) -> Vec<String> {
    let time: Option<DateTime<Utc>> = message.time.as_deref().and_then(tables::time::parse);
    let at = moment(time, zone);
    let announcements = message.announcements.iter().map(|announcement| {
        let wording = announcement.say(time, zone);
        let rest: String = wording.rest.iter().map(Part::text).collect();
        format!("{at}  {}{rest}", wording.name())
    });
    let omitted = (message.omitted > 0).then(|| {
        let entries = plural(message.omitted, "entry");
        format!("{at}  {entries} did not fit into this message")
    });
    announcements.chain(omitted).collect()
}
