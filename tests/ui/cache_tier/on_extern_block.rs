use cachet::cache_tier;

#[cache_tier]
unsafe extern "C" {}

fn main() {}
