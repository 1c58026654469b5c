use cachet::{CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};

struct Disk;

#[cache_tier(name: "a")]
impl CacheTier<str, u32> for Disk {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> {
        Ok(None)
    }
    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> {
        Ok(InsertOutcome::Rejected)
    }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> {
        Ok(())
    }
    async fn clear(&self) -> Result<(), TierError> {
        Ok(())
    }
}

fn main() {
    let _ = Tier::new(Disk);
}
