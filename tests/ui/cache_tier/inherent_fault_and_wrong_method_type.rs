// A fault keeps the methods from being used, so their types are not judged.

use cachet::{Tier, cache_tier};

struct Disk;

#[cache_tier(key = str, value = u32, nmae = "a")]
impl Disk {
    async fn get(&self, _: &str) -> u8 {
        1
    }
    async fn insert(&self, _: &str, _: u32) {}
    async fn invalidate(&self, _: &str) {}
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
