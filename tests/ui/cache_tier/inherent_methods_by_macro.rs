use cachet::{Tier, cache_tier};

macro_rules! methods {
    () => {
        fn get(&self, _: &str) -> Option<u32> {
            None
        }
        fn insert(&self, _: &str, _: u32) {}
        fn invalidate(&self, _: &str) {}
    };
}

struct Disk;

#[cache_tier(key = str, value = u32)]
impl Disk {
    methods!();
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
