use cachet::cache_tier;

#[cache_tier]
macro_rules! store {
    () => {};
}

store! {}

fn main() {}
