use cachet::cache_tier;

#[cache_tier]
enum Store {
    Memory,
    Disk,
}

fn main() {}
