//! `Cache`: the public handle, and the frame of every operation.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::InFlight;
use crate::limit::{TimeLimit, within};
use crate::stack::TierStack;
use crate::telemetry::record_keys::RecordKeys;
use crate::telemetry::{CacheOperation, CacheTelemetry, Completion, HitProbe, Operation};
use crate::tier::erased::{MaybeReady, poll_once};
use crate::tier::status::TierStatus;

mod compute;
mod frame;
mod get;
mod load;
mod many;
mod refresh;
mod write;

pub use self::get::Get;
pub use self::refresh::RefreshStatus;
pub(crate) use self::refresh::{RefreshScheduler, RefreshTable};

/// A cache of values `V` by keys `K`, with one or more tiers.
///
/// Clones are cheap and share the same cache. [`Cache::builder`] creates one.
///
/// `K` is the borrowed form of the key: prefer `Cache<str, V>` to `Cache<String, V>` (see [`Key`]).
///
/// # Cancel safety
///
/// The future of every method may be dropped at any point; the cache stays consistent. If a write is dropped half-way, reads of its
/// keys skip the tiers that it has not reached until the keys have been invalidated there, so no older value reappears. An observed
/// operation reports `cancelled`.
///
/// # Deadlocks
///
/// The writes of a key take turns, in the order of their first poll. A write that has been polled once and is then neither polled
/// nor dropped holds up the later writes of its key, so do not await one of those meanwhile. Reads and loaders hold up no write.
///
/// # Panics
///
/// No method panics itself. A panic in a tier, a loader, or the `Hash`, `Eq` or `Clone` of a key or value unwinds to the caller, and
/// the cache stays usable.
///
/// `Hash`, `Eq`, `Borrow`, `ToOwned`, `Clone` and `Drop` of keys and values, weighers and wakers may run under internal locks and must
/// not call back into the cache. Event handlers and `tracing` layers may; see [`CacheEventHandler`](crate::CacheEventHandler).
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::{Cache, Tier};
///
/// let squares = Cache::<u64, u64>::builder("squares").tier(Tier::memory(1000)).build();
/// let nine = squares.get_or_insert(&3, || async { 3 * 3 }).await?;
/// assert_eq!(*nine, 9);
/// assert_eq!(squares.get(&3).await?.map(|entry| entry.into_value()), Some(9));
/// # Ok(()) }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
pub struct Cache<K: Key + ?Sized, V: Value>(Arc<Inner<K, V>>);

pub(crate) struct Inner<K: Key + ?Sized, V: Value> {
    telemetry: Arc<CacheTelemetry>,
    tiers: TierStack<K, V>,
    in_flight: Arc<InFlight<K, V>>,
    options: Options<K>,
    /// There are no handlers and no logs; cached here for the hit path.
    unobservable: bool,
    /// The number of [`Cache`] handles, without background tasks.
    handles: AtomicUsize,
    scheduler: Option<RefreshScheduler<K, V>>,
}

/// The settings of a whole cache that change its behaviour.
pub(crate) struct Options<K: ?Sized> {
    pub(crate) record_keys: RecordKeys<K>,
    pub(crate) fail_closed: bool,
    pub(crate) stampede_protection: bool,
    pub(crate) follower_timeout: Option<TimeLimit>,
    pub(crate) time_limit: Option<TimeLimit>,
    pub(crate) load_timeout: Option<TimeLimit>,
}

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    // Not `new`: rustc would suggest this private function to users who write `Cache::new(…)`.
    pub(crate) fn of_parts(
        telemetry: Arc<CacheTelemetry>,
        tiers: TierStack<K, V>,
        in_flight: Arc<InFlight<K, V>>,
        options: Options<K>,
        scheduler: Option<RefreshScheduler<K, V>>,
    ) -> Self {
        let unobservable = telemetry.is_unobservable();
        let handles = AtomicUsize::new(1);
        Self(Arc::new_cyclic(|me| {
            let scheduler = scheduler.map(|scheduler| scheduler.of(me));
            Inner { telemetry, tiers, in_flight, options, unobservable, handles, scheduler }
        }))
    }
}

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    /// Returns the name of the cache.
    pub fn name(&self) -> &str {
        &self.0.telemetry.name
    }

    /// Returns the names of the tiers, in the order in which reads ask them.
    pub fn tier_names(&self) -> impl Iterator<Item = &str> {
        self.0.tiers.names()
    }

    /// Returns how many refreshes are running, and how many keys are in their cool-down after a refresh that failed or found nothing.
    pub fn refreshes(&self) -> RefreshStatus {
        let now = || self.0.telemetry.clock.now();
        self.0.scheduler.as_ref().map_or_else(RefreshStatus::default, |scheduler| scheduler.refreshes.status(now()))
    }

    /// Returns the state of each tier, in the order in which reads ask them: whether it is called, and for how many keys reads skip
    /// it.
    pub fn tier_status(&self) -> Vec<TierStatus> {
        self.0.tiers.statuses().collect()
    }

    /// Returns how many operations were started inside an event handler or a `tracing` layer, and therefore not observed.
    pub fn reentrant_operations(&self) -> u64 {
        self.0.telemetry.reentrant()
    }

    /// Returns how often an event handler of this cache has panicked. Such a panic is caught; the first is logged.
    pub fn handler_panics(&self) -> u64 {
        self.0.telemetry.handler_panics()
    }
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Whether a handler or a subscriber listens at this moment.
    #[inline]
    fn observed(&self) -> bool {
        !self.unobservable && self.telemetry.observed()
    }

    /// Starts the observation of a lookup in an immediate first tier.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "constructed in place")]
    fn probe<'a, 'k>(&'a self, kind: CacheOperation, key: Option<&'k Arc<str>>) -> HitProbe<'a, 'k> {
        let (first, identity) = self.tiers.first();
        let wanted = self.telemetry.hit_detail(kind, identity);
        HitProbe::start(&self.telemetry, kind, identity, wanted, key, |recorder| first.record_fields(recorder))
    }

    /// Starts an operation if it is observed.
    #[inline]
    fn observe(&self, kind: CacheOperation, key: Option<&K>) -> Option<Operation<'_>> {
        self.observed().then(|| {
            let key = key.and_then(|key| self.options.record_keys.text(key));
            Operation::start(&self.telemetry, kind, key)
        })
    }

    /// Completes an operation at once if all tiers are immediate and no earlier write has to end first; otherwise boxes it.
    fn run<'a, R: 'a>(
        &'a self,
        may_wait: bool,
        work: impl Future<Output = Result<R, Error>> + Send + 'a,
    ) -> MaybeReady<'a, Result<R, Error>> {
        if self.tiers.immediate() && !may_wait {
            MaybeReady::Ready(poll_once(work).unwrap_or_else(|| Err(Error::not_immediate())))
        } else {
            MaybeReady::Boxed(Box::pin(work))
        }
    }

    /// Awaits the work of an operation, until its time limit.
    async fn limited<R>(&self, work: impl Future<Output = Result<R, Error>> + Send) -> Result<R, Error> {
        within(self.options.time_limit.as_ref(), work).await?
    }

    /// Fixes the entry's own deadline, which then is the same in every tier.
    fn fix_deadline(&self, entry: &mut CacheEntry<V>) {
        if entry.ttl().is_some() {
            // Only storages that outlive the process need the wall-clock time.
            entry.stamp(&self.telemetry.clock, !self.tiers.immediate());
        }
    }
}

/// The end of an operation: its completion event, and the result for the caller.
trait Finish<'a> {
    type Output;

    fn completion(&self) -> Completion<'a, '_>;

    fn into_output(self) -> Self::Output;
}

/// Ends an operation: reports it if it is observed, and unpacks the result for the caller.
fn finish<'a, E: Finish<'a>>(
    operation: Option<&mut Operation<'a>>,
    result: Result<E, Error>,
) -> Result<E::Output, Error> {
    if let Some(operation) = operation {
        match &result {
            Ok(ending) => operation.complete(ending.completion()),
            Err(error) => operation.complete(error),
        }
    }
    result.map(Finish::into_output)
}

impl<K: Key + ?Sized, V: Value> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

/// Dropping the last handle stops the background tasks.
impl<K: Key + ?Sized, V: Value> Drop for Cache<K, V> {
    fn drop(&mut self) {
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(scheduler) = &self.0.scheduler
        {
            scheduler.refreshes.stop();
        }
    }
}

impl<K: Key + ?Sized, V: Value> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.name())
            .field("tiers", &self.tier_names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
