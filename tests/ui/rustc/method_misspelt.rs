// rustc reports the method that is too many and the one that is missing.
// errors: 2

use cachet::{CacheEntry, CacheTier, Error, InsertOutcome, Tier, TierError, cache_tier};

struct Disk;

#[cache_tier(name = "disk")]
impl CacheTier<str, u32> for Disk {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> { todo!() }
    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> { todo!() }
    async fn invalidat(&self, _: &str) -> Result<(), Error> { todo!() }
    async fn clear(&self) -> Result<(), TierError> { todo!() }
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
