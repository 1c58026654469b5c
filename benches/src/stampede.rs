//! Many tasks that need the same missing key at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::bench::{Bench, Sample, runtime};
use crate::keys::{ENTRIES, KeyForm};

/// The number of tasks.
pub const TASKS: u64 = 64;

/// The slow load of a missing value.
#[derive(Clone, Debug)]
pub struct Load(Arc<Source>);

#[derive(Debug)]
struct Source {
    origin: Instant,
    started: AtomicU64,
    loads: Arc<AtomicU64>,
    loaded: AtomicU64,
    done: AtomicU64,
}

impl Load {
    fn new(loads: Arc<AtomicU64>) -> Self {
        let zero = || AtomicU64::new(0);
        Self(Arc::new(Source { origin: Instant::now(), started: zero(), loads, loaded: zero(), done: zero() }))
    }

    /// Computes the value, after all tasks have started and have had time to begin to wait.
    pub async fn compute(&self) -> u64 {
        let source = &*self.0;
        while source.started.load(Ordering::Acquire) < TASKS {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        source.loads.fetch_add(1, Ordering::Relaxed);
        self.mark(&source.loaded);
        1
    }

    /// Sets a mark to the current time.
    fn mark(&self, mark: &AtomicU64) {
        let nanos = u64::try_from(self.0.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        mark.fetch_max(nanos, Ordering::AcqRel);
    }

    /// Returns the time from the end of the last load until all tasks had their result.
    fn delivery(&self) -> Duration {
        let (loaded, done) = (self.0.loaded.load(Ordering::Acquire), self.0.done.load(Ordering::Acquire));
        Duration::from_nanos(done.saturating_sub(loaded))
    }
}

/// A [`Bench`] whose operation is one stampede: each task calls `ask` with a key that the cache has not seen and a load for its
/// value, and `ask` returns whether it got a value. The time is measured from the end of the load until all tasks are done.
pub fn tasks<K, C, F>(cache: C, ask: impl Fn(Arc<C>, K::Fresh, Load) -> F + Send + 'static) -> Bench
where
    K: KeyForm + ?Sized,
    C: Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let cache = Arc::new(cache);
    let loads = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&loads);
    let mut number = ENTRIES;
    Bench::new(move |operations| {
        let mut total = Sample { elapsed: Duration::ZERO, expected: 0 };
        for _ in 0..operations {
            number += 1;
            let load = Load::new(Arc::clone(&counter));
            let asks = (0..TASKS).map(|_| ask(Arc::clone(&cache), K::fresh(number), load.clone()));
            let results = runtime().block_on(stampede(&load, asks));
            total.elapsed += load.delivery();
            total.expected += u64::from(results == TASKS);
        }
        total
    })
    .with_elements(ENTRIES)
    .with_loads(loads)
}

/// Runs each future in a task, and returns how many got a value.
async fn stampede(load: &Load, asks: impl Iterator<Item = impl Future<Output = bool> + Send + 'static>) -> u64 {
    let spawn = |ask| {
        let load = load.clone();
        tokio::spawn(async move {
            load.0.started.fetch_add(1, Ordering::AcqRel);
            let is_ok = ask.await;
            load.mark(&load.0.done);
            is_ok
        })
    };
    let tasks: Vec<_> = asks.map(spawn).collect();
    let mut results = 0;
    for task in tasks {
        results += u64::from(task.await.unwrap_or(false));
    }
    results
}
