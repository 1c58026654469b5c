use cachet::cache_tier;

#[cache_tier]
pub use std::collections;

fn main() {}
