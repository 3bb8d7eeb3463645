//! How much of a time a server was there (C15.6), by the absences that were announced.

use announcement::Return;
use chrono::{DateTime, TimeDelta, Utc};
use tables::problem::Stage;
use tables::server::{Server, Status};
use tables::time;

/// The days for which it is said.
const PERIODS: [i64; 3] = [7, 30, 365];

/// The longest of them.
pub const LONGEST: TimeDelta = TimeDelta::days(PERIODS[2]);

/// A share of a time, percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uptime {
    pub percent: f64,
    pub of: TimeDelta,
}

/// The uptime of each period, given the returns that were announced since a time. One that begins before that time, or before the
/// server was registered, begins then, and is the last.
#[must_use]
pub fn uptimes(
    server: &Server,
    returns: &[Return],
    known_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Vec<Uptime> {
    let registered_at = server.registered_at.as_deref().and_then(time::parse);
    let first = registered_at.map_or(known_since, |at| at.max(known_since));
    let over = returns.iter().filter_map(|end| {
        let until = end.returned_at.as_deref().or(end.last_seen.as_deref())?;
        Some([time::parse(end.offline_since.as_deref()?)?, time::parse(until)?])
    });
    let mut absences: Vec<_> = over.chain(current(server, now)).collect();
    absences.sort_unstable();
    let mut uptimes = Vec::new();
    for days in PERIODS {
        let since = (now - TimeDelta::days(days)).max(first);
        let of = now - since;
        if of <= TimeDelta::zero() {
            break;
        }
        let absent = absent_since(&absences, since, now);
        let share = absent.as_seconds_f64() / of.as_seconds_f64();
        uptimes.push(Uptime { percent: 100.0 * (1.0 - share), of });
        if since == first {
            break;
        }
    }
    uptimes
}

/// The absence that is in the item, if it may have been announced: it lasts, or its return does not yet.
fn current(server: &Server, now: DateTime<Utc>) -> Option<[DateTime<Utc>; 2]> {
    let since = server.offline_since.as_ref()?.time;
    if server.absence()? == Stage::NotLasted {
        return None;
    }
    let is_back = server.status == Some(Status::Online);
    let seen = server.known_return().or(server.last_seen.as_ref()).filter(|_| is_back);
    Some([since, seen.map_or(now, |seen| seen.time)])
}

/// How long any of these absences, which are in order, lasted within a time. One that was announced twice counts once.
fn absent_since(
    absences: &[[DateTime<Utc>; 2]],
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> TimeDelta {
    let (mut absent, mut counted_until) = (TimeDelta::zero(), since);
    for [start, end] in absences {
        let (start, end) = ((*start).max(counted_until), (*end).min(now));
        if end > start {
            absent += end - start;
            counted_until = end;
        }
    }
    absent
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::time::{Stored, format};

    fn now() -> DateTime<Utc> {
        "2026-06-15T12:00:00Z".parse().expect("a time")
    }

    fn ago(hours: i64) -> String {
        format(now() - TimeDelta::hours(hours))
    }

    fn back(from: i64, until: i64) -> Return {
        Return {
            offline_since: Some(ago(from)),
            returned_at: Some(ago(until)),
            ..Return::default()
        }
    }

    /// The percents, and the hours of which they are, of a server that was registered so many hours ago.
    fn percents(
        server: Server,
        registered: i64,
        known: i64,
        returns: &[Return],
    ) -> Vec<(f64, i64)> {
        let server = Server { registered_at: Some(ago(registered)), ..server };
        let uptimes = uptimes(&server, returns, now() - TimeDelta::hours(known), now());
        let rounded = |percent: f64| (percent * 1_000.0).round() / 1_000.0;
        uptimes.iter().map(|uptime| (rounded(uptime.percent), uptime.of.num_hours())).collect()
    }

    const YEARS: i64 = 20_000;
    const WEEK: i64 = 168;
    const MONTH: i64 = 720;
    const YEAR: i64 = 8_760;

    // C15.6
    #[test]
    fn absences_that_were_announced_count_once_and_within_the_time() {
        let server = Server::default;
        let all = [(100.0, WEEK), (100.0, MONTH), (100.0, YEAR)];
        assert_eq!(percents(server(), YEARS, YEARS, &[]), all);
        // 8.4 hours of a week are 5 %. Announced twice, in parts, and beyond the time.
        let returns = [back(100, 92), back(100, 92), back(96, 92), back(YEAR + 10, YEAR - 10)];
        let expected = [(95.238, WEEK), (98.889, MONTH), (99.795, YEAR)];
        assert_eq!(percents(server(), YEARS, YEARS, &returns), expected);
        // Half of an absence is within the week.
        assert_eq!(
            percents(server(), YEARS, YEARS, &[back(WEEK + 42, WEEK - 42)])[0],
            (75.0, WEEK)
        );
        // Without `returned_at`, a return has lasted at once.
        let at_once = Return { returned_at: None, last_seen: Some(ago(92)), ..back(100, 0) };
        assert_eq!(percents(server(), YEARS, YEARS, &[at_once])[0], (95.238, WEEK));
    }

    // C15.6
    #[test]
    fn nothing_counts_before_the_registration_or_what_is_known() {
        let server = Server::default;
        assert_eq!(percents(server(), 100, YEARS, &[back(300, 50)]), [(50.0, 100)]);
        assert_eq!(percents(server(), YEARS, 300, &[]), [(100.0, WEEK), (100.0, 300)]);
        assert_eq!(percents(server(), 0, YEARS, &[]), []);
    }

    // C15.6
    #[test]
    fn what_lasts_is_in_the_item_and_counts_if_it_was_announced() {
        let away = |announced: Option<&str>, status, returned_at: Option<i64>| Server {
            status: Some(status),
            offline_since: Stored::parse(ago(42)),
            announced: announced.map(ToOwned::to_owned),
            returned_at: returned_at.and_then(|hours| Stored::parse(ago(hours))),
            last_seen: Stored::parse(ago(0)),
            ..Server::default()
        };
        let of_a_week = |server| percents(server, YEARS, YEARS, &[])[0].0;
        let since = ago(42);
        assert_eq!(of_a_week(away(Some(&since), Status::Offline, None)), 75.0);
        assert_eq!(of_a_week(away(Some("pending"), Status::Offline, None)), 75.0);
        assert_eq!(of_a_week(away(None, Status::Offline, None)), 100.0);
        assert_eq!(of_a_week(away(Some(&since), Status::Online, Some(21))), 87.5);
    }
}
