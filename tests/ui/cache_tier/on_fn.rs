use cachet::cache_tier;

#[cache_tier]
fn store() {}

fn main() {}
