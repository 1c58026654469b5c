use cachet::{CacheEntry, CacheTier, Error, InsertOutcome, cache_tier};



#[cache_tier(name = "disk")]
impl<T: Send + Sync> CacheTier<str, u32> for T {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, Error> { todo!() }
    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, Error> { todo!() }
    async fn invalidate(&self, _: &str) -> Result<(), Error> { todo!() }
    async fn clear(&self) -> Result<(), Error> { todo!() }
}

fn main() {}
