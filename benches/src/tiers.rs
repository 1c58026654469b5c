//! Tiers of this package.

use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};
use quick_cache::sync::Cache;

use crate::keys::{CAPACITY, KeyForm};

/// A tier that the library has to await, although it is ready at once: the cost of awaiting without that of I/O.
#[derive(Debug)]
pub(crate) struct Awaited<K: KeyForm + ?Sized>(Cache<K::Owned, CacheEntry<u64>>);

impl<K: KeyForm + ?Sized> Awaited<K> {
    pub(crate) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

#[cache_tier(name = "awaited")]
impl<K: KeyForm + ?Sized> CacheTier<K, u64> for Awaited<K> {
    async fn get(&self, key: &K) -> Result<Option<CacheEntry<u64>>, TierError> {
        Ok(self.0.get(key))
    }

    async fn insert(&self, key: K::Owned, entry: CacheEntry<u64>) -> Result<InsertOutcome, TierError> {
        self.0.insert(key, entry);
        Ok(InsertOutcome::Accepted)
    }

    async fn invalidate(&self, key: &K) -> Result<(), TierError> {
        self.0.remove(key);
        Ok(())
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.0.clear();
        Ok(())
    }
}
