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
    use crate::Review;
    use aws_sdk_dynamodb::types::AttributeValue::{M, S};
    use std::collections::HashSet;
    use tables::Item;
    use tables::server::{Groups, Memory, Rules};
    use tables::time::format;

    /// How many messages name a server on a day, of a sender that sends in these minutes, each time with another failed service.
    fn messages_of_a_day(sends: impl Fn(i64) -> bool) -> usize {
        let start: DateTime<Utc> = "2026-01-18T00:00:00Z".parse().expect("a time");
        let (mut server, mut watchdog, mut messages) = (None, None, 0);
        for minute in 0..24 * 60 {
            let now = start + TimeDelta::minutes(minute);
            if sends(minute) {
                let seen = S(format(now - TimeDelta::seconds(30)));
                let failed = Item::from([(format!("s{minute}"), S("failed".to_owned()))]);
                let reading = [("received_at", seen.clone()), ("services", M(failed))];
                let reading = reading.map(|(name, value)| (name.to_owned(), value));
                let heartbeat = [
                    ("server_id", S("web-1".to_owned())),
                    ("status", S("online".to_owned())),
                    ("last_seen", seen),
                    ("reading", M(reading.into())),
                ];
                let item: &mut Item = server.get_or_insert_default();
                item.extend(heartbeat.map(|(name, value)| (name.to_owned(), value)));
            }
            let memory = watchdog.as_ref().and_then(Memory::from_item).unwrap_or_default();
            let mut review = Review::new(Rules::default(), Groups::default(), memory, None, now);
            server.iter().for_each(|item| review.add(item));
            let decision = review.conclude();
            decision.memory.write(false).apply(&mut watchdog);
            let plan = decision.plan;
            let ahead = plan.ahead().filter(|(_, write)| write.change.apply(&mut server));
            let written: HashSet<_> = ahead.map(|(place, _)| place).collect();
            let say: Vec<_> = plan.say(&written).into_iter().map(|(place, _)| place).collect();
            messages += usize::from(!say.is_empty());
            plan.after(&say).iter().for_each(|write| assert!(write.change.apply(&mut server)));
        }
        messages
    }

    // C9.10: an absence is never delayed, so the worst is whoever falls silent just before the return is announced, again and
    // again, after three problems. A search over all orders of problems, absences and returns finds no more.
    #[test]
    fn the_holder_of_a_servers_key_causes_so_many_messages_a_day_as_security_says() {
        let most = messages_of_a_day(|minute| minute < 3 || (1..14).contains(&((minute - 5) % 16)));
        let security = include_str!("../../../SECURITY.md");
        let bound = security.lines().find(|line| line.starts_with("| a bound key |"));
        let cell = format!("| {most}, about its server |");
        assert!(bound.is_some_and(|line| line.contains(&cell)), "{cell} {bound:?}");
        for (sends, fewer) in [
            // A new failed service each minute; silent for four minutes in nine; silent for ever.
            (&(|_| true) as &dyn Fn(i64) -> bool, 98),
            (&|minute| minute % 9 < 6, 162),
            (&|minute| minute < 3, 4),
        ] {
            assert_eq!(messages_of_a_day(sends), fewer);
        }
    }

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
