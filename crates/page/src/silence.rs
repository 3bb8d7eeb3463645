//! A silence that somebody asks for on the page (C13.14): it is written, and then recorded as what happened.

use crate::explain::explain_in;
use crate::tables::Tables;
use announcement::{Message, Silence};
use anyhow::Context;
use chrono::TimeDelta;
use serde::Deserialize;
use tables::event::Event;
use tables::server::Server;
use tables::time::format;
use tables::{Group, ServerId, server};

/// What is asked for, and the token of the session.
#[derive(Deserialize)]
pub struct Form {
    #[serde(rename = "for")]
    time: Choice,
    #[serde(default)]
    pub token: String,
}

/// For how long.
#[derive(Clone, Copy, Deserialize)]
enum Choice {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "8h")]
    Night,
    #[serde(rename = "3d")]
    Days,
    #[serde(rename = "off")]
    Off,
}

impl Choice {
    const fn length(self) -> Option<TimeDelta> {
        match self {
            Self::Hour => Some(TimeDelta::hours(1)),
            Self::Night => Some(TimeDelta::hours(8)),
            Self::Days => Some(TimeDelta::days(3)),
            Self::Off => None,
        }
    }
}

impl Form {
    /// Silences the server, or ends its silence, and records that for so long. A response of DynamoDB has set the clock before.
    ///
    /// # Errors
    /// If it cannot be written. A silence that cannot be recorded holds.
    pub async fn apply(
        &self,
        tables: &Tables,
        server: &ServerId,
        known: &Server,
        retention: TimeDelta,
    ) -> anyhow::Result<()> {
        let now = tables.clock.now();
        let until = self.time.length().map(|length| now + length);
        let update = tables.client.update_item().table_name(&tables.servers);
        let update = server::silence(update, server::ItemOf::Server(server), until);
        update.send().await.map_err(explain_in(&tables.servers))?;
        let silence = Silence {
            server_id: server.to_string(),
            hostname: known.hostname.clone(),
            group: known.group.as_ref().map(Group::to_string),
            until: until.map(format),
            by: "the page".to_owned(),
        };
        let event = Event { recorded_at: now, said: Message::silenced(format(now), silence) };
        let put = || tables.client.put_item().table_name(&tables.metrics);
        let of_server = event.clone().put_of_server(server, put(), retention);
        for put in [event.put(put(), retention), of_server] {
            put.send()
                .await
                .map_err(explain_in(&tables.metrics))
                .context("It is done, but not recorded as what happened")?;
        }
        Ok(())
    }
}
