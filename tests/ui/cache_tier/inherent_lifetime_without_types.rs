use cachet::{Tier, cache_tier};

struct Disk<'a>(&'a u8);

#[cache_tier(name = "a")]
impl<'a> Disk<'a> {
    async fn get(&self, _: &str) -> Option<u32> {
        None
    }
    async fn insert(&self, _: &str, _: u32) {}
    async fn invalidate(&self, _: &str) {}
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk(&1));
}
