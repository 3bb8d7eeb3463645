//! How much of the time a server was there, in words (C15.6).

use crate::events::Events;
use crate::history::TOLERANCE;
use crate::tables::Tables;
use announcement::Announcement;
use chrono::{DateTime, Utc};
use syntax::duration::rounded;
use tables::event::Subject;
use tables::server::Server;
use verdict::uptime::{LONGEST, Uptime, uptimes};

/// The most announcements that are read, the newest ones: a server that wavers for months costs no more.
const MAX_EVENTS: usize = 5_000;

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
    let period = [events_since.max(now - LONGEST), now + TOLERANCE];
    let events = Events::query(tables, period, subject, MAX_EVENTS).await?;
    let oldest = events.newest.last().filter(|_| events.is_cut).map(|oldest| oldest.at);
    let known_since = oldest.map_or(events_since, |oldest| oldest.max(events_since));
    let ends = events.newest.into_iter().filter_map(|said| match said.announcement {
        Announcement::Back(end) => Some(end),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    let uptimes = uptimes(server, &ends, known_since, now);
    let words: Vec<_> = uptimes.into_iter().map(words).collect();
    Ok((!words.is_empty()).then(|| format!("Uptime: {}", words.join(", "))))
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
