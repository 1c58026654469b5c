use cachet::cache_tier;

#[cache_tier(name = "disk")]
pub struct DiskTier;

fn main() {}
