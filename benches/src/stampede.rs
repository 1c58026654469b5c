//! Many tasks that want the same missing key at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::keys::ENTRIES;
use crate::measure::{Loop, Pass, runtime};

/// How many tasks want the key.
pub const TASKS: u64 = 64;

/// The slow source that a missing value comes from.
#[derive(Clone, Debug)]
pub struct Load(Arc<Source>);

#[derive(Debug)]
struct Source {
    origin: Instant,
    asked: AtomicU64,
    loads: Arc<AtomicU64>,
    loaded: AtomicU64,
    done: AtomicU64,
}

impl Load {
    fn new(loads: Arc<AtomicU64>) -> Self {
        let zero = || AtomicU64::new(0);
        Self(Arc::new(Source { origin: Instant::now(), asked: zero(), loads, loaded: zero(), done: zero() }))
    }

    /// Computes the value: waits until all tasks have asked for it, and then long enough for them to be waiting.
    pub async fn compute(&self) -> u64 {
        let source = &*self.0;
        while source.asked.load(Ordering::Acquire) < TASKS {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        source.loads.fetch_add(1, Ordering::Relaxed);
        self.mark(&source.loaded);
        1
    }

    /// Moves a mark to this moment.
    fn mark(&self, mark: &AtomicU64) {
        let nanos = u64::try_from(self.0.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        mark.fetch_max(nanos, Ordering::AcqRel);
    }

    /// From the end of the (last) load until all tasks had their answer.
    fn aftermath(&self) -> Duration {
        let (loaded, done) = (self.0.loaded.load(Ordering::Acquire), self.0.done.load(Ordering::Acquire));
        Duration::from_nanos(done.saturating_sub(loaded))
    }
}

/// A [`Loop`] whose operation is one stampede: `ask` asks for the key of a number, which has not been asked for yet, by means
/// of a load, and says whether it got a value. What is timed is the time from the end of the load until all are done.
pub fn tasks<F>(ask: impl Fn(u64, Load) -> F + Clone + Send + 'static) -> Loop
where
    F: Future<Output = bool> + Send + 'static,
{
    let loads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&loads);
    let mut number = 0;
    Loop::new(move |operations| {
        let mut total = Pass { elapsed: Duration::ZERO, as_meant: 0 };
        for _ in 0..operations {
            number += 1;
            let load = Load::new(Arc::clone(&counted));
            let answers = runtime().block_on(together(number, &load, &ask));
            total.elapsed += load.aftermath();
            total.as_meant += u64::from(answers == TASKS);
        }
        total
    })
    .touching(ENTRIES)
    .with_loads(loads)
}

async fn together<F>(number: u64, load: &Load, ask: &(impl Fn(u64, Load) -> F + Clone + Send + 'static)) -> u64
where
    F: Future<Output = bool> + Send + 'static,
{
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (load, ask) = (load.clone(), ask.clone());
            tokio::spawn(async move {
                load.0.asked.fetch_add(1, Ordering::AcqRel);
                let is_answered = ask(number, load.clone()).await;
                load.mark(&load.0.done);
                is_answered
            })
        })
        .collect();
    let mut answers = 0;
    for task in tasks {
        answers += u64::from(task.await.unwrap_or(false));
    }
    answers
}
