// One tier, one handler and their test, for crates that find `cachet` in different ways: each has a module `prelude` with
// `cachet` in it, and includes this file.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::prelude::cachet::{cache_tier, CacheEntry, CacheEventHandler, CacheTier, InsertOutcome, TierError};

/// A tier.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<HashMap<String, CacheEntry<u32>>>);

#[cache_tier(crate = crate::prelude::cachet, fields(entries = self.entries().len()))]
impl CacheTier<str, u32> for Shelf {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(self.entries().get(key).cloned())
    }

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.entries().insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        self.entries().remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.entries().clear();
        Ok(())
    }
}

impl Shelf {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, CacheEntry<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handler.
#[derive(CacheEventHandler, Debug, Default)]
#[cache_event(crate = crate::prelude::cachet)]
pub struct Metrics {
    /// Lookups that found something.
    #[cache_event(count(operation, operation = "get", outcome = "hit"))]
    pub hits: AtomicU64,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::prelude::cachet::{Cache, CacheEntry, Tier};
    use cachet_tests::ready;

    use super::{Metrics, Ordering, Shelf};

    #[test]
    fn tier_and_handler_work() {
        let metrics = Arc::new(Metrics::default());
        let cache = Cache::<str, u32>::builder("ages")
            .tier(Tier::new(Shelf::default()))
            .event_handler(Arc::clone(&metrics))
            .enable_logs()
            .build();
        ready(cache.insert("ada", 36_u32)).unwrap();
        assert_eq!(ready(cache.get("ada")).unwrap().map(CacheEntry::into_value), Some(36));
        assert_eq!(metrics.hits.load(Ordering::Relaxed), 1);
        assert_eq!(cache.tier_names().collect::<Vec<_>>(), ["shelf"]);
    }
}
