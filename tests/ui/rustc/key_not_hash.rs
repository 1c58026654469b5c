use cachet::{CacheEntry, CacheTier, InsertOutcome, TierError, cache_tier};

#[derive(Clone, PartialEq, Eq)]
struct Page;

struct Disk;

#[cache_tier(name = "disk")]
impl CacheTier<Page, u32> for Disk {
    async fn get(&self, _: &Page) -> Result<Option<CacheEntry<u32>>, TierError> { todo!() }
    async fn insert(&self, _: Page, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> { todo!() }
    async fn invalidate(&self, _: &Page) -> Result<(), TierError> { todo!() }
    async fn clear(&self) -> Result<(), TierError> { todo!() }
}

fn main() {}
