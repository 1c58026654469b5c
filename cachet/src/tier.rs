//! `CacheTier`: the trait that a storage implements, and what `#[cache_tier]` adds to it.

use std::future::Future;

use futures_util::future::{join_all, try_join_all};

use self::erased::BoxFuture;
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::Error;
use crate::telemetry::EvictionReporter;
use crate::telemetry::span::{FieldRecorder, TierDescriptor};

pub mod adapt;
pub(crate) mod boxed;
pub(crate) mod config;
pub(crate) mod erased;
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
/// use cachet::{Cache, CacheEntry, CacheTier, Error, InsertOutcome, Tier, cache_tier};
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct Shelf(Mutex<HashMap<String, CacheEntry<u32>>>);
///
/// #[cache_tier(name = "shelf")]
/// impl CacheTier<str, u32> for Shelf {
///     async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, Error> {
///         Ok(self.0.lock().unwrap().get(key).cloned())
///     }
///
///     async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, Error> {
///         self.0.lock().unwrap().insert(key, entry);
///         Ok(InsertOutcome::Accepted)
///     }
///
///     async fn invalidate(&self, key: &str) -> Result<(), Error> {
///         self.0.lock().unwrap().remove(key);
///         Ok(())
///     }
///
///     async fn clear(&self) -> Result<(), Error> {
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
    /// Looks an entry up; `Ok(None)` where there is none.
    fn get(&self, key: &K) -> impl Future<Output = Result<Option<CacheEntry<V>>, Error>> + Send;

    /// Stores an entry in place of whatever was there for the key, or turns it away.
    fn insert(&self, key: K::Owned, entry: CacheEntry<V>) -> impl Future<Output = Result<InsertOutcome, Error>> + Send;

    /// Removes the entry of a key; that there is none is not an error.
    fn invalidate(&self, key: &K) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes all entries.
    fn clear(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Looks at an entry without its value: what `Cache::contains` asks.
    ///
    /// By default it gets the entry and drops the value; worth overriding where that costs a copy or a transfer.
    fn peek(&self, key: &K) -> impl Future<Output = Result<Option<CacheEntry<()>>, Error>> + Send {
        async move { Ok(self.get(key).await?.map(|entry| entry.metadata())) }
    }

    /// Looks several entries up. The answers are in the order of the keys, one for each; a key may occur twice.
    ///
    /// By default it [gets](Self::get) them all at once, and fails if one of them fails; worth overriding where the storage
    /// can answer several questions in one go.
    fn get_many(&self, keys: &[&K]) -> impl Future<Output = Result<Vec<Option<CacheEntry<V>>>, Error>> + Send {
        async move {
            // In boxes: so that waiting for several at once is compiled once, and not for every tier.
            let answers: Vec<BoxFuture<'_, _>> = keys.iter().map(|key| Box::pin(self.get(key)) as _).collect();
            try_join_all(answers).await
        }
    }

    /// Stores several entries. The outcomes are in the order of the entries, one for each; if a key occurs twice, the last
    /// one is what is stored.
    ///
    /// By default it [inserts](Self::insert) them one after the other, all of them, and then fails if one of them failed.
    fn insert_many(
        &self,
        entries: Vec<(K::Owned, CacheEntry<V>)>,
    ) -> impl Future<Output = Result<Vec<InsertOutcome>, Error>> + Send {
        async move {
            let mut outcomes = Vec::with_capacity(entries.len());
            for (key, entry) in entries {
                outcomes.push(self.insert(key, entry).await);
            }
            outcomes.into_iter().collect()
        }
    }

    /// Removes the entries of several keys; that there is none is not an error.
    ///
    /// By default it [invalidates](Self::invalidate) them all at once, and then fails if one of them failed.
    fn invalidate_many(&self, keys: &[&K]) -> impl Future<Output = Result<(), Error>> + Send {
        async move {
            let answers: Vec<BoxFuture<'_, _>> = keys.iter().map(|key| Box::pin(self.invalidate(key)) as _).collect();
            join_all(answers).await.into_iter().collect()
        }
    }

    /// Tells about how many entries there are; `Ok(None)`, the default, where the tier cannot tell.
    fn len(&self) -> impl Future<Output = Result<Option<u64>, Error>> + Send {
        async { Ok(None) }
    }

    /// Removes an entry that was found expired.
    ///
    /// By default it [invalidates](Self::invalidate) the key. Worth overriding where the tier can make sure that the
    /// entry is still the one that was found, and not a fresh one that has been inserted since.
    fn invalidate_expired(&self, key: &K, expired: &CacheEntry<()>) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = expired;
        self.invalidate(key)
    }

    /// Whether an insert that is rejected, or fails, leaves nothing behind for its key. Where it does not (`false`,
    /// the default), the cache invalidates the key afterwards, so that an older value cannot hide a newer one below.
    fn drops_rejected(&self) -> bool {
        false
    }

    /// Called once, when the tier is stacked into a cache. A tier that drops entries of its own accord keeps the
    /// reporter, and tells it.
    fn attach(&mut self, reporter: EvictionReporter) {
        let _ = reporter;
    }
}

/// What became of an insert.
///
/// A rejection is not an error: the tier, or its policy, did not want the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
