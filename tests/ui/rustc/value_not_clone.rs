use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};

struct Page;

struct Disk;

#[cache_tier(name = "disk")]
impl CacheTier<str, Page> for Disk {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<Page>>, TierError> { todo!() }
    async fn insert(&self, _: String, _: CacheEntry<Page>) -> Result<InsertOutcome, TierError> { todo!() }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> { todo!() }
    async fn clear(&self) -> Result<(), TierError> { todo!() }
}

fn main() {}
