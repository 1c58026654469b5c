//! Nothing is in scope that is not named.

#![no_implicit_prelude]
#![deny(warnings, missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

use ::cachet::{CacheEntry, CacheEventHandler, CacheTier, Error, InsertOutcome, cache_tier};
use ::std::collections::HashMap;
use ::std::option::Option;
use ::std::result::Result::{self, Ok};
use ::std::string::String;
use ::std::sync::atomic::AtomicU64;
use ::std::sync::{Mutex, MutexGuard, PoisonError};

/// A tier.
#[derive(::std::fmt::Debug, ::std::default::Default)]
pub struct Shelf(Mutex<HashMap<String, CacheEntry<u32>>>);

#[cache_tier(remote(system = "shelf", address = "here:1"), immediate, fields(entries = self.entries().len()))]
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
#[derive(CacheEventHandler, ::std::fmt::Debug, ::std::default::Default)]
pub struct Metrics {
    /// Lookups that found something.
    #[cache_event(count(operation, operation = "get", outcome = "hit"))]
    pub hits: AtomicU64,
}

#[cfg(test)]
mod tests {
    use ::cachet::{Cache, CacheEntry, Tier};
    use ::cachet_tests::ready;
    use ::std::clone::Clone as _;
    use ::std::default::Default;
    use ::std::option::Option::Some;
    use ::std::sync::Arc;
    use ::std::sync::atomic::Ordering;
    use ::std::{assert, assert_eq};

    use super::{Metrics, Shelf};

    #[test]
    fn tier_and_handler_work() {
        let metrics = Arc::new(<Metrics as Default>::default());
        let cache = Cache::<str, u32>::builder("ages")
            .tier(Tier::new(<Shelf as Default>::default()))
            .event_handler(Arc::clone(&metrics))
            .enable_logs()
            .build();
        assert!(ready(cache.insert("ada", 36_u32)).is_ok());
        assert_eq!(ready(cache.get("ada")).unwrap().map(CacheEntry::into_value), Some(36));
        assert_eq!(metrics.hits.load(Ordering::Relaxed), 1);
    }
}
