//! `CacheTier`: the trait of a storage, and the traits that `#[cache_tier]` implements.

use std::future::Future;

use futures_util::stream::{self, StreamExt};

use self::context::TierContext;
use self::erased::BoxFuture;
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::TierError;
use crate::telemetry::span::{FieldRecorder, TierDescriptor};

pub mod adapt;
pub(crate) mod boxed;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod erased;
pub(crate) mod layers;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod wrapper;

/// One storage of a cache: memory, a directory, Redis, a database.
///
/// Implement it with `async fn`s and annotate the `impl` with [`#[cache_tier]`](macro@crate::cache_tier), which adds the telemetry.
/// [`Tier::new`](crate::Tier::new) accepts only annotated tiers.
///
/// A tier implements lookups and storage. The cache implements expiry, promotion, insert policies, statistics and tracing. Calls are
/// not coalesced: several tasks may call a tier for the same key at the same time.
///
/// A method must not block the thread. Run blocking work on a separate thread, for example with
/// `tokio::task::spawn_blocking`. No particular runtime is needed otherwise; see [`Runtime`](crate::Runtime) for the tasks that the
/// cache itself spawns.
///
/// Keys often contain untrusted text. Escape a key before using it as a file name or in a query.
///
/// # What to store
///
/// Store the whole [`CacheEntry`], not only its value: the cache needs its time of insertion to compute the age. [`CacheEntry`]
/// describes what a tier on disk or on the network stores.
///
/// # Errors
///
/// Return `Ok(None)`, not an error, if there is no entry. An error of [`get`](Self::get) counts as a miss: the cache reports it and
/// asks the next tier. An error of a write is returned to the caller after every tier has been tried.
///
/// # Cancel safety
///
/// Every future may be dropped half-way, when the caller is cancelled. A write that was dropped must have stored either the whole
/// entry or nothing, and must not take effect later: a call that is made after the drop comes after the write. The cache relies on
/// this when it [invalidates](Self::invalidate) the key of a write that was cancelled.
///
/// A future that only awaits keeps this rule by itself. A tier whose work goes on without its future, on a blocking thread or in a
/// server that has received a command, does not: let it run each write in a task that is not dropped, and let the next write of the
/// same key wait for that task. If it cannot, say so in its documentation; an outdated entry may then reappear after a cancellation.
///
/// # Examples
///
/// ```
/// use cachet::{Cache, CacheEntry, CacheTier, Error, InsertOutcome, Tier, TierError, cache_tier};
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct Shelf(Mutex<HashMap<String, CacheEntry<u32>>>);
///
/// #[cache_tier(name = "shelf")]
/// impl CacheTier<str, u32> for Shelf {
///     async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
///         Ok(self.0.lock().unwrap().get(key).cloned())
///     }
///
///     async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
///         self.0.lock().unwrap().insert(key, entry);
///         Ok(InsertOutcome::Accepted)
///     }
///
///     async fn invalidate(&self, key: &str) -> Result<(), TierError> {
///         self.0.lock().unwrap().remove(key);
///         Ok(())
///     }
///
///     async fn clear(&self) -> Result<(), TierError> {
///         self.0.lock().unwrap().clear();
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let cache = Cache::<str, u32>::builder("ages").tier(Tier::new(Shelf::default())).build();
/// cache.insert("ada", 36).await?;
/// assert_eq!(*cache.get("ada").await?.unwrap(), 36);
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a cache tier for keys `{K}` and values `{V}`",
    note = "write `impl CacheTier<{K}, {V}> for {Self}` and put `#[cache_tier]` on it"
)]
#[allow(
    clippy::len_without_is_empty,
    reason = "`len` is approximate and fallible; emptiness is not a question for a cache"
)]
pub trait CacheTier<K: Key + ?Sized, V: Value>: Send + Sync {
    /// Looks up an entry; returns `Ok(None)` if there is none.
    fn get(&self, key: &K) -> impl Future<Output = Result<Option<CacheEntry<V>>, TierError>> + Send;

    /// Stores an entry, replacing an existing one, or rejects it.
    ///
    /// A storage with its own expiry asks its context [for how long](TierContext::keep_for) the entry is to be kept.
    fn insert(
        &self,
        key: K::Owned,
        entry: CacheEntry<V>,
    ) -> impl Future<Output = Result<InsertOutcome, TierError>> + Send;

    /// Removes the entry of a key. Returns `Ok` also if there is none.
    fn invalidate(&self, key: &K) -> impl Future<Output = Result<(), TierError>> + Send;

    /// Removes all entries.
    fn clear(&self) -> impl Future<Output = Result<(), TierError>> + Send;

    /// Looks up an entry without its value, for [`Cache::contains`](crate::Cache::contains).
    ///
    /// The default calls [`get`](Self::get) and drops the value. Override it to avoid a copy or a transfer.
    fn metadata(&self, key: &K) -> impl Future<Output = Result<Option<CacheEntry<()>>, TierError>> + Send {
        async move { Ok(self.get(key).await?.map(|entry| entry.metadata())) }
    }

    /// Looks up several entries. Returns one result per key, in the same order; a key may occur twice.
    ///
    /// The default calls [`get`](Self::get) for each key, up to 16 calls at a time. Override it if the storage can look up several
    /// keys in one round trip.
    fn get_many(&self, keys: &[&K]) -> impl Future<Output = Vec<Result<Option<CacheEntry<V>>, TierError>>> + Send {
        async move { concurrently(keys.iter().map(|key| Box::pin(self.get(key)) as BoxFuture<'_, _>).collect()).await }
    }

    /// Stores several entries. Returns one result per entry, in the same order; if a key occurs twice, the last entry wins.
    ///
    /// The default calls [`insert`](Self::insert) for one entry after the other. Override it if the storage can store several
    /// entries in one round trip.
    fn insert_many(
        &self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
    ) -> impl Future<Output = Vec<Result<InsertOutcome, TierError>>> + Send {
        async move {
            let mut outcomes = Vec::with_capacity(entries.len());
            for (key, entry) in entries {
                outcomes.push(self.insert(key, entry).await);
            }
            outcomes
        }
    }

    /// Removes the entries of several keys. Returns one result per key, in the same order.
    ///
    /// The default calls [`invalidate`](Self::invalidate) for each key, up to 16 calls at a time.
    fn invalidate_many(&self, keys: &[&K]) -> impl Future<Output = Vec<Result<(), TierError>>> + Send {
        async move {
            concurrently(keys.iter().map(|key| Box::pin(self.invalidate(key)) as BoxFuture<'_, _>).collect()).await
        }
    }

    /// Returns the approximate number of entries; `Ok(None)`, the default, if the tier does not count them.
    fn len(&self) -> impl Future<Output = Result<Option<u64>, TierError>> + Send {
        async { Ok(None) }
    }

    /// Removes an entry that was found expired, if the tier still holds this very entry.
    ///
    /// An entry that was [restored](CacheEntry::restore) from a storage that other processes use as well is removed only once it has
    /// been expired for the [tolerance](crate::Tier::clock_tolerance) of clocks.
    ///
    /// The default calls [`invalidate`](Self::invalidate), for a restored entry after it has looked again whether the tier still holds
    /// [the same one](CacheEntry::is_same_insertion). Override it if the storage can compare and remove in one step, so that it cannot
    /// remove an entry that another process has just stored.
    fn invalidate_expired(
        &self,
        key: &K,
        expired: &CacheEntry<()>,
    ) -> impl Future<Output = Result<(), TierError>> + Send {
        async move {
            if expired.is_stored() {
                let current = self.metadata(key).await?;
                if !current.is_some_and(|current| current.is_same_insertion(expired)) {
                    return Ok(());
                }
            }
            self.invalidate(key).await
        }
    }

    /// Returns whether an insert that is rejected or fails also removes the older entry of its key. If not (`false`, the default),
    /// the cache invalidates the key afterwards, so that the older value cannot hide a newer one in a lower tier.
    fn drops_rejected(&self) -> bool {
        false
    }

    /// Receives the connection to a cache. Called once for each cache that the tier is added to.
    ///
    /// A tier with its own eviction or expiry stores the context, reports to it, and asks it
    /// [how long to keep](TierContext::keep_for) an entry. The default ignores the context.
    fn attach(&self, context: TierContext<K>) {
        let _ = context;
    }
}

/// The number of concurrent calls in the default batch methods.
const CONCURRENT_CALLS: usize = 16;

/// Runs boxed calls, a bounded number at a time. Boxed so that it is compiled once rather than for each tier.
async fn concurrently<T: Send>(calls: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(calls).buffered(CONCURRENT_CALLS).collect().await
}

/// The outcome of an insert.
///
/// A rejection is not an error: the tier or its insert policy did not accept the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InsertOutcome {
    /// The entry was stored.
    Accepted,
    /// The entry was not accepted.
    Rejected,
}

/// The bound of [`Tier::new`](crate::Tier::new): both traits in one, so that rustc reports one error if either is missing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an instrumented tier for keys `{K}` and values `{V}`",
    label = "not an instrumented tier",
    note = "put `#[cache_tier]` on its `impl CacheTier<{K}, {V}> for {Self}`"
)]
pub trait ObservableTier<K: Key + ?Sized, V: Value>: CacheTier<K, V> + InstrumentedTier<K, V> {}

#[diagnostic::do_not_recommend]
impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V> + InstrumentedTier<K, V>> ObservableTier<K, V> for T {}

/// A tier with its own static callsites; implemented by `#[cache_tier]` only.
///
/// It has no bounds, so that an error in the types of an `impl CacheTier` is reported once.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an instrumented tier for keys `{K}` and values `{V}`",
    label = "not an instrumented tier",
    note = "put `#[cache_tier]` on its `impl CacheTier<{K}, {V}> for {Self}`"
)]
pub trait InstrumentedTier<K: ?Sized, V> {
    /// Whether every future of the tier is ready at its first poll.
    const IMMEDIATE: bool = false;

    /// Returns the tier's default name and its callsites.
    fn descriptor() -> &'static TierDescriptor;

    /// Records the fields that the tier declares; called only if its span is enabled.
    fn record_fields(&self, recorder: &mut FieldRecorder<'_>) {
        let _ = recorder;
    }
}
