//! `TierContext`: what a tier can report to its cache.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::entry::CacheEntry;
use crate::expiry::Expiry;
use crate::telemetry::eviction::EvictionReporter;
use crate::telemetry::outcome::TierOutcome;
use crate::telemetry::record_keys::RecordKeys;
use crate::telemetry::{CacheTelemetry, TierIdentity};

/// A tier's connection to one cache; passed to [`CacheTier::attach`](crate::CacheTier::attach).
///
/// A tier with its own eviction or expiry reports the removed entries here, and the telemetry of the cache includes them. A report
/// from inside a call of the tier carries the id of the operation.
///
/// ```
/// use cachet::{CacheEntry, CacheTier, InsertOutcome, TierContext, TierError, cache_tier};
/// use std::sync::{Mutex, OnceLock};
///
/// /// Keeps the latest entry only.
/// #[derive(Default)]
/// struct Latest {
///     entry: Mutex<Option<(u64, CacheEntry<u32>)>>,
///     context: OnceLock<TierContext<u64>>,
/// }
///
/// #[cache_tier(name = "latest")]
/// impl CacheTier<u64, u32> for Latest {
///     async fn insert(&self, key: u64, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
///         let replaced = self.entry.lock().unwrap().replace((key, entry));
///         // Reported after the lock has been released: a handler may use the cache.
///         if let (Some((old, entry)), Some(context)) = (replaced, self.context.get())
///             && old != key
///         {
///             context.evicted(&old, &entry.metadata());
///         }
///         Ok(InsertOutcome::Accepted)
///     }
///
///     fn attach(&self, context: TierContext<u64>) {
///         let _ = self.context.set(context);
///     }
///     // …
/// #   async fn get(&self, key: &u64) -> Result<Option<CacheEntry<u32>>, TierError> {
/// #       Ok(self.entry.lock().unwrap().clone().filter(|(latest, _)| latest == key).map(|(_, entry)| entry))
/// #   }
/// #   async fn invalidate(&self, key: &u64) -> Result<(), TierError> {
/// #       self.entry.lock().unwrap().take_if(|(latest, _)| latest == key);
/// #       Ok(())
/// #   }
/// #   async fn clear(&self) -> Result<(), TierError> {
/// #       self.entry.lock().unwrap().take();
/// #       Ok(())
/// #   }
/// }
/// ```
pub struct TierContext<K: ?Sized> {
    evictions: EvictionReporter,
    expiry: Expiry,
    record_keys: RecordKeys<K>,
}

impl<K: ?Sized> TierContext<K> {
    pub(crate) fn new(
        telemetry: &Arc<CacheTelemetry>,
        tier: &TierIdentity,
        expiry: Expiry,
        record_keys: RecordKeys<K>,
    ) -> Self {
        Self { evictions: EvictionReporter::new(telemetry, tier), expiry, record_keys }
    }

    /// Returns for how much longer the cache can use an entry that is being inserted into the tier; `None` if there is no limit.
    ///
    /// It includes the entry's own time to live or the [tier's](crate::Tier::ttl), and the age up to which an expired entry may be
    /// [served in place of an error](crate::CacheBuilder::serve_stale_on_error). A storage with its own expiry, such as Redis, passes
    /// it on and is configured only once. It may keep the entry longer: the cache computes the age of what it reads.
    ///
    /// ```
    /// use cachet::{Cache, CacheEntry, CacheTier, InsertOutcome, Tier, TierContext, TierError, cache_tier};
    /// use std::sync::OnceLock;
    /// use std::time::Duration;
    ///
    /// #[derive(Default)]
    /// struct Redis(OnceLock<TierContext<str>>);
    ///
    /// #[cache_tier(name = "redis")]
    /// impl CacheTier<str, u32> for Redis {
    ///     async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
    ///         let keep_for = self.0.get().and_then(|context| context.keep_for(&entry));
    ///         // SET key value PX keep_for
    ///         assert_eq!(keep_for, Some(Duration::from_secs(3600)));
    ///         Ok(InsertOutcome::Accepted)
    ///     }
    ///
    ///     fn attach(&self, context: TierContext<str>) {
    ///         let _ = self.0.set(context);
    ///     }
    ///     // …
    /// #   async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> { Ok(None) }
    /// #   async fn invalidate(&self, _: &str) -> Result<(), TierError> { Ok(()) }
    /// #   async fn clear(&self) -> Result<(), TierError> { Ok(()) }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cachet::Error> {
    /// let redis = Tier::new(Redis::default()).ttl(Duration::from_secs(3600));
    /// let ages = Cache::<str, u32>::builder("ages").tier(redis).build();
    /// ages.insert("ada", 36).await?;
    /// # Ok(()) }
    /// ```
    pub fn keep_for<V>(&self, entry: &CacheEntry<V>) -> Option<Duration> {
        let ttl = entry.ttl().or(self.expiry.ttl)?;
        Some(ttl.max(self.expiry.serve_stale.unwrap_or_default()))
    }

    /// Returns whether a handler or the logs receive the reports. If not, a tier can skip the work of preparing them.
    pub fn is_observed(&self) -> bool {
        self.evictions.is_observed()
    }

    /// Reports that the tier evicted an entry to make room.
    pub fn evicted(&self, key: &K, entry: &CacheEntry<()>) {
        self.report(TierOutcome::Evicted, key, entry);
    }

    /// Reports that the tier removed an entry because it had expired.
    pub fn expired(&self, key: &K, entry: &CacheEntry<()>) {
        self.report(TierOutcome::Expired, key, entry);
    }

    fn report(&self, outcome: TierOutcome, key: &K, entry: &CacheEntry<()>) {
        if self.is_observed() {
            self.evictions.report(outcome, entry, self.record_keys.text(key));
        }
    }
}

impl<K: ?Sized> Clone for TierContext<K> {
    fn clone(&self) -> Self {
        Self { evictions: self.evictions.clone(), expiry: self.expiry, record_keys: self.record_keys.clone() }
    }
}

impl<K: ?Sized> fmt::Debug for TierContext<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierContext").field("tier", &self.evictions.tier()).finish_non_exhaustive()
    }
}
