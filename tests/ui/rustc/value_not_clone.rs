use cachet::{CacheEntry, CacheTier, Error, InsertOutcome, cache_tier};

struct Page;

struct Disk;

#[cache_tier(name = "disk")]
impl CacheTier<str, Page> for Disk {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<Page>>, Error> { todo!() }
    async fn insert(&self, _: String, _: CacheEntry<Page>) -> Result<InsertOutcome, Error> { todo!() }
    async fn invalidate(&self, _: &str) -> Result<(), Error> { todo!() }
    async fn clear(&self) -> Result<(), Error> { todo!() }
}

fn main() {}
