use cachet::{CacheEntry, CacheTier, InsertOutcome, Tier, TierError, cache_tier};

struct Disk;

#[cache_tier(fields(
    a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9,
    j = 10, k = 11, l = 12, m = 13, n = 14, o = 15, p = 16, q = 17
))]
impl CacheTier<str, u32> for Disk {
    async fn get(&self, _: &str) -> Result<Option<CacheEntry<u32>>, TierError> { todo!() }
    async fn insert(&self, _: String, _: CacheEntry<u32>) -> Result<InsertOutcome, TierError> { todo!() }
    async fn invalidate(&self, _: &str) -> Result<(), TierError> { todo!() }
    async fn clear(&self) -> Result<(), TierError> { todo!() }
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
