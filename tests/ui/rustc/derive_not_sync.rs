use std::cell::Cell;
use std::sync::atomic::AtomicU64;

use cachet::CacheEventHandler;

#[derive(CacheEventHandler)]
struct Metrics {
    #[cache_event(count(operation))]
    all: AtomicU64,
    last: Cell<u64>,
}

fn main() {}
