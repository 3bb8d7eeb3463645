//! How much of the time a server was there, in words (C15.6).

use crate::events::Events;
use crate::history::TOLERANCE;
use crate::tables::Tables;
use announcement::{Announcement, Return};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use syntax::duration::rounded;
use tables::ServerId;
use tables::event::Subject;
use tables::server::Server;
use verdict::uptime::{LONGEST, Uptime, uptimes};

/// The most announcements that are read, the newest ones: a server that wavers for months costs no more.
const MAX_EVENTS: usize = 5_000;

/// The most servers of which absences are cached.
const MAX_CACHED: usize = 20;

/// The absences of a server that are over, as far as they are known.
#[derive(Debug)]
struct Absences {
    returns: Vec<Return>,
    known_since: DateTime<Utc>,
}

/// `Uptime: 100 % of 7 d, 99.98 % of 30 d, 99.97 % of 365 d`; `None` if nothing is known.
///
/// # Errors
/// If the table cannot be read.
pub async fn say(
    tables: &Tables,
    server: &Server,
    subject: Subject<'_>,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<String>> {
    let Subject::Server { events_since: Some(events_since), .. } = subject else {
        return Ok(None);
    };
    Ok(read(tables, subject, events_since, now).await?.say(server, now))
}

/// Reads the events of a year.
async fn read(
    tables: &Tables,
    subject: Subject<'_>,
    events_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> anyhow::Result<Absences> {
    let period = [events_since.max(now - LONGEST), now + TOLERANCE];
    let events = Events::query(tables, period, subject, MAX_EVENTS).await?;
    let oldest = events.newest.last().filter(|_| events.is_cut).map(|oldest| oldest.at);
    let known_since = oldest.map_or(events_since, |oldest| oldest.max(events_since));
    let returns = events.newest.into_iter().filter_map(|said| match said.announcement {
        Announcement::Back(end) => Some(end),
        _ => None,
    });
    Ok(Absences { returns: returns.collect(), known_since })
}

impl Absences {
    fn say(&self, server: &Server, now: DateTime<Utc>) -> Option<String> {
        let uptimes = uptimes(server, &self.returns, self.known_since, now);
        let words: Vec<_> = uptimes.into_iter().map(words).collect();
        (!words.is_empty()).then(|| format!("Uptime: {}", words.join(", ")))
    }
}

/// What a page lists of its server's events. While that is the same, nothing was announced.
type Listed = (usize, Option<DateTime<Utc>>);

/// The absences of servers whose pages are open: a year of events is read anew only once something was announced.
#[derive(Default)]
pub struct Cache(Mutex<HashMap<ServerId, (Listed, Arc<Absences>)>>);

impl Cache {
    /// As [`say`], given what was announced lately.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn say(
        &self,
        tables: &Tables,
        server: &Server,
        subject: Subject<'_>,
        lately: &Events,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Option<String>> {
        let Subject::Server { id, events_since: Some(events_since) } = subject else {
            return Ok(None);
        };
        let listed = (lately.newest.len(), lately.newest.first().map(|said| said.at));
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(id).filter(|(of, _)| *of == listed).map(|(_, known)| known.clone());
        if let Some(absences) = known {
            return Ok(absences.say(server, now));
        }
        let absences = Arc::new(read(tables, subject, events_since, now).await?);
        let mut cached = lock();
        if cached.len() >= MAX_CACHED {
            cached.clear();
        }
        cached.insert(id.clone(), (listed, absences.clone()));
        Ok(absences.say(server, now))
    }
}

/// Cut off, so that it is 100 only without an absence.
fn words(Uptime { percent, of }: Uptime) -> String {
    format!("{} % of {}", (percent * 100.0).floor() / 100.0, rounded(of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    // C15.6
    #[test]
    fn an_uptime_is_100_percent_only_without_an_absence() {
        let say = |percent| words(Uptime { percent, of: TimeDelta::days(365) });
        assert_eq!(say(100.0), "100 % of 365 d");
        assert_eq!(say(99.999_9), "99.99 % of 365 d");
        assert_eq!(say(98.5), "98.5 % of 365 d");
    }
}
