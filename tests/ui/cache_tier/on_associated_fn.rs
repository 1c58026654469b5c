use cachet::cache_tier;

struct Disk;

impl Disk {
    #[cache_tier]
    fn open() -> Self {
        Self
    }
}

fn main() {}
