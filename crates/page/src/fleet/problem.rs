//! What is wrong with a server, in words.

use super::{Remark, Server};
use crate::time::to_the_minute;
use std::fmt;

/// One thing that is wrong. It is displayed as words that follow the server's name.
#[derive(Debug)]
pub enum Problem<'a> {
    /// It sends no heartbeats.
    Offline(&'a Server),
    /// What the watchdog has announced, or is about to.
    Announced(Remark<'a>),
}

impl Server {
    /// Everything that is wrong with it. A value at its limit is no problem before the watchdog says so.
    pub fn problems(&self) -> impl Iterator<Item = Problem<'_>> {
        let offline = (!self.is_online).then_some(Problem::Offline(self));
        let announced = self.stored.problems.announced();
        let remarks = announced.map(|(key, problem)| Remark::Problem(key, problem));
        offline.into_iter().chain(remarks.map(Problem::Announced))
    }
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(server) => match server.last_seen() {
                Some(seen) => write!(f, "has been offline since {}", to_the_minute(seen)),
                None => f.write_str("has never sent a heartbeat"),
            },
            Self::Announced(remark) => remark.fmt(f),
        }
    }
}
