use cachet::{Tier, cache_tier};

struct Disk;

#[cache_tier(key = str, value = u32)]
impl Disk {
    async fn get(&self, _: impl AsRef<str> + Send) -> Option<u32> {
        None
    }
    async fn insert(&self, _: &str, _: u32) {}
    async fn invalidate(&self, _: &str) {}
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
