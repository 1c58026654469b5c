use cachet::cache_tier;

#[cache_tier]
pub async fn store() {}

fn main() {}
