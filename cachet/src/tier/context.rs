//! `TierContext`: what a tier can report to its cache.

use std::fmt;
use std::sync::Arc;

use crate::entry::CacheEntry;
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
    record_keys: RecordKeys<K>,
}

impl<K: ?Sized> TierContext<K> {
    pub(crate) fn new(telemetry: &Arc<CacheTelemetry>, tier: &TierIdentity, record_keys: RecordKeys<K>) -> Self {
        Self { evictions: EvictionReporter::new(telemetry, tier), record_keys }
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
        Self { evictions: self.evictions.clone(), record_keys: self.record_keys.clone() }
    }
}

impl<K: ?Sized> fmt::Debug for TierContext<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierContext").field("tier", &self.evictions.tier()).finish_non_exhaustive()
    }
}
