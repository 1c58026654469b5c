//! `Cache`: the public handle, and the frame that every operation runs in.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::inflight::InFlight;
use crate::runtime::Spawner;
use crate::stack::TierStack;
use crate::telemetry::record_keys::RecordKeys;
use crate::telemetry::{CacheOperation, CacheTelemetry, Completion, HitProbe, Operation};
use crate::tier::erased::{MaybeReady, poll_once};

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

/// A cache of values `V` by keys `K`, made of one or more tiers.
///
/// Cheap to clone: clones are handles to the same cache. Make one with [`Cache::builder`].
///
/// `K` is the key as it is looked up: prefer `Cache<str, V>` to `Cache<String, V>` (see [`Key`]).
///
/// # Cancel safety
///
/// The future of every method may be dropped at any point. Nothing is lost or left half-done in memory; what a tier has
/// begun to write by then is that tier's business. An operation that somebody listens to then reports `cancelled`.
///
/// A write waits for an older value of the same key that is just being stored in a tier. So a task must not hold on to a
/// half-finished future of a cache, without polling it, while it awaits a write of the same key: as with any lock, it
/// would wait for itself.
///
/// # Panics
///
/// No method panics of its own accord. A panic of a tier, of a closure or of a type's own `Hash`, `Eq` or `Clone` unwinds
/// to the caller, and the cache stays usable.
///
/// The `Clone` and `Drop` of keys and values run wherever the cache needs them, also under its locks: they must not use the
/// cache that they are in.
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
    /// Nobody will ever listen: known here, so that a hit need not look further.
    unobservable: bool,
    /// How many [`Cache`]s there are; tasks in the background do not count.
    handles: AtomicUsize,
    scheduler: Option<RefreshScheduler<K, V>>,
}

/// What is set on a whole cache, and has to do with how it works.
pub(crate) struct Options<K: ?Sized> {
    pub(crate) record_keys: RecordKeys<K>,
    pub(crate) fail_closed: bool,
    pub(crate) stampede_protection: bool,
    pub(crate) follower_timeout: Option<(Duration, Spawner)>,
}

impl<K: Key + ?Sized, V: Value> Cache<K, V> {
    // Not `new`: to rustc that would be what `Cache::new(…)` means.
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
    /// The name of the cache.
    pub fn name(&self) -> &str {
        &self.0.telemetry.name
    }

    /// The names of the tiers, in the order in which they are asked.
    pub fn tier_names(&self) -> impl Iterator<Item = &str> {
        self.0.tiers.names()
    }

    /// How many refreshes are under way in the background, and how many keys are cooling down after one that brought nothing.
    pub fn refreshes(&self) -> RefreshStatus {
        let now = || self.0.telemetry.clock.now();
        self.0.scheduler.as_ref().map_or_else(RefreshStatus::default, |scheduler| scheduler.refreshes.status(now()))
    }

    /// How often an event handler of this cache has panicked. Such a panic is caught; the first one is logged.
    pub fn handler_panics(&self) -> u64 {
        self.0.telemetry.handler_panics()
    }
}

impl<K: Key + ?Sized, V: Value> Inner<K, V> {
    /// Whether anybody wants to know anything at this moment.
    #[inline]
    fn observed(&self) -> bool {
        !self.unobservable && self.telemetry.observed()
    }

    /// Begins to watch a lookup in an immediate first tier.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "made where it is to be")]
    fn probe<'a, 'k>(&'a self, kind: CacheOperation, key: Option<&'k Arc<str>>) -> HitProbe<'a, 'k> {
        let (first, identity) = self.tiers.first();
        let wanted = self.telemetry.hit_detail(kind, identity);
        HitProbe::start(&self.telemetry, kind, identity, wanted, key, |recorder| first.record_fields(recorder))
    }

    /// Begins an operation that somebody listens to; with nobody listening there is nothing to begin.
    #[inline]
    fn observe(&self, kind: CacheOperation, key: Option<&K>) -> Option<Operation<'_>> {
        self.observed().then(|| {
            let key = key.and_then(|key| self.options.record_keys.text(key));
            Operation::start(&self.telemetry, kind, key)
        })
    }

    /// An operation that only immediate tiers take part in is done at once, unless it may have to wait for another; any other
    /// is boxed.
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

    /// An entry's own deadline counts from here, whatever its way through the tiers.
    fn fix_deadline(&self, entry: &mut CacheEntry<V>) {
        if entry.ttl().is_some() {
            // The date is only for tiers that may outlive the process.
            entry.stamp(&self.telemetry.clock, !self.tiers.immediate());
        }
    }
}

/// What an operation ended with: what is reported, and what the caller gets.
trait Finish<'a> {
    type Output;

    fn completion(&self) -> Completion<'a, '_>;

    fn into_output(self) -> Self::Output;
}

/// Ends an operation: reports it, if somebody listens, and unpacks what the caller gets.
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

/// With the last handle, the tasks in the background end.
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
