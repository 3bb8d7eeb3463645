//! The fleet for everybody who asks: several requests at once are one scan, and nobody waits for another's scan that is stuck.

use crate::fleet::Fleet;
use crate::tables::Tables;
use anyhow::anyhow;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tables::Group;
use tokio::time::{sleep, timeout};

/// How long a scan may bring nothing new until it counts as stuck. Usually, a page of it takes a tenth of that.
const STUCK: Duration = Duration::from_secs(2);

/// How long a request waits for the scans of others.
const PATIENCE: Duration = Duration::from_secs(18);

/// The scans of the servers table.
pub struct Scans {
    tables: Tables,
    /// By group; `None` is all servers.
    states: Mutex<HashMap<Option<Group>, State>>,
}

#[derive(Default)]
struct State {
    /// The fleet when it was last read.
    last: Option<(Instant, Arc<Fleet>)>,
    /// The newest scan.
    running: Option<Scan>,
}

#[derive(Clone)]
struct Scan {
    fleet: Shared<BoxFuture<'static, Result<Arc<Fleet>, Arc<anyhow::Error>>>>,
    progress: Arc<Progress>,
}

/// When a scan last brought something new.
struct Progress(Mutex<Instant>);

/// How a request gets the fleet.
enum Way {
    Cached(Arc<Fleet>),
    /// By a scan that it has started.
    Own(Scan),
    /// By a scan that another has started.
    Other(Scan),
}

impl Scans {
    pub fn new(tables: Tables) -> Self {
        Self { tables, states: Mutex::default() }
    }

    /// The fleet or a group of it, at most this old.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn fleet(&self, group: Option<&Group>, age: Duration) -> anyhow::Result<Arc<Fleet>> {
        let reading = async {
            loop {
                match self.way(group, age) {
                    Way::Cached(fleet) => return Ok(fleet),
                    // The SDK's timeouts end it.
                    Way::Own(scan) => return scan.fleet.await,
                    Way::Other(scan) => tokio::select! {
                        fleet = scan.fleet.clone() => return fleet,
                        () = scan.progress.stopped() => {}
                    },
                }
            }
        };
        let fleet = match timeout(PATIENCE, reading).await {
            Ok(read) => read.map_err(|error| anyhow!("{error:#}"))?,
            Err(_) => return Err(anyhow!("DynamoDB does not respond")),
        };
        let mut states = lock(&self.states);
        let state = states.entry(group.cloned()).or_default();
        // Of two scans, the later one counts.
        if state.last.as_ref().is_none_or(|(_, last)| last.at < fleet.at) {
            state.last = Some((Instant::now(), fleet.clone()));
        }
        Ok(fleet)
    }

    fn way(&self, group: Option<&Group>, age: Duration) -> Way {
        let mut states = lock(&self.states);
        // Groups that nobody asks for any more need no memory.
        states.retain(|known, state| known.as_ref() == group || !state.is_stale());
        let state = states.entry(group.cloned()).or_default();
        if let Some((at, fleet)) = &state.last
            && at.elapsed() < age
        {
            return Way::Cached(fleet.clone());
        }
        let running = state.running.as_ref();
        if let Some(scan) =
            running.filter(|scan| scan.fleet.peek().is_none() && !scan.progress.has_stopped())
        {
            return Way::Other(scan.clone());
        }
        let scan = self.scan(group.cloned());
        state.running = Some(scan.clone());
        Way::Own(scan)
    }

    fn scan(&self, group: Option<Group>) -> Scan {
        let tables = self.tables.clone();
        let progress = Arc::new(Progress(Mutex::new(Instant::now())));
        let reported = progress.clone();
        let read = async move {
            let fleet =
                Fleet::scan(&tables, group.as_ref(), || *lock(&reported.0) = Instant::now()).await;
            fleet.map(Arc::new).map_err(Arc::new)
        };
        Scan { fleet: read.boxed().shared(), progress }
    }
}

impl State {
    /// Whether nobody can use it any more.
    fn is_stale(&self) -> bool {
        let is_running = self.running.as_ref().is_some_and(|scan| scan.fleet.peek().is_none());
        let is_old = self.last.as_ref().is_none_or(|(at, _)| at.elapsed() > PATIENCE);
        is_old && !is_running
    }
}

impl Progress {
    fn has_stopped(&self) -> bool {
        lock(&self.0).elapsed() >= STUCK
    }

    async fn stopped(&self) {
        while !self.has_stopped() {
            let since = lock(&self.0).elapsed();
            sleep(STUCK.saturating_sub(since)).await;
        }
    }
}

/// Nothing that is done under one of these locks can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
