use cachet::{CacheEntry, CacheTier, Error, InsertOutcome, Tier, cache_tier};

struct Disk;

#[cache_tier(name: "a")]
impl CacheTier<str, u32> for Disk {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, Error> {
        Ok(None)
    }
    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, Error> {
        Ok(InsertOutcome::Rejected)
    }
    async fn invalidate(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }
    async fn clear(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn main() {
    let _ = Tier::new(Disk);
}
