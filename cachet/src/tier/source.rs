//! `Source`: where the cached data come from. It is read, and never written.

use std::future::Future;

use super::erased::BoxFuture;
use super::{CacheTier, InsertOutcome, InstrumentedTier, concurrently};
use crate::bounds::{Key, Value};
use crate::entry::CacheEntry;
use crate::error::TierError;
use crate::telemetry::span::{FieldRecorder, TierDescriptor};

/// The origin of the cached data, as the last tier of a cache: a database, a service.
///
/// Implement it with `async fn`s, annotate the `impl` with [`#[cache_tier]`](macro@crate::cache_tier), and add it with
/// [`Tier::source`](crate::Tier::source). Its answers are stored in the tiers above it, with
/// [stampede protection](crate::CacheBuilder::stampede_protection) once for concurrent reads, and
/// [refreshes](crate::Tier::refresh_after) read it in the background.
///
/// Unlike a [`CacheTier`], a source has no methods that write: `insert`, `invalidate` and `clear` of the cache do not reach it, and
/// an expired entry that it returns is not removed from it. After a change of the data, invalidate the key in the cache.
///
/// # Errors
///
/// Return `Ok(None)`, not an error, if there is no entry. An error counts as a miss; if no other tier has the entry, the read
/// returns the error.
///
/// # Cancel safety
///
/// A future of a source may be dropped half-way, when the caller is cancelled.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cachet::Error> {
/// use cachet::{Cache, CacheEntry, Source, Tier, TierError, cache_tier};
///
/// struct Users;
///
/// #[cache_tier(name = "db")]
/// impl Source<u64, String> for Users {
///     async fn get(&self, id: &u64) -> Result<Option<CacheEntry<String>>, TierError> {
///         // SELECT name FROM users WHERE id = …
///         Ok((*id == 7).then(|| CacheEntry::new("Ada".to_owned())))
///     }
/// }
///
/// let users = Cache::<u64, String>::builder("users").tier(Tier::memory(1000)).tier(Tier::source(Users)).build();
/// assert_eq!(*users.get(&7).await?.unwrap(), "Ada");
/// assert!(users.get(&8).await?.is_none());
///
/// // Removes the entry from memory; the next read asks the source again.
/// users.invalidate(&7).await?;
/// assert_eq!(*users.get(&7).await?.unwrap(), "Ada");
/// # Ok(()) }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source for keys `{K}` and values `{V}`",
    note = "write `impl Source<{K}, {V}> for {Self}` and put `#[cache_tier]` on it; a storage that is also written is a `CacheTier`, \
            to be added with `Tier::new`"
)]
pub trait Source<K: Key + ?Sized, V: Value>: Send + Sync {
    /// Looks up an entry; returns `Ok(None)` if there is none.
    ///
    /// `CacheEntry::new(value)` has no time to live of its own: it expires as the tiers above say.
    fn get(&self, key: &K) -> impl Future<Output = Result<Option<CacheEntry<V>>, TierError>> + Send;

    /// Looks up several entries. Returns one result per key, in the same order; a key may occur twice.
    ///
    /// The default calls [`get`](Self::get) for each key, up to 16 calls at a time. Override it if the source can look up several
    /// keys in one round trip.
    fn get_many(&self, keys: &[&K]) -> impl Future<Output = Vec<Result<Option<CacheEntry<V>>, TierError>>> + Send {
        async move { concurrently(keys.iter().map(|key| Box::pin(self.get(key)) as BoxFuture<'_, _>).collect()).await }
    }
}

/// The bound of [`Tier::source`](crate::Tier::source): both traits in one, so that rustc reports one error if either is missing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an instrumented source for keys `{K}` and values `{V}`",
    label = "not an instrumented source",
    note = "put `#[cache_tier]` on its `impl Source<{K}, {V}> for {Self}`; a storage that is also written is added with `Tier::new`"
)]
pub trait ObservableSource<K: Key + ?Sized, V: Value>: Source<K, V> + InstrumentedTier<K, V> {}

#[diagnostic::do_not_recommend]
impl<K: Key + ?Sized, V: Value, S: Source<K, V> + InstrumentedTier<K, V>> ObservableSource<K, V> for S {}

/// A source as a tier. The cache calls none of the methods that write.
pub(crate) struct SourceTier<S>(pub(crate) S);

impl<K: Key + ?Sized, V: Value, S: Source<K, V>> CacheTier<K, V> for SourceTier<S> {
    fn get(&self, key: &K) -> impl Future<Output = Result<Option<CacheEntry<V>>, TierError>> + Send {
        self.0.get(key)
    }

    fn get_many(&self, keys: &[&K]) -> impl Future<Output = Vec<Result<Option<CacheEntry<V>>, TierError>>> + Send {
        self.0.get_many(keys)
    }

    async fn insert(&self, _key: K::Owned, _entry: CacheEntry<V>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Rejected)
    }

    async fn invalidate(&self, _key: &K) -> Result<(), TierError> {
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

impl<K: ?Sized, V, S: InstrumentedTier<K, V>> InstrumentedTier<K, V> for SourceTier<S> {
    const IMMEDIATE: bool = S::IMMEDIATE;

    fn descriptor() -> &'static TierDescriptor {
        S::descriptor()
    }

    fn record_fields(&self, recorder: &mut FieldRecorder<'_>) {
        self.0.record_fields(recorder);
    }
}
