use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
union Metrics {
    _word: u64,
}

fn main() {}
