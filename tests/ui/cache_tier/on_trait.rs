use cachet::cache_tier;

#[cache_tier]
pub trait Store {}

fn main() {}
