use cachet::cache_tier;

#[cache_tier]
mod store {}

fn main() {}
