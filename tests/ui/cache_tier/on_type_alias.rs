use cachet::cache_tier;

#[cache_tier]
type Store = std::collections::HashMap<String, u32>;

fn main() {}
