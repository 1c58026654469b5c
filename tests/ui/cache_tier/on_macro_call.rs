use cachet::cache_tier;

macro_rules! store {
    () => {};
}

#[cache_tier]
store! {}

fn main() {}
