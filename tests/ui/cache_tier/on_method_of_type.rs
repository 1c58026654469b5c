use cachet::cache_tier;

struct Disk;

impl Disk {
    #[cache_tier]
    async fn get(&mut self, _: &str) -> Option<u32> {
        None
    }
}


fn main() {}
