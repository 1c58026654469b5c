//! `CacheTier`: the trait that a storage implements, and what `#[cache_tier]` adds to it.

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
pub(crate) mod wrapper;

/// One storage that a cache can be made of: memory, a directory, Redis, a database.
///
/// Implement it with native `async fn`s and put [`#[cache_tier]`](macro@crate::cache_tier) on the `impl`; that makes the tier visible
/// in telemetry, and only such a tier is accepted by [`Tier::new`](crate::Tier::new).
///
/// A tier only stores. Expiry, promotion, policies, statistics and tracing are the cache's business; so is coalescing:
/// a tier may be called for the same key by several tasks at once.
///
/// It must not block the thread: a tier that does blocking work hands it to a thread made for that, for example with
/// `tokio::task::spawn_blocking`. Otherwise no particular runtime is needed; see [`Runtime`](crate::Runtime) for the
/// little that cachet itself starts.
///
/// Keys are whatever the program looks up, often text from outside. Never use one as a file name, or as part of a query,
/// unescaped.
///
/// # What a tier has to keep
///
/// The whole [`CacheEntry`], not only its value, since expiry is judged by the entry's stamp. See there for tiers that
/// write to disk or over the network.
///
/// # Errors
///
/// A lookup that finds nothing is `Ok(None)`, not an error. An error of [`get`](Self::get) counts as a miss for
/// whoever asked the cache, and is reported; the next tier is asked.
///
/// # Cancel safety
///
/// The futures of all methods are dropped half-way when the caller of the cache goes away. What a tier has written by
/// then must be either the whole entry or none.
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
    /// Looks an entry up; `Ok(None)` if there is none.
    fn get(&self, key: &K) -> impl Future<Output = Result<Option<CacheEntry<V>>, TierError>> + Send;

    /// Stores an entry in place of whatever the key has, or rejects it.
    fn insert(
        &self,
        key: K::Owned,
        entry: CacheEntry<V>,
    ) -> impl Future<Output = Result<InsertOutcome, TierError>> + Send;

    /// Removes the entry of a key; `Ok` also if there is none.
    fn invalidate(&self, key: &K) -> impl Future<Output = Result<(), TierError>> + Send;

    /// Removes all entries.
    fn clear(&self) -> impl Future<Output = Result<(), TierError>> + Send;

    /// Looks up everything of an entry but its value: [`Cache::contains`](crate::Cache::contains) calls it.
    ///
    /// The default gets the entry and drops the value. Override it where that costs a copy or a transfer.
    fn metadata(&self, key: &K) -> impl Future<Output = Result<Option<CacheEntry<()>>, TierError>> + Send {
        async move { Ok(self.get(key).await?.map(|entry| entry.metadata())) }
    }

    /// Looks several entries up. Returns one result per key, in their order; a key may occur twice.
    ///
    /// The default [gets](Self::get) them one by one, up to 16 at a time. Override it where the storage answers several
    /// questions in one round trip.
    fn get_many(&self, keys: &[&K]) -> impl Future<Output = Vec<Result<Option<CacheEntry<V>>, TierError>>> + Send {
        async move { concurrently(keys.iter().map(|key| Box::pin(self.get(key)) as BoxFuture<'_, _>).collect()).await }
    }

    /// Stores several entries. Returns one result per entry, in their order; if a key occurs twice, the last one stays.
    ///
    /// The default [inserts](Self::insert) them one after the other. Override it where the storage takes several in one
    /// round trip.
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

    /// Removes the entries of several keys. Returns one result per key, in their order.
    ///
    /// The default [invalidates](Self::invalidate) them one by one, up to 16 at a time.
    fn invalidate_many(&self, keys: &[&K]) -> impl Future<Output = Vec<Result<(), TierError>>> + Send {
        async move {
            concurrently(keys.iter().map(|key| Box::pin(self.invalidate(key)) as BoxFuture<'_, _>).collect()).await
        }
    }

    /// Returns the approximate number of entries; `Ok(None)`, the default, if the tier does not count them.
    fn len(&self) -> impl Future<Output = Result<Option<u64>, TierError>> + Send {
        async { Ok(None) }
    }

    /// Removes an entry that was found expired.
    ///
    /// The default [invalidates](Self::invalidate) the key. Override it where the tier can make sure that the entry is still
    /// the one that was found, and not a fresh one that has been inserted since.
    fn invalidate_expired(
        &self,
        key: &K,
        expired: &CacheEntry<()>,
    ) -> impl Future<Output = Result<(), TierError>> + Send {
        let _ = expired;
        self.invalidate(key)
    }

    /// Whether an insert that is rejected, or fails, leaves nothing behind for its key. If it may (`false`, the default), the
    /// cache invalidates the key afterwards, so that an older value cannot hide a newer one below.
    fn drops_rejected(&self) -> bool {
        false
    }

    /// Hands the tier its connection to a cache. Called once for each cache that the tier is added to.
    ///
    /// A tier that drops entries by itself keeps the context, and reports them to it. The default ignores it.
    fn attach(&self, context: TierContext<K>) {
        let _ = context;
    }
}

/// How many calls the defaults of the methods for several keys run at a time.
const CONCURRENT_CALLS: usize = 16;

/// Runs boxed calls, a bounded number at a time. Boxed, so that this is compiled once and not for every tier.
async fn concurrently<T: Send>(calls: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(calls).buffered(CONCURRENT_CALLS).collect().await
}

/// What became of an insert.
///
/// A rejection is not an error: the tier, or its policy, did not want the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InsertOutcome {
    /// The entry was stored.
    Accepted,
    /// The entry was turned away.
    Rejected,
}

/// What [`Tier::new`](crate::Tier::new) takes: both impls in one bound, so that rustc reports one error whichever is missing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an instrumented tier for keys `{K}` and values `{V}`",
    label = "not an instrumented tier",
    note = "put `#[cache_tier]` on its `impl CacheTier<{K}, {V}> for {Self}`"
)]
pub trait ObservableTier<K: Key + ?Sized, V: Value>: CacheTier<K, V> + InstrumentedTier<K, V> {}

#[diagnostic::do_not_recommend]
impl<K: Key + ?Sized, V: Value, T: CacheTier<K, V> + InstrumentedTier<K, V>> ObservableTier<K, V> for T {}

/// Implemented by `#[cache_tier]`, never by hand: a tier with its own static callsites.
///
/// It has no bounds of its own: whatever is wrong with the types of an `impl CacheTier` is said there, once.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an instrumented tier for keys `{K}` and values `{V}`",
    label = "not an instrumented tier",
    note = "put `#[cache_tier]` on its `impl CacheTier<{K}, {V}> for {Self}`"
)]
pub trait InstrumentedTier<K: ?Sized, V> {
    /// The tier promises that its futures are ready when they are first polled.
    const IMMEDIATE: bool = false;

    /// The tier's default name and its callsites.
    fn descriptor() -> &'static TierDescriptor;

    /// Records the fields that the tier declares; called only when its span is enabled.
    fn record_fields(&self, recorder: &mut FieldRecorder<'_>) {
        let _ = recorder;
    }
}
