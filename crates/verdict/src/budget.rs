//! How often messages may name a server, so that what wavers uses up nobody's quota (C9.10).

use chrono::{DateTime, TimeDelta, Utc};
use tables::server::Server;

/// As many messages may name a server within [`HOUR`].
const MOST: usize = 3;

const HOUR: TimeDelta = TimeDelta::hours(1);

/// After this time without a message, one may name it all the same.
const PAUSE: TimeDelta = TimeDelta::minutes(15);

/// Whether a message may name the server now, to say whatever there is to say.
pub fn is_open(server: &Server, now: DateTime<Utc>) -> bool {
    said_within(server, HOUR, now) < MOST || said_within(server, PAUSE, now) == 0
}

/// What is recorded with a message that is sent now.
pub fn said_at(server: &Server, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut said_at = server.said_at.clone();
    said_at.push(now);
    said_at.split_off(said_at.len().saturating_sub(MOST))
}

/// Whether what is recorded means nothing any more.
pub fn is_over(server: &Server, now: DateTime<Utc>) -> bool {
    !server.said_at.is_empty() && said_within(server, HOUR, now) == 0
}

/// How many messages have named it within this time. One from the future is none.
fn said_within(server: &Server, time: TimeDelta, now: DateTime<Utc>) -> usize {
    let is_within = |at: &&DateTime<Utc>| (TimeDelta::zero()..time).contains(&(now - **at));
    server.said_at.iter().filter(is_within).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    // C9.10
    #[test]
    fn three_messages_an_hour_or_one_after_a_quarter_of_an_hour() {
        let now: DateTime<Utc> = "2026-01-18T10:30:00Z".parse().expect("a time");
        let ago = |seconds: &i64| now - TimeDelta::seconds(*seconds);
        for (said, may_speak, is_void) in [
            (&[][..], true, false),
            (&[0, 0], true, false),
            (&[60, 59, 0], false, false),
            (&[3_599, 1_000, 899], false, false),
            (&[3_600, 1_000, 899], true, false),
            (&[3_599, 1_000, 900], true, false),
            (&[3_600, 3_600, 3_599], true, false),
            (&[9_000, 3_600], true, true),
            // A clock was wrong.
            (&[-1, -1, -1], true, true),
            (&[-1, 899, 0], true, false),
        ] {
            let said_at: Vec<_> = said.iter().map(ago).collect();
            let server = Server { said_at, ..Server::default() };
            assert_eq!(is_open(&server, now), may_speak, "{said:?}");
            assert_eq!(is_over(&server, now), is_void, "{said:?}");
            let after = super::said_at(&server, now);
            let kept = said.iter().map(ago).skip(said.len().saturating_sub(2));
            assert_eq!(after, kept.chain([now]).collect::<Vec<_>>(), "{said:?}");
        }
    }
}
