use std::sync::atomic::AtomicU64;

use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Metrics {
    hits: AtomicU64,
}

fn main() {}
