use cachet::cache_tier;

struct Disk;

#[cache_tier]
impl Clone for Disk {
    fn clone(&self) -> Self {
        Self
    }
}

fn main() {}
