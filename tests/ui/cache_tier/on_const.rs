use cachet::cache_tier;

#[cache_tier]
const STORE: u32 = 1;

fn main() {}
