use cachet::cache_tier;

struct Disk;

#[cache_tier]
impl Disk {
    pub fn open() -> Self {
        Self
    }
}

fn main() {}
