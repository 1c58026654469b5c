use cachet::cache_tier;

#[cache_tier]
union Bits {
    _word: u32,
}

fn main() {}
