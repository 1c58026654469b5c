use cachet::cache_tier;

struct Disk;

#[cache_tier(name = "disk")]
impl From<u32> for Disk {
    fn from(_: u32) -> Self {
        Self
    }
}

fn main() {}
