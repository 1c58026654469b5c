use cachet::{CacheEntry, CacheTier, Error, InsertOutcome, Tier, cache_tier};

struct Disk;

#[cache_tier(system = "redis")]
impl CacheTier<str, u32> for Disk {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, Error> { todo!() }
    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, Error> { todo!() }
    async fn invalidate(&self, _: &str) -> Result<(), Error> { todo!() }
    async fn clear(&self) -> Result<(), Error> { todo!() }
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
