// Once for the header, and once for the methods.
// errors: 2

use cachet::cache_tier;

struct Disk;

#[cache_tier(key = Page, value = u32)]
impl Disk {
    async fn get(&self, _: &str) -> Result<Option<u32>, std::io::Error> { todo!() }
    async fn insert(&self, _: &str, _: u32) -> Result<(), std::io::Error> { todo!() }
    async fn invalidate(&self, _: &str) -> Result<(), std::io::Error> { todo!() }
}

fn main() {}
