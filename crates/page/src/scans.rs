//! The fleet for everybody who asks: several requests at once are one scan, and nobody waits for another's scan that is stuck.

use crate::fleet::{Fleet, Listing, Wanted};
use crate::tables::Tables;
use anyhow::anyhow;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tables::{Group, ServerId};
use tokio::time::{sleep, timeout};

/// How long a scan may bring nothing new until it counts as stuck. Usually, a page of it takes a tenth of that.
const STUCK: Duration = Duration::from_secs(2);

/// How long a request waits for the scans of others.
const PATIENCE: Duration = Duration::from_secs(18);

/// The scans of the servers table.
pub struct Scans {
    tables: Tables,
    /// The most servers that are kept of a scan.
    max: Option<usize>,
    /// By group; `None` is all servers.
    states: Mutex<HashMap<Option<Group>, State>>,
}

#[derive(Default)]
struct State {
    /// The fleet when it was last read.
    last: Option<(Instant, Arc<Fleet>)>,
    /// The newest scan.
    running: Option<Scan>,
    /// Whether the last fleet was too large to be kept, so that what is wanted has to be looked for.
    is_cut: bool,
}

#[derive(Clone)]
struct Scan {
    wanted: Wanted,
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
    pub fn new(tables: Tables, max: Option<usize>) -> Self {
        Self { tables, max, states: Mutex::default() }
    }

    /// The fleet or a group of it, at most this old, with whatever there is of what is wanted.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn fleet(
        &self,
        group: Option<&Group>,
        age: Duration,
        wanted: &Wanted,
    ) -> anyhow::Result<Arc<Fleet>> {
        let reading = async {
            loop {
                let read = match self.way(group, age, wanted) {
                    Way::Cached(fleet) => return Ok(fleet),
                    // The SDK's timeouts end it.
                    Way::Own(scan) => scan.fleet.await,
                    Way::Other(scan) => tokio::select! {
                        fleet = scan.fleet.clone() => fleet,
                        () = scan.progress.stopped() => continue,
                    },
                };
                let fleet = read?;
                self.keep(group, &fleet);
                if fleet.has(wanted) {
                    return Ok(fleet);
                }
            }
        };
        let read = patiently(reading).await?;
        read.map_err(|error: Arc<anyhow::Error>| anyhow!("{error:#}"))
    }

    /// So many servers of the fleet or of a group, as they are now, in the order of the table.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn listing(
        &self,
        group: Option<&Group>,
        wanted: &Wanted,
        limit: usize,
        after: Option<&ServerId>,
    ) -> anyhow::Result<Listing> {
        patiently(Listing::read(&self.tables, group, wanted, limit, after)).await?
    }

    fn keep(&self, group: Option<&Group>, fleet: &Arc<Fleet>) {
        let mut states = lock(&self.states);
        let state = states.entry(group.cloned()).or_default();
        state.is_cut = fleet.is_cut();
        // Of two scans, the later one counts.
        if state.last.as_ref().is_none_or(|(_, last)| last.began < fleet.began) {
            state.last = Some((Instant::now(), fleet.clone()));
        }
    }

    fn way(&self, group: Option<&Group>, age: Duration, wanted: &Wanted) -> Way {
        let mut states = lock(&self.states);
        // Groups that nobody asks for any more need no memory.
        states.retain(|known, state| known.as_ref() == group || !state.is_stale());
        let state = states.entry(group.cloned()).or_default();
        if let Some((at, fleet)) = &state.last
            && at.elapsed() < age
            && fleet.has(wanted)
        {
            return Way::Cached(fleet.clone());
        }
        let is_cut = state.is_cut;
        let running = state.running.as_ref();
        let running = running.filter(|scan| !is_cut || scan.wanted == *wanted);
        if let Some(scan) =
            running.filter(|scan| scan.fleet.peek().is_none() && !scan.progress.has_stopped())
        {
            return Way::Other(scan.clone());
        }
        if is_cut {
            // Memory has room for the servers of one scan.
            state.last = None;
            state.running = None;
        }
        let scan = self.scan(group.cloned(), wanted.clone());
        state.running = Some(scan.clone());
        Way::Own(scan)
    }

    fn scan(&self, group: Option<Group>, wanted: Wanted) -> Scan {
        let (tables, max, sought) = (self.tables.clone(), self.max, wanted.clone());
        let progress = Arc::new(Progress(Mutex::new(Instant::now())));
        let reported = progress.clone();
        let read = async move {
            let progress = || *lock(&reported.0) = Instant::now();
            let fleet = Fleet::look_for(&tables, group.as_ref(), sought, max, progress).await;
            fleet.map(Arc::new).map_err(Arc::new)
        };
        Scan { wanted, fleet: read.boxed().shared(), progress }
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

async fn patiently<T>(reading: impl Future<Output = T>) -> anyhow::Result<T> {
    timeout(PATIENCE, reading).await.map_err(|_| anyhow!("DynamoDB does not respond"))
}

/// Nothing that is done under one of these locks can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
