use cachet::{CacheTier, Tier, cache_tier};

struct Disk;

#[cache_tier(name = "disk")]
impl CacheTier<str, u32> for Disk {
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
