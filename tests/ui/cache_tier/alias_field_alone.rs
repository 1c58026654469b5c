use cachet::{CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};

struct Disk;

#[cache_tier(system = "redis")]
impl CacheTier<str, u32> for Disk {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> { todo!() }
    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> { todo!() }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> { todo!() }
    async fn clear(&self) -> Result<(), TierError> { todo!() }
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
