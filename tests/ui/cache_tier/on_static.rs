use cachet::cache_tier;

#[cache_tier]
static STORE: u32 = 1;

fn main() {}
