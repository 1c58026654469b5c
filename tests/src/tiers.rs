//! Tiers that differ from [`MockTier`] in what they declare, and leave what they do to one.

use cachet::testing::MockTier;
use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};

/// Implements only what every tier has to.
#[derive(Debug)]
pub struct Minimal(pub MockTier<str, u32>);

#[cache_tier(name = "minimal")]
impl CacheTier<str, u32> for Minimal {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.0.get(key).await
    }

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.0.insert(key, entry).await
    }

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        self.0.invalidate(key).await
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.0.clear().await
    }
}

/// Is declared `immediate`, at level trace, with a field.
#[derive(Debug)]
pub struct Immediate {
    /// Does the work.
    pub mock: MockTier<str, u32>,
    /// What [`CacheTier::drops_rejected`] returns.
    pub drops_rejected: bool,
    /// The value of the field.
    pub shard: fn() -> u32,
}

impl Immediate {
    /// Keeps the older value of an insert that it rejects, as a tier does that declares nothing.
    pub fn new(mock: MockTier<str, u32>) -> Self {
        Self { mock, drops_rejected: false, shard: || 7 }
    }
}

#[cache_tier(name = "immediate", immediate, level = "trace", fields(shard = (self.shard)()))]
impl CacheTier<str, u32> for Immediate {
    async fn get(&self, key: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        self.mock.get(key).await
    }

    async fn insert(&self, key: String, entry: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        self.mock.insert(key, entry).await
    }

    async fn invalidate(&self, key: &str) -> Result<(), TierError> {
        self.mock.invalidate(key).await
    }

    async fn clear(&self) -> Result<(), TierError> {
        self.mock.clear().await
    }

    async fn len(&self) -> Result<Option<u64>, TierError> {
        self.mock.len().await
    }

    fn drops_rejected(&self) -> bool {
        self.drops_rejected
    }
}
