use cachet::{Tier, cache_tier};

struct Disk;

#[cache_tier(key = str, value = u32)]
impl Disk {
    async fn get(&self, _: &str) -> Result<Option<u32>, std::io::Error> { todo!() }
    async fn put(&self, _: &str, _: u32) -> Result<(), std::io::Error> { todo!() }
    async fn invalidate(&self, _: &str) -> Result<(), std::io::Error> { todo!() }
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
